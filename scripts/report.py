"""Prints the table and the sentence of any number of run folders.

  python scripts/report.py RUN_FOLDER [RUN_FOLDER ...]

Several folders are told one by one, then compared with each other; records of
different data, targets, machines or meters are never pooled.
"""

import sys

from absl import app

from jaxpower.report.command import main

if __name__ == "__main__":
  app.run(lambda arguments: sys.exit(main(arguments[1:])))
