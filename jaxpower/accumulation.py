"""Into how many pieces a batch is computed where a trial leaves it open."""

from jaxpower.config import NETWORKS, Trial

LARGEST = 64  # examples of a piece: benchmarks/pieces_*.json

SMALLEST = 16  # below it calls and loops cost more than the caches save

WHOLE_IN_TORCH = ("cnn",)  # oneDNN's convolutions are slower in pieces


def accumulation_of(trial: Trial, *, on_cpu: bool, devices: int) -> int:
  """Micro-batches that an update is gathered from.

  What the trial says. Where it says 0 a GPU takes the batch in one piece, and
  a CPU in pieces that fit its caches, where the framework is faster so and
  the update the same but for rounding: it is not where batch norms see a piece
  alone, nor where dropout is drawn for each.
  """
  if trial.accumulation > 0:
    return trial.accumulation
  network = NETWORKS[trial.model.name]
  if not on_cpu or network.batch_norm or trial.dropout > 0:
    return 1
  if trial.framework != "jax" and trial.model.name in WHOLE_IN_TORCH:
    return 1
  share = trial.batch_size // devices
  sizes = range(SMALLEST, LARGEST + 1)
  fitting = [size for size in sizes if share % size == 0]
  return share // max(fitting, default=share)
