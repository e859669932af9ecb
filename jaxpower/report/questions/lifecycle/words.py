"""A life in words: tables of stages, search and inference, and sentences."""

import math
from collections.abc import Callable, Mapping, Sequence

from jaxpower.report.cells import (
  PERHAPS_NEVER,
  UNKNOWN,
  at_least,
  break_even_cell,
  break_even_point,
  estimate,
  goal,
  joules,
  unit_of,
)
from jaxpower.report.charts import Stacks
from jaxpower.report.compare.break_even import BreakEven
from jaxpower.report.compare.cpu_time import covers_server
from jaxpower.report.compare.life import scaled
from jaxpower.report.compare.search_payback import Choice
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.findings import Figure, Section, Table
from jaxpower.report.given.assumptions import KINDS, Assumption
from jaxpower.report.given.carbon import Footprint, Hardware
from jaxpower.report.questions.lifecycle.values import (
  STAGES,
  Life,
  LifeCycle,
  Stage,
)
from jaxpower.wording import (
  ESTIMATED,
  as_given,
  capitalised,
  count,
  join_names,
  joules_name,
  label,
  labels,
  number,
  partly_measured,
  setting,
  value,
)

TITLE = "Life cycle"
STAGE_NOTES = (
  "Training counts set-up, compiling, warm-up, training to the target,"
  " evaluation and checkpoint; pretraining the same, once. The search counts"
  " all else that was spent: every phase of every trial, of all seeds.",
  "What a seed typically costs, in brackets its 95 % interval; a sum adds the"
  " ends of its parts."
  " > marks a lower bound: part of the energy was not measured.",
)
ONE_TRAINING = (
  "How often the best setting will be trained is not given: one training is"
  " counted, since without one there is no model."
)
CHOICE_NAMES: dict[Choice, str] = {
  "median": "the median setting",
  "first": "the first one tried",
  "worst": "the worst setting",
}
CAPTION = (
  "What a life spends in each of its stages; numbers are shares of the bar. A"
  " stage whose energy is unknown is not in it."
)
WH_PER_KWH = 1000.0


def tell(cycle: LifeCycle) -> Section:
  """Tells all lives in one section, and the assumptions at its end."""
  tables, lines = [], []
  for life in cycle.lives:
    lead = f"{life.name}: " if life.name else ""
    tables.append(_stage_table(life))
    if life.alternatives:
      tables.append(_search_table(life))
    tables.append(_inference_table(life))
    lines += [lead + line for line in _lines(life, cycle.assumptions)]
  tables.append(_assumption_table(cycle.assumptions))
  lines += _missing_lines(cycle.assumptions)
  return Section(
    title=TITLE,
    tables=tuple(tables),
    lines=tuple(lines),
    figures=figures(cycle),
  )


def figures(cycle: LifeCycle) -> tuple[Figure, ...]:
  """Draws the stages of every life; none where no joule is known."""
  chart = stages_chart(cycle.lives)
  known = any(joules for row in chart.joules for joules in row)
  return (Figure("life_cycle", (chart,), CAPTION),) if known else ()


def stages_chart(lives: Sequence[Life]) -> Stacks:
  """Makes a bar a life, its parts the stages."""
  parts = [
    p for p in STAGES if any(s.name == p for x in lives for s in x.stages)
  ]
  spent = [
    {stage.name: stage.use.joules for stage in life.stages} for life in lives
  ]
  return Stacks(
    title="",
    of="of a life",
    rows=tuple(life.name or "whole life" for life in lives),
    parts=tuple(parts),
    joules=tuple(
      tuple(j.value if (j := of_life.get(p)) else None for p in parts)
      for of_life in spent
    ),
    estimated=any(life.comparison.estimated for life in lives),
  )


def _missing_lines(assumptions: Mapping[str, Assumption]) -> list[str]:
  """Says which assumptions are not given, and what follows from it."""
  missing = [name for name in KINDS if name not in assumptions]
  lines = []
  if "trainings" in missing:
    missing.remove("trainings")
    lines.append(ONE_TRAINING)
  if missing:
    names = ", ".join(map(label, missing))
    lines.append(f"Not given, so not counted: {names}.")
  return lines


