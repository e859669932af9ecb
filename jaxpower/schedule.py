"""Learning-rate schedules as arrays of numbers, the same for both wings.

Schedules are numpy and enter the compiled step as data. So JAX and PyTorch
train at the very same rates, and a sweep over rates or schedules compiles
once. Their lengths are in examples, not steps, so that one schedule means the
same at every batch size.
"""

import math

import numpy as np

from jaxpower.config import Optimizer, Trial

# "step": at these fractions of the schedule the rate falls to a tenth. ResNets
# on CIFAR-10 (He et al. 2016, section 4.2): after 32k and 48k of 64k updates.
STEPS_AT = (0.5, 0.75)
STEP_FACTOR = 0.1

# "warm_up": the fraction of the schedule over which it rises. Chosen.
WARM_UP = 0.1

# "one_cycle": the fraction of the schedule at which its peak is. The default
# of PyTorch's OneCycleLR and optax's cosine_onecycle_schedule (`pct_start`).
PEAK_AT = 0.3

# "warm_up" and "one_cycle" start at this fraction of the highest rate: again
# the default of both libraries (`div_factor` 25).
FIRST = 1 / 25

# "one_cycle" ends at this fraction of the highest rate. Chosen; both libraries
# end at a ten-thousandth of the rate they *start* at (`final_div_factor` 1e4).
LAST = 1e-4


def learning_rates(trial: Trial, first_step: int, steps: int) -> np.ndarray:
  """Computes the learning rate of `steps` updates from `first_step` on.

  The rate rises linearly over `warmup_examples`, then follows its schedule:
  "constant"; "warm_up", from a 25th linearly over the first tenth, then
  constant; "step", a tenth at half and again at three quarters; "cosine", to
  zero along half a cosine (Loshchilov and Hutter 2017, without restarts);
  "one_cycle", up from a 25th and down to a ten-thousandth along cosines (Smith
  and Topin 2018). It keeps its last rate after the end of the schedule, which
  is at `schedule_examples`, or at the budget where that is 0.

  Returns:
    float32 [steps].
  """
  rule = trial.optimizer
  examples = (first_step + np.arange(steps)) * float(trial.batch_size)
  rising = np.ones(steps)
  if rule.warmup_examples:
    rising = np.minimum(1, (examples + trial.batch_size) / rule.warmup_examples)
  end = rule.schedule_examples or trial.budget_examples
  length = max(end - rule.warmup_examples, 1)
  done = np.clip((examples - rule.warmup_examples) / length, 0, 1)
  highest = rule.learning_rate * batch_factor(rule, trial.batch_size)
  factors = rising * _schedule_factors(rule.schedule, done)
  return (highest * factors).astype(np.float32)


def batch_factor(rule: Optimizer, batch_size: int) -> float:
  """Computes the factor by which batch scaling multiplies the learning rate.

  "linear" in the batch size, for SGD (Goyal et al. 2017); "sqrt", its square
  root (Krizhevsky 2014; for Adam and its like Malladi et al. 2022).
  """
  ratio = batch_size / rule.reference_batch_size
  return {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[rule.scaling]


def _schedule_factors(schedule: str, done: np.ndarray) -> np.ndarray:
  """Computes rates over the highest rate.

  `done` is the fraction of the schedule that is over, 0 to 1, at each update.
  """
  match schedule:
    case "constant":
      return np.ones_like(done)
    case "warm_up":
      return FIRST + (1 - FIRST) * np.clip(done / WARM_UP, 0, 1)
    case "step":
      falls = np.searchsorted(STEPS_AT, done, side="right")
      return STEP_FACTOR ** falls.astype(float)
    case "cosine":
      return _half_cosine(done)
    case "one_cycle":
      up = 1 - (1 - FIRST) * _half_cosine(done / PEAK_AT)
      down = LAST + (1 - LAST) * _half_cosine((done - PEAK_AT) / (1 - PEAK_AT))
      return np.where(done < PEAK_AT, up, down)
  raise ValueError(f"no schedule is named {schedule}")


def _half_cosine(done: np.ndarray) -> np.ndarray:
  """Computes a fall from 1 to 0 along half a cosine; 0 after `done` = 1."""
  return (1 + np.cos(np.pi * np.clip(done, 0, 1))) / 2
