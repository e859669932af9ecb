"""The stages of a model's life, as far as records tell their energy."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jaxpower.records import TrialRecord
from jaxpower.report.assumptions import Assumption
from jaxpower.report.carbon import Hardware, scaled
from jaxpower.report.costs import SECONDS, costs
from jaxpower.report.groups import Comparison, Group
from jaxpower.report.labels import counted, plain, start
from jaxpower.report.statistics import Cost, Estimate, median, ratio
from jaxpower.report.ways import SCRATCH


@dataclass(frozen=True)
class Use:
  """Energy, and how long the machine was held for it; None: unknown."""

  joules: Estimate | None
  seconds: Estimate | None

  def times(self, factor: float) -> "Use":
    """So many of it."""
    return Use(scaled(self.joules, factor), scaled(self.seconds, factor))


@dataclass(frozen=True)
class Stage:
  """One stage of a life: its short name, what it counts, what it spent."""

  name: str
  counts: str
  use: Use


def life(
  comparison: Comparison,
  tried: Sequence[TrialRecord],
  origins: Sequence[TrialRecord],
  given: Mapping[str, Assumption],
) -> list[Stage]:
  """The stages of a life with the best setting, in their order."""
  best = comparison.best
  begun = best and any(start(r) != SCRATCH for r in best.records)
  found = []
  if begun and (whole := _pretraining(tried, origins)):
    tasks = given.get("downstream_tasks")
    counts = f"1 of {plain(tasks.value)} tasks" if tasks else "not shared"
    share = whole.times(1 / tasks.value if tasks else 1)
    found.append(Stage("pretraining", counts, share))
  searched = list(tried) if begun else [*tried, *origins]
  counts = _attempts(searched)
  found.append(Stage("search", counts, spent(searched)))
  trainings = given.get("trainings")
  count = trainings.value if trainings else 1.0
  one = one_training(best) if best else Use(None, None)
  noun = "training" if count == 1 else "trainings"
  found.append(Stage("training", f"{plain(count)} {noun}", one.times(count)))
  if inferences := given.get("inferences"):
    one = one_inference(best) if best else Use(None, None)
    counts = f"{plain(inferences.value)} examples"
    found.append(Stage("inference", counts, one.times(inferences.value)))
  return found


def _pretraining(
  tried: Sequence[TrialRecord], origins: Sequence[TrialRecord]
) -> Use | None:
  """All that was spent on what trials began from, weights given included.

  None where that were trials of the sweep alone, which its search counts.
  """
  measured = spent(origins)
  weights = {
    str(r.pretrained.get("path")): r.pretrained.get("joules")
    for r in (*tried, *origins)
    if r.pretrained is not None
  }
  parts = [
    Estimate(float(joules)) if isinstance(joules, int | float) else None
    for joules in weights.values()
  ]
  missing = {r.init_from for r in tried} - {None}
  missing -= {r.trial_id for r in (*tried, *origins)}
  parts += [measured.joules] if origins else []
  parts += [None] if missing else []
  return Use(add(parts), measured.seconds) if parts else None


def began_from(
  tried: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> list[TrialRecord]:
  """What trials began from, and what that began from, every attempt at it.

  None of the trials themselves, where one began from another.
  """
  named: set[str | None] = {r.init_from for r in tried}
  before = -1
  while len(named) != before:
    before = len(named)
    named |= {r.init_from for r in records if r.trial_id in named}
  named -= {r.trial_id for r in tried}
  return [r for r in records if r.trial_id in named]


def spent(records: Sequence[TrialRecord]) -> Use:
  """All that trials spent, every phase of every trial, however they ended.

  A phase or a trial that the meter did not see makes the sum a lower bound; a
  sum of nothing but such is unknown.
  """
  joules = [j for r in records for j in r.joules_by_phase.values() or (None,)]
  return Use(_sum(joules), _sum(map(_held, records)))


def one_training(group: Group) -> Use:
  """The train phase to the target, medians over seeds."""
  return Use(group.joules, median(costs(group.records, SECONDS) or ()))


def one_inference(group: Group) -> Use:
  """One example through the trained network, medians over seeds."""
  return Use(
    median(_inference_joules(group.records) or ()),
    median(_all(map(_inference_seconds, _ran(group.records))) or ()),
  )


def half(group: Group) -> Estimate | None:
  """How many inferences cost what one training did: E_train / E_inference."""
  return ratio(
    costs(group.records) or (), _inference_joules(group.records) or ()
  )


def add(parts: Iterable[Estimate | None]) -> Estimate | None:
  """The sum, a lower bound where a part is one or is unknown.

  Ends of intervals are added too: no narrower than the true interval.
  """
  parts = tuple(parts)
  known = [part for part in parts if part is not None]
  if not known:
    return None
  at_least = len(known) < len(parts) or any(part.at_least for part in known)
  total = Estimate(math.fsum(part.value for part in known), at_least)
  if at_least or all(part.low is None for part in known):
    return total
  return Estimate(
    total.value,
    low=math.fsum(p.value if p.low is None else p.low for p in known),
    high=sum(p.value if p.high is None else p.high for p in known),
  )


def hardware(
  records: Sequence[TrialRecord], given: Mapping[str, Assumption]
) -> Hardware:
  """The hardware of trials, with what is assumed of it."""

  def known(name: str) -> float | None:
    return given[name].value if name in given else None

  return Hardware(
    gpus=_gpus_of(records),
    gpu_kg_co2e=known("gpu_embodied"),
    gpu_hours=known("gpu_lifetime"),
    host_kg_co2e=known("host_embodied"),
    host_hours=known("host_lifetime"),
    host_share=known("host_share"),
  )


def _gpus_of(records: Iterable[TrialRecord]) -> int | None:
  """How many GPUs each trial trained on; None where not known or not equal."""
  counts = {_gpus(record) for record in records if record.status != "failed"}
  return counts.pop() if len(counts) == 1 else None


def _attempts(records: Sequence[TrialRecord]) -> str:
  trials = len({record.trial_id for record in records})
  again = f" in {len(records)} attempts" if len(records) > trials else ""
  return f"{counted(trials, 'trial')}{again}, every phase"


def _inference_joules(
  records: Sequence[TrialRecord],
) -> tuple[Cost, ...] | None:
  return _all(r.infer_joules_per_example for r in _ran(records))


def _inference_seconds(record: TrialRecord) -> float | None:
  seconds = record.seconds_by_phase.get("infer")
  if seconds is None or not record.infer_examples:
    return None
  return seconds / record.infer_examples


def _ran(records: Sequence[TrialRecord]) -> list[TrialRecord]:
  return [record for record in records if record.status != "failed"]


def _all(values: Iterable[float | None]) -> tuple[Cost, ...] | None:
  found = [None if value is None else Cost(value) for value in values]
  known = tuple(cost for cost in found if cost is not None)
  return known if len(known) == len(found) else None


def _sum(values: Iterable[float | None]) -> Estimate | None:
  return add(None if value is None else Estimate(value) for value in values)


def _held(record: TrialRecord) -> float | None:
  """Seconds that a trial held the machine, waits between phases included."""
  if record.wall_seconds is not None:
    return record.wall_seconds
  return math.fsum(record.seconds_by_phase.values()) or None


def _gpus(record: TrialRecord) -> int | None:
  devices = record.provenance.get("devices")
  if isinstance(devices, list) and devices:
    return sum(device.get("platform") != "cpu" for device in devices)
  domains = record.meter.get("domains") or ()
  found = sum(domain.get("kind") == "gpu" for domain in domains)
  return found or None
