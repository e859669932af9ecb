"""What a life is made of: its stages, their joules, kWh and grams.

Trainings and pretraining are whole ones, from set-up to checkpoint, and a life
has one pretraining. The search for the best setting counts all else that its
trials spent, all phases, seeds and repeated attempts; after how many trainings
it pays back is given against three settings that might have been used without
it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from jaxpower.records import TrialRecord
from jaxpower.report.cells import name_among
from jaxpower.report.compare.comparison import Compared, Comparison, Group
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
from jaxpower.report.compare.search_payback import Alternative, alternatives
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.given import Given
from jaxpower.report.given.assumptions import Assumption
from jaxpower.report.given.carbon import (
  Footprint,
  Hardware,
  Multipliers,
  footprint,
)

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
