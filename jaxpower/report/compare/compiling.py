"""What compiling adds to a setting's cost, and how sure that is.

Compiling is not repeated with each seed: trials of one setting share an
executable, and what compiling it cost was mostly measured once. The same
executable compiled again costs more or less, so that one measurement stands
for all seeds with an error of its own, which no number of seeds makes smaller.
Running everything once before training is counted with it, since frameworks
differ in how much of their preparing they leave to the first call.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from jaxpower.records import Compilation, CompileCost, TrialRecord
from jaxpower.report.compare.costs import add, all_known, ran
from jaxpower.report.compare.model import Fit
from jaxpower.report.compare.statistics import SEED

# Relative standard deviation of what compiling the same executable costs: nine
# compilations of one batch step at 25 J had 2.7 J (batch 128, CPU; pairs in
# other sweeps differed by 2 to 16 %).
SCATTER = 2.7 / 25
STREAM = 1  # of random numbers, apart from the model's own


def with_compiling(
  joules: Fit, settings: Sequence[Sequence[TrialRecord]]
) -> Fit | None:
  """Adds compiling and warm-up to fitted costs of training, in joules.

  None where they are not known for every setting that has an estimate.
  """
  spent = all_known(_compiling(settings[index]) for index in joules.known)
  if spent is None:
    return None
  means = np.array([mean for mean, _ in spent])
  estimates = np.log(np.exp(joules.estimates) + means)
  if joules.draws is None:
    return Fit(joules.known, estimates)
  relative = np.array([SCATTER / math.sqrt(times) for _, times in spent])
  generator = np.random.default_rng((SEED, STREAM))
  off = relative * generator.standard_normal(joules.draws.shape)
  with np.errstate(divide="ignore"):  # of nothing that was added
    draws = np.logaddexp(joules.draws, np.log(means) + off)
  return Fit(joules.known, estimates, draws, joules.noise, joules.seed_share)


def _compiling(records: Sequence[TrialRecord]) -> tuple[float, int] | None:
  """Returns the mean joules, and how often compiling was measured."""
  trials = ran(records)
  compiled = [r for r in trials if r.compile and not r.compile.cache_hit]
  joules = all_known(
    once.joules
    for r in compiled or trials[:1]
    for once in _each_time(r.compile)
  )
  warm = all_known(r.joules_by_phase.get("warmup", 0.0) for r in trials)
  if not joules or not warm:
    return None  # a phase that did not run spent nothing; None is unknown
  mean = add(math.fsum(joules) / len(joules), math.fsum(warm) / len(warm))
  return None if mean is None else (mean, len(joules))


def _each_time(compilation: Compilation | None) -> Iterable[CompileCost]:
  """Returns the cost of each time that executables were compiled anew."""
  if compilation is None:
    return (CompileCost(seconds=0.0, joules=None),)
  once = CompileCost(seconds=compilation.seconds, joules=compilation.joules)
  return compilation.repeats or (once,)
