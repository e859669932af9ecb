"""A streamed set trains as one that lies on the devices."""

import dataclasses
import functools
import pathlib
import threading
import time
from typing import Any

import jax
import numpy as np
import pytest

from jaxpower import config, data
from jaxpower.data import DataSet, cache
from jaxpower.learn import feed, wing

TRIAL = config.Trial(
  model=config.Model(width=0.25),
  batch_size=32,
  evaluate_every_examples=256,
  streaming="always",
  data_share=0.5,
  dropout=0.2,
  devices=1,
)

compiled = functools.cache(wing.compile_programs)


@functools.cache
def whole() -> DataSet:
  """A small part of a real set, whose test set fills no even chunks."""
  loaded = data.load("fashion_mnist_6k")
  return dataclasses.replace(
    loaded,
    train={name: values[:300] for name, values in loaded.train.items()},
    test={name: values[:730] for name, values in loaded.test.items()},
  )


def curve(trial: config.Trial, sets: DataSet) -> tuple[list[Any], Any]:
  """Train loss, test loss and accuracy after each of two segments."""
  placed = wing.place(trial, sets)
  assert bool(placed.host) == (trial.streaming == "always")
  assert bool(placed.train) != bool(placed.host)
  programs = compiled(placed.spec)
  state, points = wing.start(placed), []
  for segment in range(2):
    state, loss, _ = wing.train(programs, state, placed, segment)
    metrics = wing.evaluate(programs, state, placed)
    points.append(
      [float(loss), float(metrics["loss"]), float(metrics["accuracy"])]
    )
  return points, state


@pytest.mark.parametrize(
  "change",
  [
    {},
    {"augmentation": "crop_flip", "accumulation": 2, "devices": 4},
    {"execution": config.Execution(chunks_in_flight=2)},
  ],
  ids=[
    "a share, with dropout",
    "micro-batches on four devices",
    "two chunks in flight",
  ],
)
def test_a_streamed_set_gives_the_same_curve(change: dict[str, Any]) -> None:
  trial = dataclasses.replace(TRIAL, **change)
  streamed, state = curve(trial, whole())
  resident = dataclasses.replace(trial, streaming="never")
  expected, other = curve(resident, whole())
  np.testing.assert_allclose(streamed, expected, rtol=1e-5)
  accuracies = [point[2] for point in streamed]
  assert accuracies == [point[2] for point in expected]
  assert len(set(accuracies)) == 2
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
    state.params,
    other.params,
  )
  leaves = jax.tree.leaves(state.params)
  assert {len(leaf.sharding.device_set) for leaf in leaves} == {trial.devices}


def test_a_set_on_disk_is_trained_on(tmp_path: pathlib.Path) -> None:
  splits = {"train": dict(whole().train), "test": dict(whole().test)}
  mapped = {}
  for split, arrays in splits.items():
    cache.write(tmp_path / split, "key", arrays)
    mapped[split] = cache.map_arrays(tmp_path / split, "key")
  sets = dataclasses.replace(whole(), **mapped)
  assert isinstance(sets.train["input"], np.memmap)
  assert curve(TRIAL, sets)[0] == curve(TRIAL, whole())[0]


def test_nothing_is_left_of_a_segment() -> None:
  placed = wing.place(TRIAL, whole())
  programs, before = compiled(placed.spec), threading.active_count()
  state, loss, waited = wing.train(programs, wing.start(placed), placed, 0)
  metrics = wing.evaluate(programs, state, placed)
  assert threading.active_count() == before
  assert waited > 0
  assert np.isfinite(loss)
  # What the meter waits on is computed by the program itself.
  assert all(
    isinstance(v, jax.Array) for v in jax.tree.leaves((state, metrics))
  )


def test_an_error_of_reading_ends_the_segment() -> None:
  placed = wing.place(TRIAL, whole())
  assert placed.host

  class Broken:
    shape, dtype = (300, 28, 28, 1), np.dtype("uint8")

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
      raise OSError("the disk is gone")

  broken: Any = {**placed.host, "input": Broken()}
  placed = dataclasses.replace(placed, host=broken)
  before = threading.active_count()
  with pytest.raises(OSError, match="the disk is gone"):
    wing.train(compiled(placed.spec), wing.start(placed), placed, segment=0)
  assert threading.active_count() == before


def test_the_wait_is_that_for_chunks_and_not_for_the_devices(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  placed = wing.place(TRIAL, whole())
  assert placed.host
  programs, ready = compiled(placed.spec), []

  class Spy(data.Stream):
    def __next__(self) -> Any:
      ready.append([loss.is_ready() for loss in losses])
      return super().__next__()

  losses: list[Any] = []

  def train(*given: Any) -> Any:
    state, loss = programs.train(*given)
    losses.append(loss)
    return state, loss

  read = data.read_ahead
  monkeypatch.setattr(
    data,
    "read_ahead",
    lambda source, ahead: Spy(read(source, ahead=ahead), lambda: None),
  )
  watched = dataclasses.replace(programs, train=train)
  wing.train(watched, wing.start(placed), placed, 0)
  steps = placed.spec.steps // placed.spec.chunk
  assert ready == [[True] * count for count in range(steps + 1)]


@pytest.mark.parametrize(
  ("batch", "every", "bytes_", "program", "chunk"),
  [
    (32, 2048, 784, "segment", 16),  # four chunks at the least
    (32, 2048, 784, "step", 1),
    (128, 12_800, 3 << 16, "segment", 1),  # 24 MiB a step
    (128, 12_800, 3 << 15, "segment", 2),
    (128, 128 * 7, 784, "segment", 1),  # no other divisor of 7
    (128, 128, 784, "segment", 1),
  ],
)
def test_chunks_divide_a_segment_and_stay_small(
  batch: int, every: int, bytes_: int, program: str, chunk: int
) -> None:
  trial = config.Trial(
    batch_size=batch, evaluate_every_examples=every, program=program
  )
  train = {"input": np.empty((2, bytes_), np.uint8)}
  assert feed.steps_per_chunk(trial, train) == chunk


def test_a_streamed_program_is_another_one() -> None:
  never = dataclasses.replace(TRIAL, streaming="never")
  chunks = [wing.place(t, whole()).spec.chunk for t in (TRIAL, never)]
  assert chunks == [2, 0]


def test_with_two_in_flight_the_wait_is_that_of_idle_devices(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  trial = dataclasses.replace(
    TRIAL, execution=config.Execution(chunks_in_flight=2)
  )
  placed = wing.place(trial, whole())
  programs = compiled(placed.spec)
  bring = feed.TrainChunks.__getitem__

  def late(chunks: feed.TrainChunks, number: int) -> Any:
    if number == len(chunks) - 1:
      time.sleep(0.3)
    return bring(chunks, number)

  wing.train(programs, wing.start(placed), placed, 0)
  monkeypatch.setattr(feed.TrainChunks, "__getitem__", late)
  began = time.monotonic()
  _, _, waited = wing.train(programs, wing.start(placed), placed, 0)
  assert 0.05 < waited <= time.monotonic() - began
