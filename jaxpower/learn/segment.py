"""The updates between two evaluations, as the host has them made.

The host draws the order of the examples, how their images are moved, and the
learning rates; both wings draw the same. A set on the devices then takes one
call of a compiled program for the whole segment. A streamed set takes a call
for each chunk, while threads read the next ones.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxpower import data, schedule
from jaxpower.config import Trial
from jaxpower.data import batch_indices
from jaxpower.learn import feed
from jaxpower.learn.augment import draws_of
from jaxpower.learn.devices import make_mesh, split
from jaxpower.learn.optimizer import Hyperparameters, hyperparameters
from jaxpower.learn.placement import Placed
from jaxpower.learn.programs import Programs
from jaxpower.learn.state import TrainState


def train(
  programs: Programs, state: TrainState, placed: Placed, segment: int
) -> tuple[TrainState, Any, float]:
  """Makes the updates of one segment, from the state after those before.

  Args:
    programs: Those of the trial's spec.
    state: Written over.
    placed: The trial.
    segment: Which one, from 0.

  Returns:
    The new state, the mean loss over the segment's steps, and the seconds for
    which the devices waited for data: 0 if the set lies on them.
  """
  trial, spec = placed.trial, placed.spec
  first_step = segment * spec.steps
  indices = order_of(trial, placed.chosen, first_step, spec.steps)
  rates = schedule.learning_rates(trial, first_step, spec.steps)
  numbers = hyperparameters(trial, rates)
  draws = draws_of(trial, spec.input_shape, first_step, spec.steps)
  if placed.host:
    return _train_streamed(programs, state, placed, indices, numbers, *draws)
  whole_set = placed.train | placed.scale
  state, loss = programs.train(state, whole_set, indices, numbers, *draws)
  return state, loss, 0.0


def order_of(
  trial: Trial, chosen: np.ndarray, first_step: int, steps: int
) -> np.ndarray:
  """Returns the examples of some steps of a trial: int32 [steps, batch].

  `chosen` are the examples that the trial uses, as indices into the set.
  """
  places = batch_indices(
    seed=trial.seed,
    examples=len(chosen),
    batch_size=trial.batch_size,
    first_step=first_step,
    steps=steps,
  )
  return chosen[places]


def _train_streamed(
  programs: Programs,
  state: TrainState,
  placed: Placed,
  indices: np.ndarray,
  numbers: Hyperparameters,
  draws: np.ndarray | None = None,
) -> tuple[TrainState, np.floating, float]:
  """Makes the updates of one segment; nothing read for it is kept."""
  spec = placed.spec
  lead = (-1, spec.chunk, spec.batch_size)
  chunks = feed.TrainChunks(
    placed.host,
    placed.scale,
    indices.reshape(lead),
    None if draws is None else draws.reshape(*lead, 3),
    split(make_mesh(spec.devices), axis=1),
  )
  rates = np.split(numbers.learning_rate, len(chunks))
  if spec.execution.chunks_in_flight > 1:
    return _train_in_flight(programs, state, chunks, numbers, rates)
  losses = []
  with data.read_ahead(chunks, ahead=feed.AHEAD) as stream:
    for chunk, chunk_rates in zip(stream, rates, strict=True):
      chunk_numbers = numbers._replace(learning_rate=chunk_rates)
      state, loss = programs.train(state, chunk, chunk_numbers)
      # The devices are at rest before the next chunk is asked for, or they
      # would seem to wait for data while they compute.
      losses.append(jax.block_until_ready(loss))
  return state, np.mean(np.concatenate(losses)), stream.waited_seconds


def _train_in_flight(
  programs: Programs,
  state: TrainState,
  chunks: feed.TrainChunks,
  numbers: Hyperparameters,
  rates: Sequence[np.ndarray],
) -> tuple[TrainState, np.floating, float]:
  """Makes the updates with the next chunk queued before the last is done.

  So the devices do not rest for a round trip to the host between chunks. What
  they waited for data is from when they had nothing left to when a chunk came;
  a thread notes when that was.
  """
  losses: list[Any] = []
  done: Future[float] | None = None
  waited = 0.0
  with (
    data.read_ahead(chunks, ahead=feed.AHEAD) as stream,
    ThreadPoolExecutor(1, "done") as watcher,
  ):
    for chunk_rates in rates:
      asked = time.monotonic()
      chunk = next(stream)
      if done is None:
        waited += time.monotonic() - asked
      elif done.done():
        waited += max(0.0, time.monotonic() - max(asked, done.result()))
      chunk_numbers = numbers._replace(learning_rate=chunk_rates)
      state, loss = programs.train(state, chunk, chunk_numbers)
      if losses:
        jax.block_until_ready(losses[-1])
      losses.append(loss)
      done = watcher.submit(_when_done, loss)
    losses = [jax.block_until_ready(loss) for loss in losses]
  return state, np.mean(np.concatenate(losses)), waited


def _when_done(values: jax.Array) -> float:
  """Waits for values; returns the monotonic instant at which they were."""
  jax.block_until_ready(values)
  return time.monotonic()
