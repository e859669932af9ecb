"""The learning rate's course, as numbers: the same for every wing.

A schedule is said in examples, so one schedule means the same to every batch
size, and given to the step as data, so no change of it compiles anything anew.
"""

import numpy as np

from jaxpower.config import Trial


def learning_rates(trial: Trial, first_step: int, steps: int) -> np.ndarray:
  """The rate of each of `steps` updates from `first_step` on.

  Rises linearly over the warm-up, then stays ("constant") or falls to zero at
  the end of the budget along half a cosine ("cosine"; Loshchilov and Hutter
  2017, one cycle).

  Returns:
    float32 [steps].
  """
  rule = trial.optimizer
  seen = (first_step + np.arange(steps)) * float(trial.batch_size)
  rising = np.ones(steps)
  if rule.warmup_examples:
    rising = np.minimum(1, (seen + trial.batch_size) / rule.warmup_examples)
  falling = np.ones(steps)
  if rule.schedule == "cosine":
    left = trial.budget_examples - rule.warmup_examples
    done = np.clip((seen - rule.warmup_examples) / max(left, 1), 0, 1)
    falling = (1 + np.cos(np.pi * done)) / 2
  return (rule.learning_rate * rising * falling).astype(np.float32)
