"""Tells what the trials of run folders cost: a table and a sentence.

  python scripts/report.py [--lifecycle=FILE] RUN_FOLDER [RUN_FOLDER ...]
  python scripts/report.py --lifecycle_template > FILE

Several folders are told one by one, then compared with each other. Records of
different data, targets, machines or meters are never pooled.
"""

import sys
from collections.abc import Sequence

from absl import app, flags

from jaxpower.report import assumptions
from jaxpower.report.command import main

LIFECYCLE = flags.DEFINE_string(
  "lifecycle", None, "assumptions, a TOML file; tells the life cycle too"
)
LIFECYCLE_TEMPLATE = flags.DEFINE_bool(
  "lifecycle_template", False, "print a file of assumptions to begin with"
)


def parse(arguments: Sequence[str]) -> list[str]:
  """The arguments without flags; a wrong flag is one line and exit code 2."""
  if {"-h", "-help", "--help"} & set(arguments):
    print(str(__doc__).strip())
    sys.exit(0)
  try:
    return flags.FLAGS(arguments)
  except flags.Error as error:
    print(f"report: {str(error).splitlines()[0]}; see --help", file=sys.stderr)
    sys.exit(2)


def report(arguments: Sequence[str]) -> int:
  """Prints the template, or the report of the folders; the exit code."""
  if LIFECYCLE_TEMPLATE.value:
    print(assumptions.template(), end="")
    return 0
  return main(arguments[1:], lifecycle=LIFECYCLE.value)


if __name__ == "__main__":
  app.run(report, flags_parser=parse)
