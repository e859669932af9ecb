"""References in words: as given, beside the records, and what differs."""

from collections.abc import Iterable, Iterator, Sequence

from jaxpower.report.cells import (
  UNKNOWN,
  estimate,
  interval,
  number_or_unknown,
  unit_of,
)
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.compare.system import BOARD_GAIN
from jaxpower.report.findings import Section, Table
from jaxpower.report.given.references import Reference
from jaxpower.report.questions.references.values import (
  Beside,
  Difference,
  Match,
)
from jaxpower.wording import (
  JouleUnit,
  joules_name,
  label,
  measured_or_estimated,
  number,
  percent,
  setting,
)

SAME_HARDWARE = {True: "same", False: "different", None: UNKNOWN}


def tell(beside: Sequence[Beside]) -> Section:
  """Tells the references as given, and how the records compare with each."""
  matches = [match for item in beside for match in item.matches]
  lines = []
  for item in beside:
    lines += map(_match_sentence, item.matches)
    if item.obstacles:
      lines.append(
        f"{item.reference.name}: not compared: {in_words(item.obstacles)}."
      )
  references = [item.reference for item in beside]
  return Section(
    title="References",
    tables=(
      _given_table(references),
      *([_match_table(matches)] if matches else []),
    ),
    lines=tuple(lines),
  )


def _given_table(references: Sequence[Reference]) -> Table:
  unit = unit_of(reference.joules for reference in references)
  columns = (
    "name",
    "hardware",
    "framework",
    "model",
    "data",
    "batch",
    "target",
    "accuracy",
    joules_name(False, unit),
    "seconds",
    "covers",
    "source",
  )
  rows = tuple(
    (
      reference.name,
      reference.hardware or UNKNOWN,
      reference.framework or UNKNOWN,
      reference.model or UNKNOWN,
      reference.data or UNKNOWN,
      str(reference.batch_size or UNKNOWN),
      _share(reference.target_accuracy),
      _share(reference.accuracy),
      _given_joules(reference, unit),
      number_or_unknown(reference.seconds),
      " + ".join(reference.boundary) or UNKNOWN,
      reference.source,
    )
    for reference in references
  )
  note = "As given by their sources; nothing in this table was measured here."
  return Table(columns, rows, (note,))


def _match_table(matches: Sequence[Match]) -> Table:
  """Makes a row a match; joules here and there are in the same unit."""
  unit = unit_of(
    joules
    for match in matches
    for joules in (match.joules_here, match.joules_there)
  )
  name = joules_name(False, unit)
  columns = (
    "reference",
    "here",
    "hardware",
    f"{name} here",
    f"{name} there",
    "ratio of energy",
    "seconds here",
    "seconds there",
    "ratio of seconds",
  )
  rows = tuple(
    (
      match.reference.name,
      _setting(match),
      SAME_HARDWARE[match.same_hardware],
      _joules_cell(match.joules_here, match.estimated_here, unit),
      _joules_cell(_exact(match.joules_there), match.estimated_there, unit),
      estimate(match.joules_ratio) if match.joules_ratio else "none",
      estimate(match.seconds_here),
      number_or_unknown(match.reference.seconds),
      estimate(match.seconds_ratio) if match.seconds_ratio else "none",
    )
    for match in matches
  )
  note = (
    "Ratios are here over there. Their intervals are those of what the setting"
    " typically costs here, and include that of the reference where it gives"
    " one."
  )
  return Table(columns, rows, (note, *_meter_notes(matches)))


def _meter_notes(matches: Sequence[Match]) -> Iterator[str]:
  """Notes how far the sensors of two boards may be apart."""
  if any(match.joules_ratio and not match.estimated_here for match in matches):
    yield (
      "The meter of each board may be off by"
      f" +- {percent(BOARD_GAIN)} of the energy, here and there alike: no"
      " interval includes that."
    )