def _stage_table(life: Life) -> Table:
  """Makes a row a stage and one of the total: joules, then kWh and grams."""
  columns = _footprint_columns(life)
  stages = [(s.name, _counted(s), s.use, s.footprint) for s in life.stages]
  stages.append(("total", "", life.use, life.footprint))
  unit = unit_of(use.joules for _, _, use, _ in stages)
  rows = tuple(
    (
      name,
      counted,
      estimate(use.joules, unit),
      *(estimate(read(carbon)) for read in columns.values()),
    )
    for name, counted, use, carbon in stages
  )
  name = joules_name(life.comparison.estimated, unit)
  return Table(("stage", "counts", name, *columns), rows, STAGE_NOTES)


def _footprint_columns(
  life: Life,
) -> dict[str, Callable[[Footprint], Estimate | None]]:
  """Names the columns that the assumptions allow, and how each is read."""
  multipliers, whole = life.multipliers, life.footprint.kwh
  small = whole is None or whole.value < 1
  unit, factor = ("Wh", WH_PER_KWH) if small else ("kWh", 1.0)
  mark = "estimated " if life.comparison.estimated else ""
  columns: dict[str, Callable[[Footprint], Estimate | None]] = {
    f"{mark}{unit} at the meter": lambda carbon: scaled(carbon.kwh, factor)
  }
  if multipliers.pue is not None:
    columns[f"{mark}{unit} with PUE"] = lambda c: scaled(c.kwh_with_pue, factor)
  if multipliers.grams_co2e_per_kwh is not None:
    without = ", no PUE" if multipliers.pue is None else ""
    columns[f"{mark}g CO2e operational{without}"] = lambda c: (
      c.operational_grams
    )
  if hardware := hardware_name(multipliers.hardware):
    columns[f"g CO2e embodied, {hardware}"] = lambda c: c.embodied_grams
  return columns


def hardware_name(hardware: Hardware) -> str:
  """Names the hardware whose embodied carbon is known; empty for none."""
  gpus = hardware.gpu_kg_per_hour is not None
  host = hardware.host_kg_per_hour is not None
  if gpus and host:
    return "GPUs and host"
  return "GPUs alone" if gpus else "host alone" if host else ""


def _counted(stage: Stage) -> str:
  """Says what a stage counts: "1 of 10 tasks", "9 trials, every phase"."""
  amount = stage.amount
  if amount is None:
    return "not shared"
  if stage.name == "pretraining":
    return f"1 of {as_given(amount)} tasks"
  if stage.name == "search":
    repeated = stage.attempts > amount
    attempts = f" in {stage.attempts} attempts" if repeated else ""
    return f"{count(int(amount), 'trial')}{attempts}, every phase"
  if stage.name == "training":
    return f"{as_given(amount)} {'training' if amount == 1 else 'trainings'}"
  return f"{as_given(amount)} examples"


def _search_table(life: Life) -> Table:
  """Makes a row an alternative to searching, and one of the best setting."""
  comparison, best = life.comparison, life.comparison.best
  unit = unit_of([life.training, *(a.joules for a in life.alternatives)])
  rows = [
    (
      CHOICE_NAMES[alternative.choice],
      setting(alternative.group.varied),
      estimate(alternative.joules, unit),
      break_even_cell(alternative.trainings),
    )
    for alternative in life.alternatives
  ]
  name = setting(best.varied) if best else UNKNOWN
  rows.append(("the best setting", name, estimate(life.training, unit), ""))
  searched = joules(life.search, comparison.estimated)
  return Table(
    (
      "instead of",
      "setting",
      f"{joules_name(comparison.estimated, unit)} of a training to"
      f" {goal(comparison)}",
      "trainings to pay back the search",
    ),
    tuple(rows),
    (
      f"Trainings: the energy of the whole sweep, {searched}, over"
      " what one training at the best setting saves; both from set-up to"
      " checkpoint.",
      "The best setting was chosen by the same trials, so what it saves is more"
      " likely overestimated than underestimated.",
    ),
  )


def _inference_table(life: Life) -> Table:
  names = labels(life.comparison.paths)
  unit = unit_of(inference.joules for inference in life.inferences)
  rows = tuple(
    (
      *(value(inference.group.varied.get(path)) for path in names),
      estimate(inference.joules, unit),
      estimate(inference.per_training),
    )
    for inference in life.inferences
  )
  return Table(
    (
      *names.values(),
      f"{joules_name(life.comparison.estimated, unit)} per inference",
      "inferences that cost one training",
    ),
    rows,
    (
      "An inference is a forward pass of one example, measured in the infer"
      " phase over the test set in large batches.",
    ),
  )


