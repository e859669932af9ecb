"""Numbers from elsewhere beside the records: tables, and a line for each.

Which records a number from elsewhere may be compared with, and why not.

A ratio is made only at the same data, model and target. Other hardware, and
whatever else may mislead, is said beside it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.cells import estimate, interval
from jaxpower.report.compare.comparison import (
  Compared,
  Comparison,
  Group,
  compare,
)
from jaxpower.report.compare.costs import COUNTINGS, SECONDS, costs
from jaxpower.report.compare.statistics import Estimate, median
from jaxpower.report.findings import Section, Table
from jaxpower.report.given import Given
from jaxpower.report.given.references import BOUNDARY, Reference
from jaxpower.wording import number, percent, setting

TOLERANCE = 0.001  # of a target accuracy: a tenth of a point

MAKERS = {"amd", "geforce", "intel", "nvidia", "quadro", "r", "tesla", "tm"}

# What of a run records can add up, by the phases that a reference says are in.
COUNTING_OF_PHASES = {
  (): "train",
  ("train",): "train",
  ("compile", "train"): "compile",
  ("train", "eval"): "eval",
}


@dataclass(frozen=True, kw_only=True)
class Match:
  """A reference beside the cheapest group that it may be compared with.

  Its own `joules` are as many as cover what the group's do. Ratios are the
  group's over the reference's; `apart` says why one is None, `notes` what else
  to mind. Hardware is compared by its name; None where one is not known.
  """

  reference: Reference
  group: Group
  framework: str
  here_joules: Estimate | None
  here_seconds: Estimate | None
  joules: float | None
  estimated: bool | None
  estimated_here: bool
  joules_ratio: Estimate | None
  seconds_ratio: Estimate | None
  same_hardware: bool | None
  apart: tuple[str, ...]
  notes: tuple[str, ...]


def matches(
  reference: Reference, grounds: Sequence[Comparison]
) -> tuple[Match, ...]:
  """One match for each ground and framework of the same data, model, target."""
  found = []
  for ground in grounds:
    alike = [
      group
      for group in ground.groups
      if group.joules and not _differences(reference, ground, group)
    ]
    for framework in sorted({_first(group).framework for group in alike}):
      group = _nearest(
        reference, [g for g in alike if _first(g).framework == framework]
      )
      found.append(_match(reference, ground, group))
  return tuple(found)


def why_not(reference: Reference, grounds: Sequence[Comparison]) -> str:
  """What keeps a reference from every group: of the one that comes nearest."""
  reasons = [
    list(_differences(reference, ground, group))
    for ground in grounds
    for group in ground.groups
  ]
  told = min(reasons, key=len, default=["no trial is recorded here"])
  return "; ".join(told) or "the energy of these trials is not known"


def hardware(record: TrialRecord) -> str:
  """The processor a trial trained on: "2 x NVIDIA H200", or the CPU's name."""
  found = record.provenance.get("devices") or []
  kinds = [
    str(each.get("kind", ""))
    for each in found
    if isinstance(each, dict) and each.get("platform") != "cpu"
  ]
  if kinds:
    return f"{len(kinds)} x {kinds[0]}" if len(kinds) > 1 else kinds[0]
  on_gpu = any(name.startswith("GPU-") for name in record.joules_by_domain)
  return "" if on_gpu else str(record.provenance.get("cpu", ""))


def boundary(record: TrialRecord) -> tuple[str, ...]:
  """The parts of the machine that a record's joules cover."""
  kinds = {
    str(domain.get("kind"))
    for domain in record.meter.get("domains", ())
    if domain.get("domain") in record.joules_by_domain
  }
  return tuple(part for part in BOUNDARY if part in kinds)


def _differences(
  reference: Reference, ground: Comparison, group: Group
) -> list[str]:
  """Why a ratio between these would say nothing; empty where it may be made."""
  said = []
  for field, there, here in (
    ("data", reference.data, ground.data),
    ("model", reference.model, model(_first(group))),
  ):
    if not there or not here:
      said.append(f"its {field} is not known")
    elif _plain(there) != _plain(here):
      said.append(f"{field} {there} there, {here} here")
  if ground.tasks != ("label",):
    said.append(f"one label there, tasks {' + '.join(ground.tasks)} here")
  target, accuracy = reference.target_accuracy, reference.accuracy
  if target is None:
    said.append("its target is not known")
  elif abs(target - ground.target_accuracy) > TOLERANCE:
    here = percent(ground.target_accuracy)
    said.append(f"target {percent(target)} there, {here} here")
  if target is not None and accuracy is not None and accuracy < target:
    said.append(
      f"it stopped at {percent(accuracy)}, below its target of"
      f" {percent(target)}"
    )
  return said


