"""What the benchmark of throughput trains, and how a loop is timed there."""

import dataclasses
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from jaxpower.config import Model, Trial

ARMS = ("jax", "torch", "torch_compile", "plain_jax", "plain_torch")
MIB = 2**20
# A small ResNet, since a whole one takes seconds for a batch on two cores.
NARROW = 0.25
CASES = {
  "cnn": Trial(model=Model(name="cnn"), data="fashion_mnist_6k"),
  "vit": Trial(model=Model(name="vit"), data="fashion_mnist_6k"),
  "transformer": Trial(model=Model(name="transformer"), data="imu"),
  "decoder": Trial(model=Model(name="decoder"), data="austen"),
  "resnet18": Trial(
    model=Model(name="resnet18", width=NARROW), data="fashion_mnist_6k"
  ),
  "resnet50": Trial(
    model=Model(name="resnet50", width=NARROW), data="fashion_mnist_6k"
  ),
}
# Examples between two looks at the clock: few where an example takes long.
FAST_SEGMENT, SLOW_SEGMENT = 4_096, 256


def trial_of(network: str, batch: int, framework: str, precision: str) -> Trial:
  """Returns the trial of a case whose segments are long enough to time."""
  segment = max(batch, FAST_SEGMENT if network == "cnn" else SLOW_SEGMENT)
  return dataclasses.replace(
    CASES[network],
    framework=framework,
    batch_size=batch,
    precision=precision,
    evaluate_every_examples=segment,
    budget_examples=segment,
  )


@dataclasses.dataclass(frozen=True)
class Speed:
  """How fast a loop was: examples, over seconds of the wall and of the CPU."""

  examples: int
  seconds: float
  cpu_seconds: float

  def facts(self) -> dict[str, float]:
    """Returns what is written of it."""
    return {
      "examples_per_second": self.examples / self.seconds,
      "cpu_seconds_per_example": self.cpu_seconds / self.examples,
    }


def timed(call: Callable[[], int], seconds: float) -> Speed:
  """Calls a function so long, twice at least; it returns its examples."""
  examples, calls = 0, 0
  began, cpu_began = time.perf_counter(), _cpu_seconds()
  while calls < 2 or time.perf_counter() - began < seconds:
    examples += call()
    calls += 1
  took = time.perf_counter() - began
  return Speed(examples, took, _cpu_seconds() - cpu_began)


def resident_mib() -> float:
  """Returns the memory that this process has now."""
  return psutil.Process().memory_info().rss / MIB


def forget_peak() -> None:
  """Has the kernel count the peak of memory from now on (man 5 proc)."""
  Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
  """Returns the most memory that this process has had since."""
  lines = Path("/proc/self/status").read_text().splitlines()
  (line,) = (line for line in lines if line.startswith("VmHWM:"))
  return int(line.split()[1]) / 1024


def _cpu_seconds() -> float:
  usage = resource.getrusage(resource.RUSAGE_SELF)
  return usage.ru_utime + usage.ru_stime


def split_of(trial: Trial) -> tuple[Any, ...]:
  """Loads inputs, normalised, and labels of training and test."""
  import numpy as np

  from jaxpower import data

  sets = data.load(trial.data)
  parts = []
  for part in (sets.train, sets.evaluated["test"]):
    inputs = np.asarray(part["input"][:])
    if sets.facts.kind == "tokens":
      inputs = inputs.astype(np.int32)
    else:
      inputs = (inputs.astype(np.float32) - sets.mean) / sets.std
    parts += [inputs, np.asarray(part["label"][:], np.int32)]
  return (*parts, sets.facts)
