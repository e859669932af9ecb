"""The seed of a head that no backbone has met."""

import numpy as np

from jaxpower import config


def head_seed(trial: config.Trial) -> np.uint32:
  """What the head over a restored backbone is drawn from.

  The trial's own seed may have given the head that the backbone was trained
  under, which would know the classes before any training.
  """
  depth = len(tuple(config.sources(trial))) or 1
  (seed,) = np.random.SeedSequence([trial.seed, depth]).generate_state(1)
  return seed
