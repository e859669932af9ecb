"""Reports what the trials of run folders cost, in sentences and tables.

`python scripts/report.py --help` says how; `jaxpower report` is the same.
"""

from jaxpower.cli import sweeps

if __name__ == "__main__":
  sweeps.report("python scripts/report.py")
