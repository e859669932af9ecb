"""Times one way to train a network, in a process of its own.

  python benchmarks/throughput_arm.py ARM NETWORK BATCH PRECISION SECONDS

Prints a line of JSON. Called by benchmarks/throughput.py.
"""

import json
import os
import sys
from typing import Any

from throughput_cases import (
  forget_peak,
  peak_mib,
  resident_mib,
  timed,
  trial_of,
)


def main(arguments: list[str]) -> None:
  arm, network, batch, precision, seconds = arguments
  framework = arm.removeprefix("plain_")
  trial = trial_of(network, int(batch), framework, precision)
  loops = _plain(arm, trial) if arm.startswith("plain_") else _wing(trial)
  train, evaluate, before = loops
  train()
  forget_peak()
  trained = timed(train, float(seconds))
  peak = peak_mib() - before
  evaluate()
  evaluated = timed(evaluate, float(seconds) / 2)
  print(
    json.dumps(
      {
        "train": trained.facts(),
        "evaluate": evaluated.facts(),
        "peak_mib_beyond_the_framework": peak,
        "environment": {
          name: os.environ.get(name)
          for name in ("MALLOC_MMAP_THRESHOLD_", "JAXPOWER_CPU_CORES")
        },
      }
    )
  )


def _wing(trial: Any) -> tuple[Any, Any, float]:
  """Returns what trains and what evaluates by a wing, and the memory before."""
  from jaxpower import data, heap
  from jaxpower.wings import wing_of

  wing = wing_of(trial.framework)
  if trial.framework == "jax":
    from jaxpower.learn import cores

    cores.start()
  wing.prepare_compiler(trial.framework)
  sets = data.load(trial.data)
  before = resident_mib()
  placed = wing.place(trial, data.for_tasks(sets, trial.tasks))
  programs = wing.compile_programs(placed.spec)
  heap.give_back()  # as a trial does
  states = [wing.start(placed)]

  def train() -> int:
    state, loss, _ = wing.train(programs, states[0], placed, 0)
    states[0] = state
    wing.wait((state, loss))
    return trial.evaluate_every_examples

  def evaluate() -> int:
    wing.wait(wing.evaluate(programs, states[0], placed, "test"))
    return placed.examples["test"]

  return train, evaluate, before


def _plain(arm: str, trial: Any) -> tuple[Any, Any, float]:
  """Returns what trains and evaluates in a loop as a user would write it."""
  if arm == "plain_jax":
    import plain_jax

    return plain_jax.loops(trial)
  import plain_torch

  return plain_torch.loops(trial)


if __name__ == "__main__":
  main(sys.argv[1:])
