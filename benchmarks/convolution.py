"""What the form of a convolution and of the loop cost in training speed.

  python benchmarks/convolution.py [--out=benchmarks/convolution.json]

The small CNN on real images, forward, backward and update, six ways: as chosen
on CPUs, patches or XLA's convolution, a segment as one program or a call a
step. Rounds are
interleaved and the best of them counts, so that other work on the machine
disturbs all ways alike.
"""

import functools
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
from absl import app, flags

from jaxpower import config, data, provenance, schedule
from jaxpower.learn import layers, programs
from jaxpower.learn.devices import make_mesh, replicated
from jaxpower.learn.evaluation import in_chunks
from jaxpower.learn.optimizer import hyperparameters
from jaxpower.learn.spec import spec_of
from jaxpower.learn.state import fresh_state
from jaxpower.learn.step import train_step

EXAMPLES = 2_048
BATCHES = (16, 128, 1024)
ROUNDS = 5
FORMS = {
  "chosen": layers.convolve_in_loop,
  "patches": layers.convolve_patches,
  "xla": layers.convolve_xla,
}

_OUT = flags.DEFINE_string("out", None, "also write the numbers here")


def main(_: list[str]) -> None:
  results = {batch: measure(batch) for batch in BATCHES}
  for batch, speeds in results.items():
    best = max(speeds.values())
    for way, speed in speeds.items():
      print(
        f"batch {batch:>4}  {way:16} {speed:>8,.0f} images/s"
        f"  {speed / best:.2f} of the best"
      )
  if _OUT.value:
    facts = {"images_per_second": results, "provenance": provenance.collect()}
    pathlib.Path(_OUT.value).write_text(json.dumps(facts, indent=2) + "\n")


def measure(batch: int) -> dict[str, float]:
  """Images a second of every way at one batch size."""
  ways = {
    f"{form}, {loop}": make(convolve)
    for form, convolve in FORMS.items()
    for loop, make in (
      ("segment", functools.partial(segment, batch)),
      ("a call a step", functools.partial(steps, batch)),
    )
  }
  for run in ways.values():
    run()
  best = dict.fromkeys(ways, 0.0)
  for _ in range(ROUNDS):
    for way, run in ways.items():
      began = time.perf_counter()
      run()
      speed = EXAMPLES / (time.perf_counter() - began)
      best[way] = max(best[way], speed)
  return best


def segment(batch: int, convolve: Callable[..., Any]) -> Callable[[], None]:
  """Training on `EXAMPLES` images as one program."""
  spec, placed, state, indices, numbers = prepare(batch)
  mesh = make_mesh(1)
  program = _compile(
    convolve,
    functools.partial(programs.update_segment, spec, mesh),
    state,
    placed,
    indices,
    numbers,
  )
  return lambda: jax.block_until_ready(program(state, placed, indices, numbers))


def steps(batch: int, convolve: Callable[..., Any]) -> Callable[[], None]:
  """The same as a call a step, batches gathered on the device."""
  spec, placed, state, indices, numbers = prepare(batch)

  def step(state: Any, data: Any, index: Any, rate: Any) -> Any:
    chosen = data | {n: data[n][index] for n in ("input", "label")}
    return train_step(spec, state, chosen, numbers._replace(learning_rate=rate))

  rates = numbers.learning_rate
  program = _compile(convolve, step, state, placed, indices[0], rates[0])

  def run() -> None:
    after = state
    for index, rate in zip(indices, rates, strict=True):
      after, _ = program(after, placed, index, rate)
    jax.block_until_ready(after)

  return run


def prepare(batch: int) -> Any:
  """Spec, data, fresh state, order and numbers of one segment."""
  trial = config.Trial(
    batch_size=batch,
    accumulation=1,  # the forms are compared on whole batches
    evaluate_every_examples=EXAMPLES,
    devices=1,
  )
  found = data.load(trial.data)
  scale = {"mean": found.mean, "std": found.std}
  arrays = {**found.train, **scale}
  test = {**in_chunks(dict(found.test), make_mesh(1)), **scale}
  spec = spec_of(trial, arrays, test, classes=found.facts.classes)
  placed = jax.device_put(arrays, replicated(make_mesh(1)))
  indices = data.batch_indices(
    seed=0,
    examples=found.facts.train_examples,
    batch_size=batch,
    first_step=0,
    steps=spec.steps,
  )
  rates = schedule.learning_rates(trial, 0, spec.steps)
  numbers = hyperparameters(trial, rates)
  return spec, placed, fresh_state(spec, 0), indices, numbers


def _compile(convolve: Callable[..., Any], function: Any, *args: Any) -> Any:
  """Compiles with the convolution in one form, whatever the platform."""
  chosen = layers.convolve
  layers.convolve = convolve
  try:
    return jax.jit(function).lower(*args).compile()
  finally:
    layers.convolve = chosen


if __name__ == "__main__":
  app.run(main)
