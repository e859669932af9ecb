"""How often what the report says is true, by sweeps whose truth is known.

Claim: on flat grids a false difference in at most 5 % of sweeps; intervals of
costs and ratios, and of worst over best, hold the truth in 93 to 97 %; the
truly best setting is called more expensive in at most 2.5 %; a sweep dealt over
eight equal boards has intervals at most 1.2 times as wide as on one. Every
sweep goes through the report's own functions as records, and none of the draws
was used to choose a constant. Judge by the worst kind, not by the mean.
Cost: about half an hour on two cores.

  PYTHONPATH=. python benchmarks/statements.py --out=benchmarks/statements.json
"""

import argparse
import concurrent.futures
import dataclasses
import datetime as dt
import itertools
import json
import math
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from jaxpower.records import Compilation, TrialRecord
from jaxpower.report.compare.comparison import Comparison, compare
from jaxpower.report.compare.statistics import Estimate

SETTINGS = (2, 4, 12)
SEEDS = (2, 3, 5, 10)
VARIATIONS = (0.08, 0.25)  # coefficients of variation of a cost
SEED_SHARES = (0.0, 0.5)  # of the seed in the variance of log cost
MISSED = (0.0, 0.2)  # share of trials beyond the budget
SPANS = (1.0, 1.5)  # true worst over best: nothing differs; something does
BOARDS, BOARD_SD = 8, 0.03
JOULES = 200.0  # of the truly cheapest setting
SECONDS_A_JOULE = 0.02
BASE = 20_261_126  # chosen: the first seed of the draws


@dataclasses.dataclass(frozen=True)
class Kind:
  """One kind of sweep: how many settings and seeds, and how costs scatter."""

  settings: int
  seeds: int
  variation: float = 0.25
  seed_share: float = 0.5
  missed: float = 0.0
  span: float = 1.0
  boards: int = 1


def kinds() -> Iterator[Kind]:
  """Names the kinds of sweeps.

  Logs only scale with the variation, so that one kind of sweep is drawn at
  each of them, all others at the last.
  """
  for missed, variation, k, r, share, span in itertools.product(
    MISSED, VARIATIONS, SETTINGS, SEEDS, SEED_SHARES, SPANS
  ):
    if variation == VARIATIONS[-1] or (k, r) == (4, 3):
      yield Kind(k, r, variation, share, missed, span)


def truth(kind: Kind) -> np.ndarray:
  """Spreads the logs of true costs evenly over the span, (settings,)."""
  return math.log(JOULES) + np.linspace(0, math.log(kind.span), kind.settings)


def draw(kind: Kind, number: int) -> list[TrialRecord]:
  """Draws a sweep: log-normal costs with seeds, boards and a budget."""
  of_kind = [round(100 * value) for value in dataclasses.astuple(kind)]
  generator = np.random.default_rng((BASE, number, *of_kind))
  sd = math.sqrt(math.log1p(kind.variation**2))
  shape = (kind.settings, kind.seeds)
  logs = truth(kind)[:, None] + sd * (
    math.sqrt(kind.seed_share) * generator.standard_normal(kind.seeds)
    + math.sqrt(1 - kind.seed_share) * generator.standard_normal(shape)
  )
  of_boards = BOARD_SD * generator.standard_normal(BOARDS)
  order = generator.permutation(logs.size)
  budgets = np.full(kind.settings, math.inf)
  if kind.missed:
    budgets = truth(kind) + sd * stats.norm.ppf(1 - kind.missed)
  records = []
  for place, trial in enumerate(order):
    setting, seed = divmod(int(trial), kind.seeds)
    board = place % kind.boards
    log = logs[setting, seed]
    missed = log > budgets[setting]
    log = min(log, budgets[setting]) + (
      of_boards[board] if kind.boards > 1 else 0
    )
    records.append(record(setting, seed, math.exp(log), missed, board))
  return records


