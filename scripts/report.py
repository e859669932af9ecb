"""Tells what the trials of run folders cost: a table and a sentence.

  python scripts/report.py RUN_FOLDER [RUN_FOLDER ...] [--reference=FILE]
  python scripts/report.py --reference_template > FILE

Several folders are told one by one, then compared with each other. Records of
different data, targets, machines or meters are never pooled. Numbers from
elsewhere stand beside them: a CSV or JSON, or a log of CodeCarbon or Zeus; a
log is told what it ran: --reference=FILE:model=resnet18,target_accuracy=0.8.
"""

import sys
from collections.abc import Sequence

from absl import app, flags

from jaxpower.report.command import main
from jaxpower.report.references import template

REFERENCE = flags.DEFINE_multi_string(
  "reference", [], "numbers from elsewhere; may be given several times"
)
TEMPLATE = flags.DEFINE_bool(
  "reference_template", False, "print an empty file of references"
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
  if TEMPLATE.value:
    print(template(), end="")
    return 0
  return main(arguments[1:], references=REFERENCE.value)


if __name__ == "__main__":
  app.run(report, flags_parser=parse)
