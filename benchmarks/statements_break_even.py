"""How often what the report says of payback is true, by draws of known truth.

Claim: the interval of uses to break even holds the truth in 93 % or more; where
nothing is saved it includes never in at least 95 %; never alone is said of what
does pay back in at most 2.5 %. Of starts tried at several settings of the
optimizer, all alike, cost and ratio at their best hold the truth in 92 % or
more, though the best was chosen by the same trials. Every draw goes through
`break_even`, `fit` and `best_of_each`, the report's own functions.
Cost: about half an hour on one core; a fifth of the draws where trials miss,
since those take ten times as long.

  PYTHONPATH=. python benchmarks/statements_break_even.py \
    --out=benchmarks/statements_break_even.json
"""

import argparse
import dataclasses
import datetime as dt
import itertools
import json
import math
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from jaxpower.report.compare.break_even import Invested, break_even
from jaxpower.report.compare.model import Fit, fit
from jaxpower.report.compare.selection import best_of_each
from jaxpower.report.compare.statistics import Cost, Estimate, Observation

SETTINGS = (2, 6)  # of the comparison, the two of the saving among them
SEEDS = (2, 3, 5, 10)
VARIATIONS = (0.08, 0.25)  # coefficients of variation of a cost
SEED_SHARES = (0.0, 0.5)  # of the seed in the variance of log cost
MISSED = (0.0, 0.2)  # share of trials beyond the budget
BEFORE = 200.0  # J, a use without the investment
AFTER = (100.0, 200.0)  # J, a use with it: half is saved, nothing is
INVESTED, INVESTED_VARIATION = 1000.0, 0.1  # J; a fixed budget scatters less
RATES = 3  # settings of the optimizer of each start, where it is tuned
BASE = 20_261_127  # chosen: the first seed of the draws


@dataclasses.dataclass(frozen=True)
class Kind:
  """One kind of comparison: how many settings and seeds, how costs scatter."""

  seeds: int
  variation: float
  seed_share: float
  missed: float = 0.0
  settings: int = 2
  after: float = AFTER[0]


def kinds() -> Iterator[Kind]:
  """Names the kinds of comparisons in which an investment is paid back."""
  names = (MISSED, VARIATIONS, SEED_SHARES, SEEDS, SETTINGS, AFTER)
  for missed, variation, share, seeds, settings, after in itertools.product(
    *names
  ):
    if not missed or settings == SETTINGS[0]:  # censored fits take long
      yield Kind(seeds, variation, share, missed, settings, after)


def kinds_of_starts() -> Iterator[Kind]:
  """Names those of starts that are taken at the best of several rates."""
  for variation, share, seeds, before in itertools.product(
    VARIATIONS, SEED_SHARES, SEEDS, (1, RATES)
  ):
    yield Kind(seeds, variation, share, settings=before + RATES)


def draw(
  kind: Kind, costs: list[float], generator: np.random.Generator
) -> list[list[Observation]]:
  """Draws each seed's cost at each setting, log-normal, cut at a budget.

  `costs` are the true medians of the settings, in joules.
  """
  sd = math.sqrt(math.log1p(kind.variation**2))
  noise = generator.standard_normal((len(costs), kind.seeds))
  of_seed = generator.standard_normal(kind.seeds)
  off = sd * (
    math.sqrt(kind.seed_share) * of_seed
    + math.sqrt(1 - kind.seed_share) * noise
  )
  budget = sd * ndtri(1 - kind.missed) if kind.missed else math.inf
  return [
    [
      Observation(Cost(cost * math.exp(min(x, budget)), bool(x > budget)), seed)
      for seed, x in enumerate(row)
    ]
    for cost, row in zip(costs, off, strict=True)
  ]


def draw_invested(kind: Kind, generator: np.random.Generator) -> Invested:
  """Draws what the pretraining of each seed cost."""
  sd = math.sqrt(math.log1p(INVESTED_VARIATION**2))
  logs = math.log(INVESTED) + sd * generator.standard_normal(kind.seeds)
  invested = Invested.typically(np.exp(logs).tolist())
  assert invested is not None
  return invested


