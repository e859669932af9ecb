"""Chooses the number of micro-batches of a batch on a CPU.

A CPU is faster on micro-batches that fit its caches, and the update is the same
but for rounding. At batch 512, micro-batches of 64 train 1.65 (CNN), 1.50 (ViT)
and 1.46 (transformer) times as many examples a second in JAX as the whole
batch, and 0.74, 1.25 and 1.41 times in PyTorch (two cores of an AMD EPYC,
`benchmarks/pieces_jax.json`, `pieces_torch.json`). Taken whole, batch 1024 cost
the CNN 8.5 times the joules of batch 16, and half of that was caches.
"""

from jaxpower.architectures import TransformerSizes, network_of, sizes_of
from jaxpower.config import Trial

# Examples of a micro-batch. Of the sizes measured, 16 to 512, 64 was the best
# for JAX's CNN and within 15 % of the best for the ViT and the transformer.
LARGEST = 64
# Where JAX computes the scores of every pair of positions: 64 examples fill a
# core's cache with them (benchmarks/throughput_cpu.json).
LARGEST_OF_ATTENTION = 16
SMALLEST = 16  # the smallest measured; less means more calls and loops

# In PyTorch, networks whose batch is taken whole: oneDNN's convolutions are
# slower on micro-batches.
WHOLE_IN_TORCH = ("cnn",)


def accumulation_of(trial: Trial, *, on_cpu: bool, devices: int) -> int:
  """Returns the number of micro-batches that an update is gathered from.

  A trial's own `accumulation`, unless it is 0. Then a GPU takes the batch
  whole, and a CPU in micro-batches of `SMALLEST` to `LARGEST` examples, if
  there is a number of them that divides the batch. With batch norms or dropout,
  which a user's network may have, the batch is taken whole, since both would
  act on each micro-batch and change the update.

  Args:
    trial: What is trained.
    on_cpu: Whether its devices are CPUs.
    devices: How many devices a batch is divided over.
  """
  if trial.accumulation > 0:
    return trial.accumulation
  network = network_of(trial.model.name)
  acts_on_batches = network.batch_norm or network.own or trial.dropout > 0
  if not on_cpu or acts_on_batches:
    return 1
  if trial.framework != "jax" and trial.model.name in WHOLE_IN_TORCH:
    return 1
  per_device = trial.batch_size // devices
  scores = trial.framework == "jax" and isinstance(
    sizes_of(trial.model), TransformerSizes
  )
  largest = LARGEST_OF_ATTENTION if scores else LARGEST
  sizes = range(SMALLEST, largest + 1)
  fitting = [size for size in sizes if per_device % size == 0]
  return per_device // max(fitting, default=per_device)
