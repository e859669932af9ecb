"""A finding of the doctor's, and how it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxpower.cli.output import PlainConsole
from jaxpower.wording import on_one_line

Level = Literal["ok", "warn", "fail"]
STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Check:
  """One line of the doctor's: what was looked at, the finding, its fix."""

  level: Level
  what: str
  finding: str
  fix: str = ""


def as_json(check: Check) -> dict[str, str]:
  """Names a check's fields by the stable keys of `doctor --json`."""
  return {
    "level": check.level,
    "what": check.what,
    "finding": check.finding,
    "mend": check.fix,
  }


def show(checks: Sequence[Check], measured: bool) -> None:
  """Prints one line a check, its fix under it."""
  # Text as it is, `[ok]` and long commands included; styles on a terminal only.
  out = PlainConsole(highlight=False, markup=False, emoji=False, soft_wrap=True)
  for check in checks:
    tag = f"[{check.level}]"
    out.print(f" {tag:7}", style=STYLES[check.level], end="")
    name = check.what[:12] if check.what.startswith("GPU-") else check.what
    out.print(f" {name:13} {on_one_line(check.finding)}")
    if check.fix:
      out.print(f" {'':7} {'':13} fix: {on_one_line(check.fix)}")
  if not measured:
    out.print(" Nothing can be measured here; energy would be estimated.")
