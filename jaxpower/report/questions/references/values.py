"""Which records did the same work as a reference, and what differs."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import model_name
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.costs import COUNTINGS, ran
from jaxpower.report.compare.fitted_settings import fit_settings
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.compare.system import hardware
from jaxpower.report.given import Given
from jaxpower.report.given.references import BOUNDARY, Reference

TOLERANCE = 0.001  # of a target accuracy, chosen: a tenth of a point


# Names of makers and brands, and what is left of (R) and (TM): no part of which
# chip it is, since one source writes "NVIDIA H200" and another "H200".
MAKERS = {"amd", "geforce", "intel", "nvidia", "quadro", "r", "tesla", "tm"}


# The way to count of `costs.COUNTINGS` that adds up just these phases; those of
# a reference that does not say are taken for training alone.
COUNTING_OF_PHASES = {
  (): "train",
  ("train",): "train",
  ("compile", "train"): "compile",
  ("train", "eval"): "eval",
}
TRAIN_ALONE = ((), ("train",))  # of these phases the records know the seconds
Fact = Literal[
  "accuracy",  # that it stopped at, below its own target
  "batch_size",
  "boundary",
  "data",
  "energy",  # of the trials here: unknown
  "estimated",
  "hardware",
  "joules",
  "model",
  "phases",
  "phases_of_joules",
  "phases_of_seconds",
  "precision",
  "pretrained",
  "seconds",
  "target_accuracy",
  "tasks",
  "trials",  # none are recorded here
]


@dataclass(frozen=True)
class Difference:
  """A fact that differs there, in a reference, and here, in records.

  None, or empty, is unknown.
  """

  fact: Fact
  there: Any = None
  here: Any = None


@dataclass(frozen=True, kw_only=True)
class Match:
  """A reference beside the cheapest group of trials that did the same work.

  Attributes:
    reference: The reference.
    group: The trials here.
    framework: Theirs.
    joules_here: The group's, over the phases that the reference counts.
    joules_there: The reference's, over the parts of the machine that the
      group's cover; None where it has no such number.
    estimated_here: Whether the group's joules are modelled.
    estimated_there: Whether the reference's are; None where it does not say.
    seconds_here: The group's, of training to the target.
    joules_ratio: The group's over the reference's; None for no such ratio.
    seconds_ratio: The same of seconds.
    same_hardware: By its name; None where one is not known.
    obstacles: Why a ratio is None.
    caveats: What else may mislead.
  """

  reference: Reference
  group: Group
  framework: str
  joules_here: Estimate | None
  joules_there: float | None
  estimated_here: bool
  estimated_there: bool | None
  seconds_here: Estimate | None
  joules_ratio: Estimate | None
  seconds_ratio: Estimate | None
  same_hardware: bool | None
  obstacles: tuple[Difference, ...]
  caveats: tuple[Difference, ...]


@dataclass(frozen=True)
class Beside:
  """A reference with its matches, or with the obstacles where it has none."""

  reference: Reference
  matches: tuple[Match, ...]
  obstacles: tuple[Difference, ...]


def find(compared: Compared, given: Given) -> tuple[Beside, ...]:
  """Finds which records each reference compares with."""
  return tuple(
    _beside(reference, compared.comparisons) for reference in given.references
  )


def _beside(reference: Reference, comparisons: Sequence[Comparison]) -> Beside:
  same_work = matches(reference, comparisons)
  if same_work:
    return Beside(reference, same_work, ())
  return Beside(reference, (), obstacles(reference, comparisons))


def matches(
  reference: Reference, comparisons: Sequence[Comparison]
) -> tuple[Match, ...]:
  """Matches a reference with trials that did the same work.

  At most one match for each comparison and framework.
  """
  pairs = []
  for comparison in comparisons:
    same_work = [
      group
      for group in comparison.groups
      if group.joules and not _differences(reference, comparison, group)
    ]
    for framework in sorted({_first(group).framework for group in same_work}):
      groups = [g for g in same_work if _first(g).framework == framework]
      pairs.append((comparison, _nearest(reference, groups)))
  return tuple(_match(reference, *pair) for pair in pairs)


def obstacles(
  reference: Reference, comparisons: Sequence[Comparison]
) -> tuple[Difference, ...]:
  """Lists the differences of a reference from the nearest group."""
  by_group = [
    _differences(reference, comparison, group)
    or [Difference("energy", here=group.unknown)]
    for comparison in comparisons
    for group in comparison.groups
  ]
  return tuple(min(by_group, key=len, default=[Difference("trials")]))


def _differences(
  reference: Reference, comparison: Comparison, group: Group
) -> list[Difference]:
  """Lists the differences of the work; empty where it is the same."""
  model = model_name(_first(group))
  target, accuracy = reference.target_accuracy, reference.accuracy
  differences = []
  if not _same_name(reference.data, comparison.data):
    differences.append(Difference("data", reference.data, comparison.data))
  if not _same_name(reference.model, model):
    differences.append(Difference("model", reference.model, model))
  if comparison.tasks != ("label",):
    differences.append(Difference("tasks", ("label",), comparison.tasks))
  if target is None or abs(target - comparison.target_accuracy) > TOLERANCE:
    differences.append(
      Difference("target_accuracy", target, comparison.target_accuracy)
    )
  if target is not None and accuracy is not None and accuracy < target:
    differences.append(Difference("accuracy", accuracy, target))
  return differences


def _nearest(reference: Reference, groups: Sequence[Group]) -> Group:
  """Picks the cheapest group of the same batch, or of all where none has it."""
  same_batch = [
    group
    for group in groups
    if _first(group).config.get("batch_size") == reference.batch_size
  ]
  return min(same_batch or groups, key=_joules_order)


def _joules_order(group: Group) -> float:
  return group.joules.value if group.joules else math.inf


def _match(reference: Reference, comparison: Comparison, group: Group) -> Match:
  record = _first(group)
  counting = COUNTING_OF_PHASES.get(reference.phases)
  joules_there, estimated_there = _covering(reference, boundary(record))
  joules_here = _cost(comparison, group, counting) if counting else None
  joules_ratio = _over(
    joules_here, joules_there, reference.joules_low, reference.joules_high
  )
  seconds_ratio = None
  if reference.phases in TRAIN_ALONE:
    seconds_ratio = _over(group.seconds, reference.seconds)
  caveats = [*_caveats(reference, record)]
  if joules_ratio:
    caveats += _joules_caveats(reference, estimated_there, comparison.estimated)
  return Match(
    reference=reference,
    group=group,
    framework=record.framework,
    joules_here=joules_here if counting else group.joules,
    joules_there=joules_there if counting else None,
    estimated_here=comparison.estimated,
    estimated_there=estimated_there,
    seconds_here=group.seconds,
    joules_ratio=joules_ratio,
    seconds_ratio=seconds_ratio,
    same_hardware=_same_hardware(reference.hardware, hardware(record)),
    obstacles=(
      *_joules_obstacles(
        reference, boundary(record), joules_here, joules_there
      ),
      *_seconds_obstacles(reference),
    ),
    caveats=tuple(caveats),
  )


def _cost(
  comparison: Comparison, group: Group, counting: str
) -> Estimate | None:
  """Returns what a group typically costs, counted over just these phases."""
  if counting == "train":
    return group.joules
  settings = [each.records for each in comparison.groups]
  fitted = fit_settings(settings, COUNTINGS[counting])
  return fitted.cost(comparison.place(group))


def _covering(
  reference: Reference, parts: tuple[str, ...]
) -> tuple[float | None, bool | None]:
  """Returns joules of a reference over just these parts, if estimated too.

  None where it has no such number; where it does not say what its joules
  cover, they are taken as they are.
  """
  if not reference.boundary or reference.boundary == parts:
    return reference.joules, reference.estimated
  if parts and set(parts) <= reference.joules_by_part.keys():
    joules = sum(reference.joules_by_part[part] for part in parts)
    return joules, bool(set(parts) & set(reference.modelled))
  return None, reference.estimated


def _over(
  here: Estimate | None,
  there: float | None,
  low: float | None = None,
  high: float | None = None,
) -> Estimate | None:
  """Divides ours by theirs; the interval is the widest of both intervals."""
  if here is None or there is None:
    return None
  ends = (None, None)
  if here.low is not None and here.high is not None:
    ends = (here.low / (high or there), here.high / (low or there))
  return Estimate(here.value / there, low=ends[0], high=ends[1])


def _joules_obstacles(
  reference: Reference,
  parts: tuple[str, ...],
  joules_here: Estimate | None,
  joules_there: float | None,
) -> Iterator[Difference]:
  """Lists why there is no ratio of joules."""
  if reference.joules is None:
    yield Difference("joules")
  elif reference.phases not in COUNTING_OF_PHASES:
    yield Difference("phases_of_joules", reference.phases)
  elif joules_there is None:
    yield Difference("boundary", reference.boundary, parts)
  elif joules_here is None:
    yield Difference("joules", joules_there)


def _seconds_obstacles(reference: Reference) -> Iterator[Difference]:
  """Lists why there is no ratio of seconds."""
  if reference.seconds is None:
    yield Difference("seconds")
  elif reference.phases not in TRAIN_ALONE:
    yield Difference("phases_of_seconds", reference.phases)


def _caveats(reference: Reference, record: TrialRecord) -> Iterator[Difference]:
  """Lists what to note beside a ratio."""
  if not _same_hardware(reference.hardware, hardware(record)):
    yield Difference("hardware", reference.hardware, hardware(record))
  batch_size = record.config.get("batch_size")
  if reference.batch_size not in (None, batch_size):
    yield Difference("batch_size", reference.batch_size, batch_size)
  precision = record.config.get("precision", "")
  if reference.precision and _plain(reference.precision) != _plain(precision):
    yield Difference("precision", reference.precision, precision)
  if record.init_from or record.pretrained:
    yield Difference("pretrained", here=True)
  if not reference.phases:
    yield Difference("phases", here=("train",))


def _joules_caveats(
  reference: Reference, estimated_there: bool | None, estimated_here: bool
) -> Iterator[Difference]:
  # Nothing to note where both are estimated.
  if estimated_there != estimated_here and (estimated_there or estimated_here):
    yield Difference("estimated", estimated_there, estimated_here)
  if not reference.boundary:
    yield Difference("boundary")


def _first(group: Group) -> TrialRecord:
  """Picks a trial that ran, if any did: a failed one has no device or meter."""
  return next(iter(ran(group.records)), group.records[0])


def boundary(record: TrialRecord) -> tuple[str, ...]:
  """Returns the parts of the machine that a record's joules cover."""
  kinds = {
    str(domain.get("kind"))
    for domain in record.meter.get("domains", ())
    if domain.get("domain") in record.joules_by_domain
  }
  return tuple(part for part in BOUNDARY if part in kinds)


def _same_name(there: str, here: str) -> bool:
  """Returns whether both are known and equal but for case and punctuation."""
  return bool(there and here) and _plain(there) == _plain(here)


def _plain(text: str) -> str:
  return re.sub(r"[\W_]+", "", text.lower())


def _same_hardware(there: str, here: str) -> bool | None:
  return _chips(there) == _chips(here) if there and here else None


def _chips(text: str) -> tuple[str, frozenset[str]]:
  """Reads how many of which chip: "2 x NVIDIA H200" is "2" and {"h200"}."""
  counted = re.match(r"(\d+)\s*x\s+", text)
  name = text[counted.end() :] if counted else text
  names = frozenset(re.findall(r"\w+", name.lower())) - MAKERS
  return counted[1] if counted else "1", names