def judged(kind: Kind, number: int) -> dict[str, float]:
  """Judges the break-even of one draw: 1 for true, 0 for false; NaN: nothing.

  The width is that of the log of uses, where the interval has an end.
  """
  generator = np.random.default_rng((BASE, number))
  costs = [BEFORE, kind.after, *[BEFORE] * (kind.settings - 2)]
  fitted = fit(draw(kind, costs, generator))
  found = break_even(draw_invested(kind, generator), fitted, 0, 1)
  saved = BEFORE - kind.after
  truth = INVESTED / saved if saved else math.inf
  if found.low is None or found.high is None:
    return dict.fromkeys(("holds", "said never", "width"), math.nan)
  ends = found.low > 0 and found.high < math.inf
  return {
    "holds": float(found.low <= truth <= found.high),
    "said never": float(found.never),
    "width": math.log(found.high / found.low) if ends else math.nan,
  }


def judged_starts(kind: Kind, number: int) -> dict[str, float]:
  """Judges two starts at the best of their rates, all of one cost each.

  The second start has RATES rates, the first one the other settings.
  "uncorrected" takes the best as if nothing had been chosen.
  """
  generator = np.random.default_rng((BASE, number))
  first = kind.settings - RATES
  costs = [BEFORE] * first + [kind.after] * RATES
  fitted = fit(draw(kind, costs, generator))
  invested = draw_invested(kind, generator)
  starts = [range(first), range(first, kind.settings)]
  best = [
    min(set(start) & set(fitted.known), key=fitted.value, default=None)
    for start in starts
  ]
  if None in best:
    names = ("cost", "ratio", "holds", "uncorrected cost", "uncorrected ratio")
    return dict.fromkeys((*names, "uncorrected holds"), math.nan)
  corrected = best_of_each(fitted, starts, best)
  plain = best_of_each(fitted, [(b,) for b in best if b is not None], best)
  figures = {}
  for name, at_best in (("", corrected), ("uncorrected ", plain)):
    found = break_even(invested, at_best, 0, 1)
    truth = INVESTED / (BEFORE - kind.after)
    figures |= {
      name + "cost": covers(at_best.cost(1), kind.after),
      name + "ratio": covers(_ratio(at_best), kind.after / BEFORE),
      name + "holds": covers(
        Estimate(found.uses or 0.0, low=found.low, high=found.high), truth
      ),
    }
  return figures


def _ratio(at_best: Fit) -> Estimate | None:
  return at_best.ratios(((1, 0),))[0]


def covers(estimate: Estimate | None, truth: float) -> float:
  """Whether an interval holds the truth; NaN where there is none."""
  if estimate is None or estimate.low is None or estimate.high is None:
    return math.nan
  return float(estimate.low <= truth <= estimate.high)


def summary(kind: Kind, draws: int, starts: bool = False) -> dict[str, Any]:
  """Averages what is judged of so many draws; the median of widths."""
  judge = judged_starts if starts else judged
  rows = [judge(kind, number) for number in range(draws)]
  figures: dict[str, Any] = dataclasses.asdict(kind) | {"draws": draws}
  for name in rows[0]:
    values = [row[name] for row in rows if not math.isnan(row[name])]
    take = np.median if name == "width" else np.mean
    figures[name] = round(float(take(values)), 3) if values else None
    if name == "holds":
      figures["told"] = len(values)
  return figures


def main() -> None:
  """Prints a line a kind, and writes all figures with date and machine."""
  parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
  parser.add_argument("--draws", type=int, default=400)
  parser.add_argument("--out", type=Path)
  arguments = parser.parse_args()
  figures = {}
  for name, starts in (("break-even", kinds()), ("starts", kinds_of_starts())):
    figures[name] = []
    for kind in starts:
      draws = arguments.draws // (5 if kind.missed else 1)
      figures[name].append(summary(kind, draws, name == "starts"))
      print(json.dumps(figures[name][-1]), flush=True)
  result = {
    "date": dt.date.today().isoformat(),
    "machine": platform.processor() or platform.machine(),
    **figures,
  }
  if arguments.out:
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
  main()
