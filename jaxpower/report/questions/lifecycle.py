"""What does a model spend and emit, from first weight to last inference?

Answered where assumptions are given, such as how often the model will be
trained and used. Joules stay as they were measured; kWh and grams that follow
from an assumption have columns of their own, and what is not given is not
counted.

Trainings and pretraining are whole ones, from set-up to checkpoint, and a life
has one pretraining. The search for the best setting counts all else that its
trials spent, all phases, seeds and repeated attempts; after how many trainings
it pays back is given against three settings that might have been used without
it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from jaxpower.records import TrialRecord
from jaxpower.report.cells import (
  PERHAPS_NEVER,
  UNKNOWN,
  at_least,
  break_even_cell,
  break_even_point,
  estimate,
  goal,
  joules,
  name_among,
  unit_of,
)
from jaxpower.report.charts import Stacks
from jaxpower.report.compare.break_even import BreakEven
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.cpu_time import covers_server
from jaxpower.report.compare.life import (
  Use,
  added,
  gpus_per_trial,
  inference_joules,
  one_inference,
  one_pretraining,
  scaled,
  spent,
  whole_trainings,
  without,
)
from jaxpower.report.compare.origins import all_origins
from jaxpower.report.compare.search_payback import (
  Alternative,
  Choice,
  alternatives,
)
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.findings import Figure, Section, Table
from jaxpower.report.given import Given
from jaxpower.report.given.assumptions import KINDS, Assumption
from jaxpower.report.given.carbon import (
  Footprint,
  Hardware,
  Multipliers,
  footprint,
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

PLACE = 70
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

StageName = Literal["pretraining", "search", "training", "inference"]
STAGES: tuple[StageName, ...] = get_args(StageName)


@dataclass(frozen=True)
class Stage:
  """One stage of a life, and what it spent.

  `amount` is how many tasks share pretraining (None: not given), how many
  trials a search had, how many trainings or inferences there will be.
  `attempts` is how many times the trials of a search ran, with repeats.
  """

  name: StageName
  use: Use
  footprint: Footprint
  amount: float | None
  attempts: int = 0


@dataclass(frozen=True)
class Inference:
  """What one inference costs at a setting, and how many cost one training."""

  group: Group
  joules: Estimate | None
  per_training: Estimate | None


@dataclass(frozen=True)
class Boundary:
  """What the joules leave out, and how well the rest was measured.

  Attributes:
    weights: Files of weights made elsewhere, and where their joules are from.
    attempts: How many trials there were, repeated ones each time.
    unmeasured: How many of them have no joules.
    partly_measured: How many have joules of some domains only.
    largest_bound: The meter's at 95 %, over the joules of a trial's training.
  """

  weights: dict[str, str]
  attempts: int
  unmeasured: int
  partly_measured: int
  largest_bound: float | None


@dataclass(frozen=True, kw_only=True)
class Life:
  """The life of a model at the best setting of one comparison.

  Attributes:
    comparison: The trials among which that setting was searched.
    name: The comparison's name among several; empty where it is alone.
    stages: In the order of a life.
    use: All of them together.
    footprint: The same in kWh and grams.
    multipliers: What turned joules and seconds into these.
    training: Joules of a whole training at the best setting.
    search: Joules of all trials and of what they began from.
    origins: How many attempts at pretraining are among these.
    alternatives: Settings that the search is paid back against.
    inferences: Of each setting.
    inferences_for_rest: How many cost what all stages before them did.
    boundary: What the joules cover.
  """

  comparison: Comparison
  name: str
  stages: tuple[Stage, ...]
  use: Use
  footprint: Footprint
  multipliers: Multipliers
  training: Estimate | None
  search: Estimate | None
  origins: int
  alternatives: tuple[Alternative, ...]
  inferences: tuple[Inference, ...]
  inferences_for_rest: Estimate | None
  boundary: Boundary


@dataclass(frozen=True)
class LifeCycle:
  """The life of each comparison's model, under the same assumptions."""

  lives: tuple[Life, ...]
  assumptions: Mapping[str, Assumption]


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers where assumptions are given."""
  return (tell(find(compared, given)),) if given.assumptions else ()


# Values


def find(compared: Compared, given: Given) -> LifeCycle:
  """Finds what each model spends in its life, every attempt counted."""
  lives = (
    _life(
      comparison,
      name_among(comparison, compared.comparisons),
      compared.attempts,
      given.assumptions,
    )
    for comparison in compared.comparisons
  )
  return LifeCycle(tuple(lives), given.assumptions)


def _life(
  comparison: Comparison,
  name: str,
  attempts: Sequence[TrialRecord],
  assumptions: Mapping[str, Assumption],
) -> Life:
  ids = {r.trial_id for g in comparison.groups for r in g.records}
  trials = [record for record in attempts if record.trial_id in ids]
  origins = all_origins(trials, attempts)
  multipliers = Multipliers(
    _given(assumptions, "pue"),
    _given(assumptions, "grid_intensity"),
    hardware_of([*trials, *origins], assumptions),
  )
  best, trainings = comparison.best, whole_trainings(comparison)
  training = trainings.use(best) if best else Use(None, None)
  stages = _stages(
    best, training, [*trials, *origins], assumptions, multipliers
  )
  use = Use(
    added(stage.use.joules for stage in stages),
    added(stage.use.seconds for stage in stages),
  )
  search = spent([*trials, *origins]).joules
  return Life(
    comparison=comparison,
    name=name,
    stages=stages,
    use=use,
    footprint=footprint(use, multipliers),
    multipliers=multipliers,
    training=training.joules,
    search=search,
    origins=len(origins),
    alternatives=alternatives(trainings, attempts, search),
    inferences=tuple(
      Inference(
        g, one_inference(g).joules, trainings.over(g, inference_joules(g))
      )
      for g in comparison.groups
    ),
    inferences_for_rest=_inferences_for_rest(best, stages),
    boundary=_boundary(trials),
  )


def _given(assumptions: Mapping[str, Assumption], name: str) -> float | None:
  return assumptions[name].value if name in assumptions else None


def hardware_of(
  records: Sequence[TrialRecord], assumptions: Mapping[str, Assumption]
) -> Hardware:
  """Returns the hardware of trials, with what is assumed of it."""
  return Hardware(
    gpus=gpus_per_trial(records),
    gpu_kg_co2e=_given(assumptions, "gpu_embodied"),
    gpu_hours=_given(assumptions, "gpu_lifetime"),
    host_kg_co2e=_given(assumptions, "host_embodied"),
    host_hours=_given(assumptions, "host_lifetime"),
    host_share=_given(assumptions, "host_share"),
  )


def _stages(
  best: Group | None,
  training: Use,
  searched: Sequence[TrialRecord],
  assumptions: Mapping[str, Assumption],
  multipliers: Multipliers,
) -> tuple[Stage, ...]:
  """Finds the stages of a life with the best setting, in their order.

  `training` is one with it; `searched` are all trials and what they began from.
  One pretraining is a stage where the best setting began from it, and the other
  seeds' belong to the search.
  """
  stages = []
  search, of_life = spent(searched), 0
  pretraining = one_pretraining(best, searched) if best else None
  if pretraining:
    tasks = _given(assumptions, "downstream_tasks")
    share = pretraining.use.times(1 / (tasks or 1))
    stages.append(_stage("pretraining", share, multipliers, tasks))
    if pretraining.use.joules:
      search, of_life = without(search, pretraining.spent), pretraining.trials
  ids = {record.trial_id for record in searched}
  stage = _stage("search", search, multipliers, len(ids) - of_life)
  stages.append(replace(stage, attempts=len(searched) - of_life))
  trainings = _given(assumptions, "trainings")
  trainings = 1.0 if trainings is None else trainings
  all_of_them = training.times(trainings)
  stages.append(_stage("training", all_of_them, multipliers, trainings))
  inferences = _given(assumptions, "inferences")
  if inferences is not None:
    one = one_inference(best) if best else Use(None, None)
    inference = one.times(inferences)
    stages.append(_stage("inference", inference, multipliers, inferences))
  return tuple(stages)


def _stage(
  name: StageName, use: Use, multipliers: Multipliers, amount: float | None
) -> Stage:
  return Stage(name, use, footprint(use, multipliers), amount)


def _inferences_for_rest(
  best: Group | None, stages: Sequence[Stage]
) -> Estimate | None:
  """Divides the joules of all other stages by those of one inference."""
  one = one_inference(best).joules if best else None
  rest = added(s.use.joules for s in stages if s.name != "inference")
  return scaled(rest, 1 / one.value) if one and one.value > 0 else None


def _boundary(trials: Sequence[TrialRecord]) -> Boundary:
  bounds = [
    record.train_joules_bound / record.train_joules
    for record in trials
    if record.train_joules_bound is not None and record.train_joules
  ]
  return Boundary(
    weights={
      str(r.pretrained.get("path")): r.pretrained.get("source") or ""
      for r in trials
      if r.pretrained
    },
    attempts=len(trials),
    unmeasured=sum(not record.joules_by_phase for record in trials),
    partly_measured=sum(r.partial for r in trials if r.joules_by_phase),
    largest_bound=max(bounds, default=None),
  )


# Words


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
