"""What an update costs when its batch is computed in smaller pieces.

  python benchmarks/pieces.py [--framework=torch] [--out=FILE]

One segment of training at batch 512, its updates gathered from micro-batches
of each size. The gradients are the same but for rounding. Rounds are
interleaved and the best of each size counts, so that other work on the
machine disturbs all alike.
"""

import dataclasses
import json
import pathlib
import time
from typing import Any

from absl import app, flags

from jaxpower import data, provenance
from jaxpower.config import FRAMEWORKS, Model, Trial
from jaxpower.wings import wing_of

BATCH: int = 512
SIZES: tuple[int, ...] = (16, 32, 64, 128, 256, 512)  # examples of a piece
STEPS = 2  # updates of a segment
ROUNDS = 3
CASES = {
  "cnn": Trial(model=Model(name="cnn"), data="fashion_mnist_6k"),
  "vit": Trial(model=Model(name="vit"), data="fashion_mnist_6k"),
  "transformer": Trial(model=Model(name="transformer"), data="imu"),
}

_FRAMEWORK = flags.DEFINE_enum("framework", "jax", FRAMEWORKS, "which wing")
_OUT = flags.DEFINE_string("out", None, "also write the numbers here")


def main(_: list[str]) -> None:
  results = {name: measure(trial) for name, trial in CASES.items()}
  for name, speeds in results.items():
    whole = speeds[BATCH]
    for size, speed in speeds.items():
      print(
        f"{name:12} pieces of {size:>3}  {speed:>8,.0f} examples/s"
        f"  {speed / whole:.2f} of one piece"
      )
  if _OUT.value:
    facts = {
      "framework": _FRAMEWORK.value,
      "examples_per_second": results,
      "provenance": provenance.collect(),
    }
    pathlib.Path(_OUT.value).write_text(json.dumps(facts, indent=2) + "\n")


def measure(trial: Trial) -> dict[int, float]:
  """Examples a second for every size of a piece."""
  wing = wing_of(_FRAMEWORK.value)
  ways = {size: prepare(wing, trial, size) for size in SIZES}
  best: dict[int, float] = dict.fromkeys(SIZES, 0.0)
  for _ in range(ROUNDS):
    for size, (placed, programs) in ways.items():
      state = wing.start(placed)
      wing.wait(state)
      began = time.perf_counter()
      wing.wait(wing.train(programs, state, placed, 0))
      speed = BATCH * STEPS / (time.perf_counter() - began)
      best[size] = max(best[size], speed)
  return best


def prepare(wing: Any, case: Trial, size: int) -> tuple[Any, Any]:
  """A trial placed and its programs, which have run once."""
  trial = dataclasses.replace(
    case,
    framework=_FRAMEWORK.value,
    batch_size=BATCH,
    accumulation=BATCH // size,
    evaluate_every_examples=BATCH * STEPS,
    budget_examples=BATCH * STEPS,
    devices=1,
  )
  placed = wing.place(trial, data.load(trial.data))
  programs = wing.compile_programs(placed.spec)
  wing.wait(wing.train(programs, wing.start(placed), placed, 0))
  return placed, programs


if __name__ == "__main__":
  app.run(main)
