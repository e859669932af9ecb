"""A model's energy from first weight to last inference, and what it emits.

Joules stay as they were measured; what an assumption makes of them stands in
columns of its own.

After how many trainings a search for the best setting is paid back.

The stages of a model's life, as far as records tell their energy.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from jaxpower.records import TrialRecord
from jaxpower.report.cells import (
  at_least,
  break_even_cell,
  break_even_point,
  estimate,
  name_among,
)
from jaxpower.report.compare.break_even import BreakEven, break_even
from jaxpower.report.compare.comparable import SCRATCH, start
from jaxpower.report.compare.comparison import (
  Compared,
  Comparison,
  Group,
  compare,
)
from jaxpower.report.compare.costs import SECONDS, costs
from jaxpower.report.compare.statistics import Cost, Estimate, median, ratio
from jaxpower.report.findings import Section, Table
from jaxpower.report.given import Given
from jaxpower.report.given.assumptions import KINDS, Assumption
from jaxpower.report.given.carbon import (
  JOULES_PER_KWH,
  Hardware,
  embodied_grams,
  kwh,
  operational_grams,
  scaled,
)
from jaxpower.wording import (
  as_given,
  count,
  joules_name,
  labels,
  number,
  percent,
  setting,
  value,
)


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


def stages_of_life(
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
    counts = f"1 of {as_given(tasks.value)} tasks" if tasks else "not shared"
    share = whole.times(1 / tasks.value if tasks else 1)
    found.append(Stage("pretraining", counts, share))
  searched = list(tried) if begun else [*tried, *origins]
  counts = _attempts(searched)
  found.append(Stage("search", counts, spent(searched)))
  trainings = given.get("trainings")
  count = trainings.value if trainings else 1.0
  one = one_training(best) if best else Use(None, None)
  noun = "training" if count == 1 else "trainings"
  found.append(Stage("training", f"{as_given(count)} {noun}", one.times(count)))
  if inferences := given.get("inferences"):
    one = one_inference(best) if best else Use(None, None)
    counts = f"{as_given(inferences.value)} examples"
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


def hardware_of(
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
  return f"{count(trials, 'trial')}{again}, every phase"


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


@dataclass(frozen=True)
class Instead:
  """A setting that might have been taken without searching."""

  name: str
  group: Group
  trainings: BreakEven | None


def instead_of(
  comparison: Comparison,
  records: Sequence[TrialRecord],
  search: Estimate | None,
) -> tuple[Instead, ...]:
  """After how many trainings the search is paid back, against three settings.

  The median setting (of two the cheaper), the one first tried in `records`,
  and the worst; none that is the best setting itself, none twice.
  """
  best = comparison.best
  joules = [(g.joules.value, g) for g in comparison.groups if g.joules]
  known = [group for _, group in sorted(joules, key=lambda pair: pair[0])]
  if best is None or search is None or len(known) < 2:
    return ()
  first = _first_tried(known, records)
  found, seen = [], {json.dumps(best.varied)}
  for name, group in (
    ("the median setting", known[(len(known) - 1) // 2]),
    ("the first one tried", first),
    ("the worst setting", comparison.worst or known[-1]),
  ):
    if group is None or json.dumps(group.varied) in seen:
      continue
    seen.add(json.dumps(group.varied))
    found.append(Instead(name, group, _paid_back(search, group, best)))
  return tuple(found)


def payback_table(
  comparison: Comparison,
  paid: Sequence[Instead],
  search: Estimate | None,
) -> Table:
  """A row for each setting that might have been taken, and the best one."""
  best = comparison.best
  rows = [
    (
      instead.name,
      setting(instead.group.varied),
      estimate(instead.group.joules),
      break_even_cell(instead.trainings),
    )
    for instead in paid
  ]
  goal = percent(comparison.target_accuracy)
  name = setting(best.varied) if best else "unknown"
  joules = estimate(best.joules) if best else "unknown"
  return Table(
    (
      "instead of",
      "which is",
      f"{joules_name(comparison.estimated)} to {goal}",
      "trainings to pay the search back",
    ),
    (*rows, ("the best setting", name, joules, "")),
    (
      f"The joules of the whole search, {estimate(search)}, over what one"
      " training at the best setting saves.",
      "The best setting was chosen by the same trials, so what it saves is"
      " rather over- than underestimated.",
    ),
  )


def payback_lines(
  comparison: Comparison,
  paid: Sequence[Instead],
  search: Estimate | None,
  trials: int,
  origins: int,
) -> list[str]:
  """What the search cost and when it is paid back, in sentences."""
  if search is None:
    return ["What finding the best setting cost is unknown."]
  more = f" and {origins} of pretraining" if origins else ""
  all_of_it = f"{count(trials, 'trial')}{more}"
  said = [f"The whole sweep, {all_of_it}, spent {at_least(search)} J."]
  if comparison.best is None:
    return [*said, "No setting is known to be the best one."]
  if not paid:
    return [*said, "There was no other setting to search among."]
  return said + [
    f"Taking {setting(comparison.best.varied)} instead of {i.name}"
    f" ({setting(i.group.varied)}) {_paid_back_after(i.trainings)}."
    for i in paid
  ]


def _paid_back_after(found: BreakEven | None) -> str:
  if found is None or found.uses is None:
    return "pays the search back nobody can tell when"
  if found.never:
    return "never pays the search back"
  text = f"pays the search back after {break_even_point(found)} trainings"
  return f"{text}, though perhaps never" if found.perhaps_never else text


def _paid_back(search: Estimate, group: Group, best: Group) -> BreakEven | None:
  before, after = _cost_by_seed(group.records), _cost_by_seed(best.records)
  seeds = sorted(before.keys() & after.keys())
  found = break_even(
    [Cost(search.value)] * len(seeds),
    [before[seed] for seed in seeds],
    [after[seed] for seed in seeds],
  )
  if found is None or found.uses is None or found.never:
    return found
  if not search.at_least:
    return found
  # What the search cost has no upper end; that alone is no reason for never.
  if found.at_most:
    return BreakEven(None)
  return replace(found, at_least=True, high=None)


def _cost_by_seed(records: Sequence[TrialRecord]) -> dict[int, Cost]:
  return {r.seed: cost for r in records for cost in costs([r]) or ()}


def _first_tried(
  groups: Sequence[Group], records: Sequence[TrialRecord]
) -> Group | None:
  """The setting of the trial recorded first, among those with joules."""
  order = {r.trial_id: number for number, r in reversed([*enumerate(records)])}
  return min(
    groups,
    key=lambda g: min(order.get(r.trial_id, math.inf) for r in g.records),
    default=None,
  )


TITLE = "Life cycle: from first weight to last inference"


PLACE = 70


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers the question from records, or with nothing."""
  if not given.assumptions:
    return ()
  return (section(compared.attempts, given.assumptions),)


