"""A CPU as several devices of XLA, one for each of its cores.

On one device XLA cuts every operation in pieces for the cores and waits for all
of them at its end; with the batch divided over a device a core it waits once an
update. So the update is the same but for rounding, and faster wherever each
core has enough to do. To the config it stays one device.

A worker's environment says how many cores are to be devices (`workers.cores`).
"""

import os

import jax

from jaxpower.config import Trial
from jaxpower.workers.cores import CORES

# Examples of a core's share from which dividing was faster: a whole micro-batch
# of the CNN, half of one where scores fill a cache (benchmarks/throughput_cpu.
# json). A user's network, of which nothing is known, takes the batch whole.
LEAST_SHARE = {
  "cnn": 64,
  "decoder": 8,
  "resnet18": 8,
  "resnet50": 8,
  "transformer": 8,
  "vit": 8,
}


def start() -> None:
  """Has JAX make a CPU device a core; before it has started."""
  if (cores := _asked_for()) > 1:
    jax.config.update("jax_num_cpu_devices", cores)


def cores_as_devices() -> int:
  """Counts the devices that are cores of this process's CPU; 1: none are."""
  asked = _asked_for()
  if asked == 1 or jax.process_count() > 1:
    return 1
  devices = jax.devices()
  here = devices[0].platform == "cpu" and len(devices) == asked
  return asked if here else 1


def divided_over(trial: Trial) -> int:
  """Returns over how many cores the batches of a trial are divided."""
  cores = cores_as_devices()
  least = LEAST_SHARE.get(trial.model.name)
  if least is None or trial.transfer.features == "once":
    return 1
  if trial.dropout > 0 and trial.execution.draws != "threefry":
    return 1  # draws others on several devices
  share, rest = divmod(trial.batch_size, cores)
  if rest or share < least or share % (trial.accumulation or 1):
    return 1
  return cores


def devices_of(trial: Trial) -> int:
  """Returns how many devices of XLA a trial's mesh has; 0: all there are."""
  return trial.devices if cores_as_devices() == 1 else divided_over(trial)


def _asked_for() -> int:
  return int(os.environ.get(CORES, "1"))