def record(
  setting: int, seed: int, joules: float, missed: bool, board: int
) -> TrialRecord:
  """Makes the record of a trial that spent so many joules on a board."""
  uuid, seconds = f"GPU-{board}", SECONDS_A_JOULE * joules
  facts: dict[str, Any] = {
    "trial_id": f"{setting}-{seed}",
    "config": {"data": "simulated", "seed": seed, "target_accuracy": 0.8},
    "varied": {"batch_size": setting},
    "seed": seed,
    "framework": "jax",
    "status": "missed" if missed else "reached",
    "target_accuracy": 0.8,
    "examples": 20_480,
    "train_seconds": seconds,
    "train_joules": joules,
    "train_joules_bound": 0.0,
    "seconds_to_accuracy": None if missed else seconds,
    "joules_to_accuracy": None if missed else joules,
    "joules_by_phase": {"train": joules},
    "joules_by_domain": {uuid: joules},
    "compile": Compilation(seconds=1.0, joules=10.0, cache_hit=False),
    "meter": {"domains": [{"domain": uuid, "kind": "gpu"}]},
    "provenance": {
      "host": "node",
      "cpu": "CPU",
      "devices": [{"platform": "gpu", "kind": "GPU", "index": 0, "uuid": uuid}],
    },
  }
  return TrialRecord(**facts)


# What is true of one sweep


def judged(kind: Kind, number: int) -> dict[str, float]:
  """Judges what the report says of one sweep: 1 for true, 0 for false.

  NaN where it says nothing. Widths are of logs, over those of textbook t.
  """
  comparisons = compare(draw(kind, number))
  assert len(comparisons) == 1, "equal boards are one table"
  (comparison,) = comparisons
  logs = truth(kind)
  groups = comparison.groups
  ratios = [group.ratio for group in groups]
  best = comparison.best
  base = float(logs[groups.index(best)]) if best else math.nan
  others = [
    (ratio, log - base)
    for ratio, log, group in zip(ratios, logs, groups, strict=True)
    if group is not best
  ]
  extremes = comparison.rankings["train"].extremes
  known = [i for i, g in enumerate(groups) if g.joules]
  span = float(np.ptp(logs[known])) if known else math.nan
  cheapest = extremes and extremes.cheapest_cost
  return {
    "costs": mean(
      holds(g.joules, log) for g, log in zip(groups, logs, strict=True)
    ),
    "ratios at once": all_hold([holds(r, log) for r, log in others]),
    "worst over best": holds(extremes and extremes.ratio, span),
    "cheapest cost": holds(cheapest, base),
    "false difference": any_false([said(r) for r, _ in others])
    if kind.span == 1
    else math.nan,
    "best called more expensive": called(ratios[0])
    if kind.span > 1
    else math.nan,
    "raw": extremes.raw if extremes else math.nan,
    "corrected": extremes.ratio.value
    if extremes and extremes.ratio
    else math.nan,
    **widths(kind, comparison),
  }


def holds(estimate: Estimate | None, log: float) -> float:
  if estimate is None or estimate.low is None or estimate.high is None:
    return math.nan
  value = math.exp(log)
  rounding = 1e-9
  inside = (
    estimate.low * (1 - rounding) <= value <= estimate.high * (1 + rounding)
  )
  return float(inside)


def said(ratio: Estimate | None) -> float:
  """Whether a ratio is said to differ from one."""
  if ratio is None or ratio.low is None or ratio.high is None:
    return math.nan
  return float(ratio.low > 1 or ratio.high < 1)


def called(ratio: Estimate | None) -> float:
  """Whether a setting is called more expensive than the cheapest."""
  if ratio is None:
    return math.nan
  return float(ratio.low is not None and ratio.low > 1)


def mean(values: Iterator[float] | Sequence[float]) -> float:
  known = [value for value in values if not math.isnan(value)]
  return sum(known) / len(known) if known else math.nan


def all_hold(values: Sequence[float]) -> float:
  known = [value for value in values if not math.isnan(value)]
  return float(all(known)) if known else math.nan


def any_false(values: Sequence[float]) -> float:
  known = [value for value in values if not math.isnan(value)]
  return float(any(known)) if known else math.nan


