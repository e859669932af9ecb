"""Runs a sweep under the meter and reports which setting was cheapest.

  python scripts/run.py --config=configs/batch.py

`--help` lists the flags; `jaxpower run batch` is the same where jaxpower is
installed without its sources.
"""

import sys

from jaxpower.cli import crash, run

if __name__ == "__main__":
  text = run.HELP.format(command="python scripts/run.py")
  sys.exit(crash.guard("run", run.main, sys.argv, text))
