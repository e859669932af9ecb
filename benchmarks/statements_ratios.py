"""How often the intervals of ratios hold the truth: frameworks and multitask.

  python benchmarks/statements_ratios.py [--draws=N] [--cv=0.25] [--missed=0.2]

Sweeps whose true costs are known go through the report's own functions, as
records: `compare`, `same_config.same_configs`, `multitask.savings`. Costs are
log-normal, of one coefficient of variation, of whose variance seeds share a
part. Intervals of frameworks hold for all ratios of a sweep at once, so a sweep
is covered only if each of them holds; that of multitask is one a pairing.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import app, flags
from scipy.special import ndtri

from jaxpower.records import Evaluation, TrialRecord
from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.multitask import savings
from jaxpower.report.compare.same_config import same_configs
from jaxpower.report.compare.statistics import Estimate

SEEDS = (2, 3, 5)
SEED_SHARES = (0.0, 0.5)
CONFIGS = (1, 3)  # of two frameworks: 2 and 6 cells
TASKS = (("a",), ("b",), ("a", "b"))
# True typical joules: the same for every framework, so that a ratio that
# excludes one is a false difference; and a network for both tasks that saves.
BATCHES = {16: 10.0, 64: 14.0, 256: 20.0}
OF_TASKS = (4.0, 6.0, 7.0)
BASE_DRAW = 20_250_700  # chosen: the first draw's seed

_DRAWS = flags.DEFINE_integer("draws", 400, "sweeps of each kind")
_CV = flags.DEFINE_float("cv", 0.25, "coefficient of variation of a cost")
_MISSED = flags.DEFINE_float("missed", 0.0, "share of trials that miss")


@dataclasses.dataclass(frozen=True)
class Coverage:
  """In how many of `draws` sweeps all intervals held the truth.

  `told` counts the sweeps that had an interval at all; `wide` is the mean width
  of logs of intervals.
  """

  draws: int
  told: int
  covered: int
  wide: float

  @property
  def share(self) -> float:
    """The share of sweeps with intervals in which all held."""
    return self.covered / self.told if self.told else math.nan


def main(_: list[str]) -> None:
  for kind, configs in (("frameworks", 1), ("frameworks", 3), ("multitask", 1)):
    for seeds, share in itertools.product(SEEDS, SEED_SHARES):
      draws, cv, missed = _DRAWS.value, _CV.value, _MISSED.value
      found = (
        frameworks_coverage(configs, seeds, share, draws, cv, missed)
        if kind == "frameworks"
        else multitask_coverage(seeds, share, draws, cv, missed)
      )
      cells = 2 * configs if kind == "frameworks" else len(TASKS)
      print(
        f"{kind:10} {cells} cells  {seeds} seeds  seed share {share:.1f}"
        f"  covered {100 * found.share:5.1f} % of {found.told}"
        f"  log width {found.wide:.2f}"
      )


def frameworks_coverage(
  configs: int,
  seeds: int,
  seed_share: float,
  draws: int,
  cv: float = 0.25,
  missed: float = 0.0,
  start: int = BASE_DRAW,
) -> Coverage:
  """Simulates two frameworks in so many configs; all true ratios are one."""
  batches = list(BATCHES)[:configs]
  truths = [BATCHES[batch] for batch in batches for _ in ("jax", "torch")]
  results = []
  for generator in _generators(start, draws):
    costs = log_normal(truths, seeds, cv, seed_share, generator)
    budget = _budget(cv, missed)
    records = [
      _trial(
        seed,
        joules,
        budget * truth,
        {"framework": framework, "batch_size": batch},
      )
      for (batch, framework), truth, of_cell in zip(
        itertools.product(batches, ("jax", "torch")),
        truths,
        costs,
        strict=True,
      )
      for seed, joules in enumerate(of_cell)
    ]
    (comparison,) = compare(records)
    ratios = same_configs(comparison, over="jax").ratios
    results.append([(ratio.joules, 1.0) for ratio in ratios])
  return _coverage(results)


def multitask_coverage(
  seeds: int,
  seed_share: float,
  draws: int,
  cv: float = 0.25,
  missed: float = 0.0,
  start: int = BASE_DRAW,
) -> Coverage:
  """Simulates one network for two tasks and a network for each."""
  *alone, together = OF_TASKS
  results = []
  for generator in _generators(start, draws):
    costs = log_normal(OF_TASKS, seeds, cv, seed_share, generator)
    budget = _budget(cv, missed)
    records = [
      _trial(seed, joules, budget * truth, {"tasks": list(tasks)})
      for tasks, truth, of_cell in zip(TASKS, OF_TASKS, costs, strict=True)
      for seed, joules in enumerate(of_cell)
    ]
    (saving,) = savings(records)
    results.append([(saving.ratio, together / sum(alone))])
  return _coverage(results)


def log_normal(
  truths: Sequence[float],
  seeds: int,
  cv: float,
  seed_share: float,
  generator: np.random.Generator,
) -> np.ndarray:
  """Draws what each seed of each setting cost, (settings, seeds).

  `truths` are the medians. Seeds share `seed_share` of the variance of logs,
  which is log(1 + cv ** 2).
  """
  sd = math.sqrt(math.log1p(cv**2))
  of_seed = generator.standard_normal(seeds) * math.sqrt(seed_share)
  noise = generator.standard_normal((len(truths), seeds))
  off = of_seed + noise * math.sqrt(1 - seed_share)
  return np.array(truths)[:, None] * np.exp(sd * off)


def _budget(cv: float, missed: float) -> float:
  """Returns the costs, over their median, that so many trials surpass."""
  if not missed:
    return math.inf
  return math.exp(math.sqrt(math.log1p(cv**2)) * float(ndtri(1 - missed)))


def _generators(start: int, draws: int) -> Iterator[np.random.Generator]:
  return (np.random.default_rng((start, draw)) for draw in range(draws))


def _coverage(
  results: Sequence[Sequence[tuple[Estimate | None, float]]],
) -> Coverage:
  told, covered, widths = 0, 0, []
  for ratios in results:
    intervals = [
      (found.low, truth, found.high)
      for found, truth in ratios
      if found and found.low is not None and found.high is not None
    ]
    told += bool(intervals)
    covered += bool(intervals) and all(
      low <= truth <= high for low, truth, high in intervals
    )
    widths += [math.log(high / low) for low, _, high in intervals]
  return Coverage(
    draws=len(results),
    told=told,
    covered=covered,
    wide=float(np.mean(widths)) if widths else math.nan,
  )


def _trial(
  seed: int, joules: float, budget: float, varied: dict[str, Any]
) -> TrialRecord:
  """Makes the record of a trial that cost so many joules, if it had them."""
  reached = joules <= budget
  spent = float(min(joules, budget))
  tasks = varied.get("tasks", ["label"])
  look = Evaluation(
    examples=10_000,
    steps=100,
    train_seconds=spent,
    train_joules=spent,
    train_loss=1.0,
    loss=1.0,
    accuracy=0.8,
    accuracies=dict.fromkeys(tasks, 0.8) if len(tasks) > 1 else {},
  )
  return TrialRecord(
    trial_id=f"{seed}",
    config={
      "data": "simulated",
      "seed": seed,
      "target_accuracy": 0.8,
      **varied,
    },
    varied=varied,
    seed=seed,
    framework=varied.get("framework", "jax"),
    status="reached" if reached else "missed",
    target_accuracy=0.8,
    best_accuracy=0.8 if reached else 0.7,
    final_accuracy=0.8 if reached else 0.7,
    examples=look.examples,
    train_seconds=spent,
    train_joules=spent,
    seconds_to_accuracy=spent if reached else None,
    joules_to_accuracy=spent if reached else None,
    joules_by_domain={"simulated": spent},
    curve=(look,),
  )


if __name__ == "__main__":
  app.run(main)