def _assumption_table(assumptions: Mapping[str, Assumption]) -> Table:
  rows = tuple(
    (label(name), as_given(item.value), item.unit, item.source, item.date)
    for name, item in assumptions.items()
  )
  return Table(("assumption", "value", "unit", "source", "date"), rows)


def _lines(life: Life, assumptions: Mapping[str, Assumption]) -> list[str]:
  lines = [
    _sum_line(life),
    *search_lines(life),
    _inference_line(life),
    *_boundary_lines(life),
  ]
  if life.multipliers.hardware.gpus is None and "gpu_embodied" in assumptions:
    lines.append(
      "The number of GPUs is unknown or differs between trials: their embodied"
      " carbon is not counted."
    )
  return lines


def _sum_line(life: Life) -> str:
  whole = life.use.joules
  if whole is None:
    return "The total is unknown: no energy was measured."
  unknown = [stage.name for stage in life.stages if stage.use.joules is None]
  text = f"In total {joules(whole, life.comparison.estimated)}"
  if unknown:
    text += f" without {join_names(unknown)} (unknown)"
  elif whole.value > 0:
    shares = [
      f"{stage.name} {number(100 * stage.use.joules.value / whole.value, 2)} %"
      for stage in life.stages
      if stage.use.joules
    ]
    text += f": {', '.join(shares)}"
  return f"{text}."


def search_lines(life: Life) -> list[str]:
  """Says what the search cost and when it is paid back."""
  if life.search is None:
    return ["The energy of the sweep is unknown."]
  best, attempts = life.comparison.best, life.boundary.attempts
  more = f" and {life.origins} of pretraining" if life.origins else ""
  lines = [
    f"The whole sweep, {count(attempts, 'trial')}{more}, cost"
    f" {joules(life.search, life.comparison.estimated)}."
  ]
  if best is None:
    return [*lines, "Which setting is best is unknown."]
  if not life.alternatives:
    return [*lines, "There was no other setting to choose from."]
  return lines + [
    f"Taking {setting(best.varied)} instead of {CHOICE_NAMES[other.choice]}"
    f" ({setting(other.group.varied)}) {_pays_back(other.trainings)}."
    for other in life.alternatives
  ]


def _pays_back(trainings: BreakEven) -> str:
  if trainings.uses is None:
    return "pays back the search after an unknown number of trainings"
  if trainings.never:
    return "never pays back the search"
  if math.isinf(trainings.uses):
    return "may never pay back the search"
  text = f"pays back the search after {break_even_point(trainings)} trainings"
  return text + (PERHAPS_NEVER if trainings.perhaps_never else "")


def _inference_line(life: Life) -> str:
  best = life.comparison.best
  here = next((i for i in life.inferences if i.group is best), None)
  if here is None or here.per_training is None or here.joules is None:
    return "How many inferences cost as much as training is unknown."
  name = f"At {setting(here.group.varied)}, " if here.group.varied else ""
  text = (
    f"{name}{at_least(here.per_training)} inferences cost as much as one"
    " training"
  )
  if life.inferences_for_rest:
    rest = at_least(life.inferences_for_rest)
    text += f", {rest} as much as all stages before inference"
  return f"{capitalised(text)}."


def _boundary_lines(life: Life) -> list[str]:
  boundary = life.boundary
  domains = " + ".join(life.comparison.domains)
  rest = (
    "It is a share of the whole computer's, power supply and fans included"
    if covers_server(life.comparison.records)
    else "The rest of the computer, such as its power supply and fans, is not"
    " counted"
  )
  lines = [
    f"The energy covers {domains or 'nothing: there was no meter'}. {rest}; a"
    " PUE adds only the building."
  ]
  lines += [
    f"The energy of making {path} is given, not measured here:"
    f" {source or 'without a source'}."
    for path, source in boundary.weights.items()
  ]
  if boundary.unmeasured:
    lines.append(
      f"The energy of {boundary.unmeasured} of {boundary.attempts} trials is"
      " unknown, not zero."
    )
  if boundary.largest_bound is not None:
    lines.append(
      "The meter's 95 % error bound is at most"
      f" {number(100 * boundary.largest_bound, 2)} % of the energy of a trial's"
      " training."
    )
  if boundary.partly_measured:
    partial = partly_measured(boundary.partly_measured, boundary.attempts)
    lines.append(f"{partial}.")
  if life.comparison.estimated:
    lines.append(f"{ESTIMATED.rstrip('.')}, and so is all derived from it.")
  return lines