def widths(kind: Kind, comparison: Comparison) -> dict[str, float]:
  """Divides widths by those of t on logs, pooled over settings.

  Costs: t with settings x (seeds - 1) degrees of freedom. Ratios: Tukey's of
  the two-way analysis of variance. Of sweeps without misses on one board.
  """
  nothing = {"cost width": math.nan, "ratio width": math.nan}
  if kind.missed or kind.boards > 1 or kind.settings < 2:
    return nothing
  logs = np.array(
    [
      [math.log(r.joules_to_accuracy or math.nan) for r in group.records]
      for group in comparison.groups
    ]
  )
  k, r = logs.shape
  off = logs - logs.mean(axis=1, keepdims=True)
  pooled = math.sqrt((off**2).sum() / (k * (r - 1)))
  cost = 2 * stats.t.ppf(0.975, k * (r - 1)) * pooled / math.sqrt(r)
  freedom = (k - 1) * (r - 1)
  left = off - off.mean(axis=0)
  noise = math.sqrt((left**2).sum() / freedom)
  tukey = stats.studentized_range.ppf(0.95, k, freedom) * noise / math.sqrt(r)
  return {
    "cost width": mean(wide(g.joules) for g in comparison.groups) / float(cost),
    "ratio width": mean(
      wide(g.ratio) for g in comparison.groups if g is not comparison.best
    )
    / (2 * float(tukey)),
  }


def wide(estimate: Estimate | None) -> float:
  if estimate is None or not estimate.low or estimate.high is None:
    return math.nan
  return math.log(estimate.high / estimate.low)


# Over many sweeps


def summary(kind: Kind, sweeps: int) -> dict[str, Any]:
  """Averages what is judged of so many sweeps of a kind; medians of sizes."""
  rows = [judged(kind, number) for number in range(sweeps)]
  figures: dict[str, Any] = dataclasses.asdict(kind) | {"sweeps": sweeps}
  for name in rows[0]:
    values = [row[name] for row in rows if not math.isnan(row[name])]
    sizes = name in ("raw", "corrected") or name.endswith("width")
    figure = (np.median if sizes else np.mean)(values) if values else None
    figures[name] = None if figure is None else round(float(figure), 3)
    figures.setdefault("told", {})[name] = len(values)
  return figures


def board_widths(sweeps: int) -> dict[str, float]:
  """Compares intervals of sweeps on eight equal boards with those on one."""
  by_boards = {}
  for boards in (1, BOARDS):
    kind = Kind(4, 3, boards=boards, seed_share=0.3)
    comparisons = [compare(draw(kind, n))[0] for n in range(sweeps)]
    by_boards[boards] = [
      wide(g.ratio) for c in comparisons for g in c.groups if g is not c.best
    ]
  kind = Kind(4, 3, boards=BOARDS, seed_share=0.3)
  held = [judged(kind, n)["ratios at once"] for n in range(sweeps)]
  return {
    "width over one board": round(
      mean(by_boards[BOARDS]) / mean(by_boards[1]), 3
    ),
    "ratios at once": round(mean(held), 3),
  }


def _summary(arguments: tuple[Kind, int]) -> dict[str, Any]:
  return summary(*arguments)


def main() -> None:
  """Prints a line a kind, and writes all figures with date and machine."""
  parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
  parser.add_argument("--sweeps", type=int, default=400)
  parser.add_argument(
    "--sweeps-with-misses", type=int, help="slower; by default a quarter"
  )
  parser.add_argument("--processes", type=int, default=2)
  parser.add_argument("--out", type=Path)
  arguments = parser.parse_args()
  fewer = arguments.sweeps_with_misses or arguments.sweeps // 4
  work = [
    (kind, fewer if kind.missed else arguments.sweeps) for kind in kinds()
  ]
  figures = []
  with concurrent.futures.ProcessPoolExecutor(arguments.processes) as pool:
    for one in pool.map(_summary, work):
      figures.append(one)
      print(
        json.dumps({k: v for k, v in one.items() if k != "told"}), flush=True
      )
  result = {
    "date": dt.date.today().isoformat(),
    "machine": platform.processor() or platform.machine(),
    "kinds": figures,
    "eight boards": board_widths(arguments.sweeps),
  }
  print(json.dumps(result["eight boards"]))
  if arguments.out:
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
  main()