def section(
  records: Sequence[TrialRecord], given: Mapping[str, Assumption]
) -> Section:
  """The life cycle that records and assumptions tell.

  `records` may hold a trial more than once, where it failed and was repeated:
  what it spent is counted each time, how it ended is its newest record's.
  """
  newest = {record.trial_id: record for record in records}
  comparisons = compare(newest.values())
  shown, lines = [], []
  for comparison in comparisons:
    lead = name_among(comparison, comparisons)
    tables_here, lines_here = _life_cycle(comparison, records, given)
    shown += tables_here
    lines += [f"{lead}: {line}" if lead else line for line in lines_here]
  lines += _ungiven(given)
  tables = (*shown, _assumptions(given))
  return Section(title=TITLE, tables=tables, lines=tuple(lines))


def _life_cycle(
  comparison: Comparison,
  records: Sequence[TrialRecord],
  given: Mapping[str, Assumption],
) -> tuple[list[Table], list[str]]:
  ids = {r.trial_id for g in comparison.groups for r in g.records}
  tried = [r for r in records if r.trial_id in ids]
  origins = began_from(tried, records)
  search = spent([*tried, *origins])
  life = stages_of_life(comparison, tried, origins, given)
  hardware = hardware_of([*tried, *origins], given)
  paid = instead_of(comparison, records, search.joules)
  shown = [_stage_table(comparison, life, hardware, given)]
  if paid:
    shown.append(payback_table(comparison, paid, search.joules))
  shown.append(_inference_table(comparison))
  lines = [
    *_sum_told(life),
    *payback_lines(comparison, paid, search.joules, len(tried), len(origins)),
    *_inference_told(comparison, life),
    *_boundary(comparison, tried),
  ]
  if hardware.gpus is None and "gpu_embodied" in given:
    lines.append(
      "How many GPUs trained is not known or not one number: their carbon is"
      " not counted."
    )
  return shown, lines