def _match(reference: Reference, ground: Comparison, group: Group) -> Match:
  record = _first(group)
  apart = []
  counting = COUNTINGS.get(COUNTING_OF_PHASES.get(reference.phases, ""))
  there, modelled = _covering(reference, boundary(record))
  here = median(costs(group.records, counting) or ()) if counting else None
  if reference.joules is None:
    apart.append("its joules are not known")
  elif counting is None:
    apart.append(f"its joules are of {' + '.join(reference.phases)}")
  elif there is None:
    covers = " + ".join(reference.boundary)
    ours = " + ".join(boundary(record)) or "unknown"
    apart.append(f"its joules cover {covers}, here {ours}")
  elif here is None:
    apart.append("the joules of the same phases are not known here")
  joules_ratio = _over(here, there, reference.joules_low, reference.joules_high)
  seconds = median(costs(group.records, SECONDS) or ())
  if reference.seconds is None:
    apart.append("its seconds are not known")
  elif reference.phases not in ((), ("train",)):
    apart.append(f"its seconds are of {' + '.join(reference.phases)}")
  timed = reference.phases in ((), ("train",))
  same = _same(reference.hardware, hardware(record))
  return Match(
    reference=reference,
    group=group,
    framework=record.framework,
    here_joules=here if counting else group.joules,
    here_seconds=seconds,
    joules=there if counting else None,
    estimated=modelled,
    estimated_here=ground.estimated,
    joules_ratio=joules_ratio,
    seconds_ratio=_over(seconds, reference.seconds) if timed else None,
    same_hardware=same,
    apart=tuple(apart),
    notes=(
      *_notes(reference, record, same),
      *(_joule_notes(reference, ground, modelled) if joules_ratio else ()),
    ),
  )


def _covering(
  reference: Reference, ours: tuple[str, ...]
) -> tuple[float | None, bool | None]:
  """Its joules of just these parts, and whether they are modelled.

  None where it has no such number; where it does not say what its joules
  cover, they are taken as they are.
  """
  if not reference.boundary or reference.boundary == ours:
    return reference.joules, reference.estimated
  if ours and set(ours) <= reference.joules_by_part.keys():
    joules = sum(reference.joules_by_part[part] for part in ours)
    return joules, bool(set(ours) & set(reference.modelled))
  return None, reference.estimated


def _over(
  here: Estimate | None,
  there: float | None,
  low: float | None = None,
  high: float | None = None,
) -> Estimate | None:
  """Ours over theirs; with both intervals the ends lie at their worst."""
  if here is None or there is None:
    return None
  ends = (None, None)
  if here.low is not None and here.high is not None:
    ends = (here.low / (high or there), here.high / (low or there))
  return Estimate(here.value / there, here.at_least, *ends)


def _notes(
  reference: Reference, record: TrialRecord, same: bool | None
) -> Iterator[str]:
  """What to mind with a ratio that is made all the same."""
  if same is None:
    yield "whether the hardware is the same is not known"
  elif not same:
    here = hardware(record)
    yield f"other hardware ({reference.hardware} there, {here} here)"
  batch = record.config.get("batch_size")
  if reference.batch_size not in (None, batch):
    yield f"batch {reference.batch_size} there, {batch} here"
  precision = record.config.get("precision", "")
  if reference.precision and _plain(reference.precision) != _plain(precision):
    yield f"precision {reference.precision} there, {precision or '?'} here"
  if record.init_from or record.pretrained:
    yield "training here began with pretrained weights"
  if not reference.phases:
    yield "which phases of its run it counts is not said; here training alone"


def _joule_notes(
  reference: Reference, ground: Comparison, modelled: bool | None
) -> Iterator[str]:
  if modelled or ground.estimated:
    yield (
      f"joules {'estimated' if modelled else 'measured or not said'} there,"
      f" {'estimated' if ground.estimated else 'measured'} here"
    )
  if not reference.boundary:
    yield "which parts of the machine its joules cover is not said"


def _nearest(reference: Reference, groups: Sequence[Group]) -> Group:
  """The cheapest group of the same batch, or of all where none has it."""
  same = [
    group
    for group in groups
    if _first(group).config.get("batch_size") == reference.batch_size
  ]
  return min(same or groups, key=_joules_order)


def _joules_order(group: Group) -> tuple[bool, float]:
  """Sorts by the median, with those that are only bounded last."""
  found = group.joules
  return (True, 0.0) if found is None else (found.at_least, found.value)


def model(record: TrialRecord) -> str:
  """A model's name, with its width and depth where they are not its own."""
  facts: Any = record.config.get("model") or {}
  words = [str(facts.get("name", ""))]
  for field in ("width", "depth"):
    if facts.get(field, 1.0) != 1.0:
      words.append(f"{field} {facts[field]:g}")
  return " ".join(words)


def _first(group: Group) -> TrialRecord:
  """A trial that ran, if any did: a failed one knows no device and no meter."""
  ran = (record for record in group.records if record.status != "failed")
  return next(ran, group.records[0])


def _plain(text: str) -> str:
  return re.sub(r"[\W_]+", "", text.lower())


def _same(there: str, here: str) -> bool | None:
  return _chips(there) == _chips(here) if there and here else None


def _chips(text: str) -> tuple[str, frozenset[str]]:
  """How many of what: makers left out, "1 x NVIDIA H200" is one h200."""
  counted = re.match(r"(\d+)\s*x\s+", text)
  name = text[counted.end() :] if counted else text
  words = frozenset(re.findall(r"\w+", name.lower())) - MAKERS
  return counted[1] if counted else "1", words


UNKNOWN = "unknown"

HARDWARE = {True: "same", False: "other", None: UNKNOWN}


PLACE = 60


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers the question from records, or with nothing."""
  if not given.references:
    return ()
  return (section(given.references, compared.records),)


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
    title="Numbers from elsewhere",
    tables=(_given(references), *([_beside(found)] if found else [])),
    lines=tuple(lines),
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
        _joules_of_reference(r),
        number(r.seconds) if r.seconds else UNKNOWN,
        " + ".join(r.boundary) or UNKNOWN,
        r.source,
      )
      for r in references
    ),
    ("As their sources give them; nothing of this was measured here.",),
  )


def _joules_of_reference(r: Reference) -> str:
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
