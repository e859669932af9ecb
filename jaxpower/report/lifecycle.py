"""A model's energy from first weight to last inference, and what it emits.

Joules stay as they were measured; what an assumption makes of them stands in
columns of its own.
"""

from collections.abc import Mapping, Sequence

from jaxpower.records import TrialRecord
from jaxpower.report import payback, stages
from jaxpower.report.assumptions import KINDS, Assumption
from jaxpower.report.carbon import (
  JOULES_PER_KWH,
  Hardware,
  embodied_grams,
  kwh,
  operational_grams,
  scaled,
)
from jaxpower.report.groups import Comparison, compare, title
from jaxpower.report.labels import (
  labels,
  number,
  plain,
  setting,
  value,
)
from jaxpower.report.sections import Section
from jaxpower.report.stages import Stage, Use
from jaxpower.report.tables import Table, estimate, in_words, joules_word

TITLE = "Life cycle: from first weight to last inference"


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
    lead = title(comparison, comparisons)
    tables_here, lines_here = _told(comparison, records, given)
    shown += tables_here
    lines += [f"{lead}: {line}" if lead else line for line in lines_here]
  lines += _ungiven(given)
  return Section(TITLE, (*shown, _assumptions(given)), tuple(lines))


def _told(
  comparison: Comparison,
  records: Sequence[TrialRecord],
  given: Mapping[str, Assumption],
) -> tuple[list[Table], list[str]]:
  ids = {r.trial_id for g in comparison.groups for r in g.records}
  tried = [r for r in records if r.trial_id in ids]
  origins = stages.began_from(tried, records)
  search = stages.spent([*tried, *origins])
  life = stages.life(comparison, tried, origins, given)
  hardware = stages.hardware([*tried, *origins], given)
  paid = payback.instead_of(comparison, records, search.joules)
  shown = [_stage_table(comparison, life, hardware, given)]
  if paid:
    shown.append(payback.table(comparison, paid, search.joules))
  shown.append(_inference_table(comparison))
  lines = [
    *_sum_told(life),
    *payback.lines(comparison, paid, search.joules, len(tried), len(origins)),
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
    stages.add(stage.use.joules for stage in life),
    stages.add(stage.use.seconds for stage in life),
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
  columns = ("stage", "counts", joules_word(comparison), *made)
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
      estimate(stages.one_inference(group).joules),
      estimate(stages.half(group)),
    )
    for group in comparison.groups
  )
  return Table(
    (
      *(words[path] for path in comparison.paths),
      f"{joules_word(comparison)} per inference",
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
    (name.replace("_", " "), plain(a.value), a.unit, a.source, a.date)
    for name, a in given.items()
  )
  return Table(("assumption", "value", "unit", "source", "date"), rows)


def _sum_told(life: Sequence[Stage]) -> list[str]:
  whole = stages.add(stage.use.joules for stage in life)
  if whole is None:
    return ["What this life spent is unknown: the meter saw no joules."]
  unseen = [stage.name for stage in life if stage.use.joules is None]
  text = f"In all {in_words(whole)} J"
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
  one = stages.one_inference(best).joules if best else None
  if best is None or (count := stages.half(best)) is None or one is None:
    return ["How many inferences cost what training did is unknown."]
  name = f"At {setting(best.varied)}, " if best.varied else ""
  text = f"{name}{in_words(count)} inferences cost what one training did"
  if before := stages.add(
    stage.use.joules for stage in life if stage.name != "inference"
  ):
    all_told = scaled(before, 1 / one.value)
    text += f", {in_words(all_told or before)} what all before them did"
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