def _share(share: float | None) -> str:
  return percent(share) if share else UNKNOWN


def _given_joules(reference: Reference, unit: JouleUnit) -> str:
  if reference.joules is None:
    return UNKNOWN
  joules = Estimate(
    reference.joules, low=reference.joules_low, high=reference.joules_high
  )
  return _joules_cell(joules, reference.estimated, unit)


def _joules_cell(
  joules: Estimate | None, estimated: bool | None, unit: JouleUnit
) -> str:
  """Writes a cell: "12.5 (10.0-15.0), estimated"."""
  mark = ", estimated" if joules and estimated else ""
  return estimate(joules, unit) + mark


def _exact(joules: float | None) -> Estimate | None:
  return None if joules is None else Estimate(joules)


def _setting(match: Match) -> str:
  varied = {
    path: item
    for path, item in match.group.varied.items()
    if path != "framework"
  }
  return ", ".join(filter(None, (match.framework, setting(varied))))


def _match_sentence(match: Match) -> str:
  ratios = [
    f"{number(ratio.value)} times its {what}{_brackets(ratio)}"
    for what, ratio in (
      ("energy", match.joules_ratio),
      ("time", match.seconds_ratio),
    )
    if ratio
  ]
  verb = f"needed {' and '.join(ratios)}" if ratios else "cannot be compared"
  sentences = [f"{match.reference.name}: here {_setting(match)} {verb}"]
  if match.obstacles:
    sentences.append(f"Not compared: {in_words(match.obstacles)}")
  if match.caveats and ratios:
    sentences.append(f"Note: {in_words(match.caveats)}")
  return ". ".join(sentences) + "."


def _brackets(ratio: Estimate) -> str:
  return "" if ratio.low is None else f" ({interval(ratio)})"


def in_words(differences: Iterable[Difference]) -> str:
  """Lists differences: "batch 512 there, 128 here; precision ..."."""
  return "; ".join(map(_difference, differences))


def _difference(difference: Difference) -> str:
  fact, there, here = difference.fact, difference.there, difference.here
  match fact:
    case "trials":
      return "no trial is recorded here"
    case "energy":
      why = f": {here.rstrip('.')}" if here else ""
      return f"the energy of the trials here is unknown{why}"
    case "data" | "model" if not there or not here:
      return f"its {fact} is unknown"
    case "tasks":
      return f"one label there, tasks {' + '.join(here)} here"
    case "target_accuracy" if not there:
      return "its target is unknown"
    case "target_accuracy":
      return f"target {percent(there)} there, {percent(here)} here"
    case "accuracy":
      return (
        f"it stopped at {percent(there)}, below its target of {percent(here)}"
      )
    case "joules" if there:
      return "the energy of the same phases is unknown here"
    case "joules":
      return "its energy is unknown"
    case "seconds":
      return "its time is unknown"
    case "phases_of_joules":
      return f"its energy covers the phases {' + '.join(there)}"
    case "phases_of_seconds":
      return f"its time covers the phases {' + '.join(there)}"
    case "phases":
      return "the phases that it covers are not given, here training alone"
    case "boundary" if there:
      parts = " + ".join(here) or UNKNOWN
      return f"its energy covers {' + '.join(there)}, here {parts}"
    case "boundary":
      return "the parts of the machine that its energy covers are not given"
    case "estimated" if there is None:
      return "whether its energy is estimated is not given, here it is"
    case "estimated":
      kinds = measured_or_estimated(there), measured_or_estimated(here)
      return f"energy {kinds[0]} there, {kinds[1]} here"
    case "hardware" if not there or not here:
      return "whether the hardware is the same is unknown"
    case "hardware":
      return f"different hardware ({there} there, {here} here)"
    case "pretrained":
      return "training here began from pretrained weights"
    case "precision":
      return f"precision {there} there, {here or '?'} here"
    case _:
      return f"{label(fact)} {there} there, {here} here"
