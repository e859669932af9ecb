"""Reports what the trials of run folders cost, in sentences and tables.

`python scripts/report.py --help` says how; `jaxpower report` is the same.
"""

from jaxpower.cli import report_flags

if __name__ == "__main__":
  report_flags.start("python scripts/report.py")
