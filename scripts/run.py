"""Runs a sweep under the meter and reports which setting was cheapest.

  python scripts/run.py --config=configs/batch.py

  --config=FILE[:ARGS]     the experiment; ARGS as name=value,name=value
  --config.FIELD=VALUE     sets one of its fields, e.g. --config.seeds=5
  --out=FOLDER             where records go; runs/<name> by default
  --meter=auto             auto, nvml (GPUs), rapl (CPU) or estimate (a model)
  --dry-run                prints the trials, trains nothing
  --retry-failed           runs trials again whose record says failed
  --show-output            shows what commands print while they run
  --strict                 refuses a folder with a record that cannot be read
  --compile-repeats=1      how often each program is compiled, to measure it

Run again, it continues where it stopped; with more seeds or values it runs only
what is missing. Bad input ends with exit code 2 and nothing written; a trial
that failed with 1. Ctrl-C ends it at the next evaluation, twice at once.
"""

import sys

from jaxpower.cli import crash, run

if __name__ == "__main__":
  sys.exit(crash.guard("run", run.main, sys.argv, __doc__ or ""))