def _stage_table(
  comparison: Comparison,
  life: Sequence[Stage],
  hardware: Hardware,
  given: Mapping[str, Assumption],
) -> Table:
  """A row a stage, and all of them: joules, then what is made of them."""
  whole = Use(
    add(stage.use.joules for stage in life),
    add(stage.use.seconds for stage in life),
  )
  small = whole.joules is None or whole.joules.value < JOULES_PER_KWH
  unit, per = ("Wh", 1000.0) if small else ("kWh", 1.0)
  pue = given["pue"].value if "pue" in given else 1.0
  made = {f"{unit} at the meter": lambda use: kwh(use.joules, per)}
  if "pue" in given:
    made[f"{unit} with PUE"] = lambda use: kwh(use.joules, per * pue)
  if "grid_intensity" in given:
    grams = given["grid_intensity"].value
    without = "" if "pue" in given else ", no PUE"
    made[f"g CO2e operational{without}"] = lambda use: operational_grams(
      use.joules, pue, grams
    )
  if hardware.counted:
    made[f"g CO2e embodied, {hardware.counted}"] = lambda use: embodied_grams(
      use.seconds, hardware
    )
  rows = [
    (
      stage.name,
      stage.counts,
      estimate(stage.use.joules),
      *(estimate(make(stage.use)) for make in made.values()),
    )
    for stage in (*life, Stage("all of these", "", whole))
  ]
  columns = ("stage", "counts", joules_name(comparison.estimated), *made)
  notes = (
    "Training is the train phase to the target, as everywhere; the search and"
    " pretraining are all phases of every trial, repeats over seeds with them.",
    "In brackets 95 % intervals over seeds; a sum adds the ends of its parts."
    " > marks a lower bound: something spent was not seen.",
  )
  return Table(columns, tuple(rows), notes)


def _inference_table(comparison: Comparison) -> Table:
  words = labels(comparison.paths)
  rows = tuple(
    (
      *(value(group.varied.get(path)) for path in comparison.paths),
      estimate(one_inference(group).joules),
      estimate(half(group)),
    )
    for group in comparison.groups
  )
  return Table(
    (
      *(words[path] for path in comparison.paths),
      f"{joules_name(comparison.estimated)} per inference",
      "inferences at which training is half",
    ),
    rows,
    (
      "An inference is one example of a forward pass over the test set in large"
      " batches, measured in the infer phase.",
    ),
  )


def _assumptions(given: Mapping[str, Assumption]) -> Table:
  rows = tuple(
    (name.replace("_", " "), as_given(a.value), a.unit, a.source, a.date)
    for name, a in given.items()
  )
  return Table(("assumption", "value", "unit", "source", "date"), rows)


def _sum_told(life: Sequence[Stage]) -> list[str]:
  whole = add(stage.use.joules for stage in life)
  if whole is None:
    return ["What this life spent is unknown: the meter saw no joules."]
  unseen = [stage.name for stage in life if stage.use.joules is None]
  text = f"In all {at_least(whole)} J"
  if unseen:
    text += f" without {' and '.join(unseen)}, unknown"
  elif whole.value > 0:
    shares = [
      f"{stage.name} {number(100 * stage.use.joules.value / whole.value, 2)} %"
      for stage in life
      if stage.use.joules
    ]
    text += f": {', '.join(shares)}"
  return [f"{text}."]


def _inference_told(comparison: Comparison, life: Sequence[Stage]) -> list[str]:
  best = comparison.best
  one = one_inference(best).joules if best else None
  if best is None or (count := half(best)) is None or one is None:
    return ["How many inferences cost what training did is unknown."]
  name = f"At {setting(best.varied)}, " if best.varied else ""
  text = f"{name}{at_least(count)} inferences cost what one training did"
  if before := add(
    stage.use.joules for stage in life if stage.name != "inference"
  ):
    all_told = scaled(before, 1 / one.value)
    text += f", {at_least(all_told or before)} what all before them did"
  return [f"{text[0].upper()}{text[1:]}."]


def _boundary(
  comparison: Comparison, tried: Sequence[TrialRecord]
) -> list[str]:
  domains = " + ".join(comparison.domains) or "nothing: there was no meter"
  said = [
    f"The joules cover {domains}. What else a computer draws, its power supply"
    " and fans with it, is in no column; a PUE only adds the building to it."
  ]
  weights = {
    str(r.pretrained.get("path")): r.pretrained for r in tried if r.pretrained
  }
  said += [
    f"What {path} cost to make is given, not measured here:"
    f" {facts.get('source') or 'without a source'}."
    for path, facts in weights.items()
  ]
  unseen = sum(not record.joules_by_phase for record in tried)
  if unseen:
    said.append(
      f"What {unseen} of {len(tried)} trials spent is unknown, and not zero."
    )
  bounds = [
    r.train_joules_bound / r.train_joules
    for r in tried
    if r.train_joules_bound is not None and r.train_joules
  ]
  if bounds:
    said.append(
      "The meter's own bound, at 95 %, is at most"
      f" {number(100 * max(bounds), 2)} % of a trial's training."
    )
  partial = sum(r.partial for r in tried if r.joules_by_phase)
  if partial:
    said.append(f"The meter saw {partial} trials only in part.")
  if comparison.estimated:
    said.append("Power is estimated, not measured, and so is all made of it.")
  return said


def _ungiven(given: Mapping[str, Assumption]) -> list[str]:
  left = [name.replace("_", " ") for name in KINDS if name not in given]
  if not left:
    return []
  return [f"Not given, so not counted: {', '.join(left)}."]
