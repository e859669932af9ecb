"""Numbers from elsewhere beside the records: tables, and a line for each."""

from collections.abc import Sequence

from jaxpower.records import TrialRecord
from jaxpower.report.groups import compare
from jaxpower.report.labels import number, percent, setting
from jaxpower.report.matching import Match, matches, why_not
from jaxpower.report.references import Reference
from jaxpower.report.sections import Section
from jaxpower.report.statistics import Estimate
from jaxpower.report.tables import Table, estimate, interval

UNKNOWN = "unknown"
HARDWARE = {True: "same", False: "other", None: UNKNOWN}


def section(
  references: Sequence[Reference], records: Sequence[TrialRecord]
) -> Section:
  """The references as given, and how the records compare with each."""
  grounds = compare(records)
  found: list[Match] = []
  lines = []
  for reference in references:
    beside = matches(reference, grounds)
    found += beside
    lines += map(_line, beside)
    if not beside:
      reasons = why_not(reference, grounds)
      lines.append(f"{reference.name}: not compared: {reasons}.")
  return Section(
    "Numbers from elsewhere",
    (_given(references), *([_beside(found)] if found else [])),
    tuple(lines),
  )


def _given(references: Sequence[Reference]) -> Table:
  columns = (
    "name",
    "hardware",
    "framework",
    "model",
    "data",
    "batch",
    "target",
    "accuracy",
    "joules",
    "seconds",
    "covers",
    "source",
  )
  return Table(
    columns,
    tuple(
      (
        r.name,
        r.hardware or UNKNOWN,
        r.framework or UNKNOWN,
        r.model or UNKNOWN,
        r.data or UNKNOWN,
        str(r.batch_size or UNKNOWN),
        percent(r.target_accuracy) if r.target_accuracy else UNKNOWN,
        percent(r.accuracy) if r.accuracy else UNKNOWN,
        _joules(r),
        number(r.seconds) if r.seconds else UNKNOWN,
        " + ".join(r.boundary) or UNKNOWN,
        r.source,
      )
      for r in references
    ),
    ("As their sources give them; nothing of this was measured here.",),
  )


def _joules(r: Reference) -> str:
  if r.joules is None:
    return UNKNOWN
  given = Estimate(r.joules, low=r.joules_low, high=r.joules_high)
  return _energy(given, r.estimated)


def _energy(found: Estimate | None, estimated: bool | None) -> str:
  told = estimate(found)
  return f"{told}, estimated" if found and estimated else told


def _exactly(joules: float | None) -> Estimate | None:
  return None if joules is None else Estimate(joules)


def _beside(found: Sequence[Match]) -> Table:
  return Table(
    (
      "reference",
      "here",
      "hardware",
      "joules here",
      "joules there",
      "ratio of joules",
      "seconds here",
      "seconds there",
      "ratio of seconds",
    ),
    tuple(
      (
        match.reference.name,
        _setting(match),
        HARDWARE[match.same_hardware],
        _energy(match.here_joules, match.estimated_here),
        _energy(_exactly(match.joules), match.estimated),
        estimate(match.joules_ratio) if match.joules_ratio else "none",
        estimate(match.here_seconds),
        number(match.reference.seconds) if match.reference.seconds else UNKNOWN,
        estimate(match.seconds_ratio) if match.seconds_ratio else "none",
      )
      for match in found
    ),
    (
      "Ratios: here over there. Their intervals are of the seeds here, and of"
      " the reference where it gives one.",
    ),
  )


def _line(match: Match) -> str:
  said = [
    f"{'at least ' if ratio.at_least else ''}{number(ratio.value)} times its"
    f" {what}{_ends(ratio)}"
    for what, ratio in (
      ("joules", match.joules_ratio),
      ("seconds", match.seconds_ratio),
    )
    if ratio
  ]
  told = f"{match.reference.name}: here {_setting(match)} took "
  told += " and ".join(said) if said else "what cannot be set against it"
  parts = [told]
  if match.apart:
    parts.append(f"Not compared: {'; '.join(match.apart)}")
  if match.notes and said:
    parts.append(f"Mind: {'; '.join(match.notes)}")
  return ". ".join(parts) + "."


def _ends(ratio: Estimate) -> str:
  if ratio.at_least or ratio.low is None:
    return ""
  return f" ({interval(ratio)})"


def _setting(match: Match) -> str:
  varied = {
    path: item
    for path, item in match.group.varied.items()
    if path != "framework"
  }
  return ", ".join(filter(None, (match.framework, setting(varied))))
