"""The command line of a report: its flags, and what they ask for."""

from collections.abc import Sequence

from absl import flags

from jaxpower.cli.report import main
from jaxpower.cli.script import run
from jaxpower.report.given import assumptions, references

HELP = """Reports what the trials of run folders cost, in sentences and tables.

  {command} RUN_FOLDER... [--reference=FILE] [--lifecycle=FILE]
    [--out=FOLDER] [--by=board] [--strict] [--share]
  {command} --reference_template > FILE
  {command} --lifecycle_template > FILE

Several folders are reported one by one, then together; unlike data, targets,
devices or meters are never pooled. A reference is a CSV or JSON file of results
or a log of CodeCarbon or Zeus: --reference=FILE:model=cnn,target_accuracy=0.8.
--share leaves out host, paths, environment, UUIDs and command line.
"""

REFERENCE = flags.DEFINE_multi_string(
  "reference", [], "results measured elsewhere; may be given several times"
)
REFERENCE_TEMPLATE = flags.DEFINE_bool(
  "reference_template", False, "print an empty file of references"
)
LIFECYCLE = flags.DEFINE_string(
  "lifecycle", None, "assumptions, a TOML file; reports the life cycle too"
)
OUT = flags.DEFINE_string(
  "out", None, "folder to write report.html, figures and tables into"
)
BY = flags.DEFINE_enum(
  "by",
  "system",
  ["system", "board"],
  "pool equal boards and hosts (system), or keep each apart (board)",
)
STRICT = flags.DEFINE_bool(
  "strict", False, "refuse a folder with a record that cannot be read"
)
SHARE = flags.DEFINE_bool(
  "share", False, "leave out host, paths, environment, UUIDs, command line"
)
LIFECYCLE_TEMPLATE = flags.DEFINE_bool(
  "lifecycle_template", False, "print a file of assumptions to fill in"
)


def report(arguments: Sequence[str]) -> int:
  """Prints a template or the report of the folders; returns the exit code."""
  if REFERENCE_TEMPLATE.value:
    print(references.template(), end="")
    return 0
  if LIFECYCLE_TEMPLATE.value:
    print(assumptions.template(), end="")
    return 0
  return main(
    arguments[1:],
    shared=SHARE.value,
    references=REFERENCE.value,
    lifecycle=LIFECYCLE.value,
    out=OUT.value,
    by=BY.value,  # type: ignore[arg-type]
    strict=STRICT.value,
  )


def start(command: str) -> None:
  """Reads the command line and reports; exits with the exit code.

  Args:
    command: What was typed before the arguments.
  """
  run(report, HELP.format(command=command))
