"""The learning rate's course, as numbers: the same for every wing.

A schedule is said in examples, so one schedule means the same to every batch
size, and given to the step as data, so no change of it compiles anything anew.
"""

import math

import numpy as np

from jaxpower.config import Optimizer, Trial

STEPS_AT = (0.5, 0.75)  # of the schedule: where "step" divides the rate
STEP_FACTOR = 0.1
WARM_AT = 0.1  # of the schedule: how long "warm_up" rises
PEAK_AT = 0.3  # of the schedule: where "one_cycle" is highest
FIRST, LAST = 1 / 25, 1e-4  # what both start at, what "one_cycle" ends at


def learning_rates(trial: Trial, first_step: int, steps: int) -> np.ndarray:
  """The rate of each of `steps` updates from `first_step` on.

  Rises linearly over the warm-up, then takes its schedule's course to the end
  of the schedule: "constant"; "warm_up", from a 25th linearly over the first
  tenth, then constant; "step", a tenth at half and again at three quarters;
  "cosine", to zero along half a cosine (Loshchilov and Hutter 2017,
  one cycle); "one_cycle", up from a 25th and down to a ten-thousandth along
  cosines (Smith and Topin 2018). After its end a schedule stays where it is.

  Returns:
    float32 [steps].
  """
  rule = trial.optimizer
  seen = (first_step + np.arange(steps)) * float(trial.batch_size)
  rising = np.ones(steps)
  if rule.warmup_examples:
    rising = np.minimum(1, (seen + trial.batch_size) / rule.warmup_examples)
  whole = rule.schedule_examples or trial.budget_examples
  left = max(whole - rule.warmup_examples, 1)
  done = np.clip((seen - rule.warmup_examples) / left, 0, 1)
  highest = rule.learning_rate * batch_factor(rule, trial.batch_size)
  return (highest * rising * _course(rule.schedule, done)).astype(np.float32)


def batch_factor(rule: Optimizer, batch_size: int) -> float:
  """What the batch size multiplies the rate with.

  Linear as Goyal et al. 2017 have it for SGD; by the square root as
  Krizhevsky 2014, and Malladi et al. 2022 for Adam and its like.
  """
  ratio = batch_size / rule.reference_batch_size
  return {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[rule.scaling]


def _course(schedule: str, done: np.ndarray) -> np.ndarray:
  """The rate over its highest, where `done` runs from 0 to 1."""
  match schedule:
    case "constant":
      return np.ones_like(done)
    case "warm_up":
      return FIRST + (1 - FIRST) * np.clip(done / WARM_AT, 0, 1)
    case "step":
      falls = np.searchsorted(STEPS_AT, done, side="right")
      return STEP_FACTOR ** falls.astype(float)
    case "cosine":
      return _fall(done)
    case "one_cycle":
      up = 1 - (1 - FIRST) * _fall(done / PEAK_AT)
      down = LAST + (1 - LAST) * _fall((done - PEAK_AT) / (1 - PEAK_AT))
      return np.where(done < PEAK_AT, up, down)
  raise ValueError(f"no schedule is named {schedule}")


def _fall(done: np.ndarray) -> np.ndarray:
  """From 1 to 0 along half a cosine."""
  return (1 + np.cos(np.pi * np.clip(done, 0, 1))) / 2
