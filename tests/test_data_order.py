import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpower.data import batch_indices
from jaxpower.data.order import epoch_permutation

seeds = st.integers(0, 2**64 - 1)
sizes = st.integers(1, 200)


def stream(*, seed: int, examples: int, batch_size: int, steps: int):
  return batch_indices(
    seed=seed,
    examples=examples,
    batch_size=batch_size,
    first_step=0,
    steps=steps,
  ).ravel()


@settings(deadline=None)
@given(seed=seeds, epoch=st.integers(0, 2**40), examples=sizes)
def test_an_epoch_is_a_permutation(seed: int, epoch: int, examples: int):
  order = epoch_permutation(seed=seed, epoch=epoch, examples=examples)
  assert order.dtype == np.int32
  assert sorted(order) == list(range(examples))


@settings(deadline=None)
@given(seed=seeds, examples=sizes, batch_size=sizes, steps=st.integers(1, 20))
def test_batches_cut_up_the_epochs_in_a_row(
  seed: int, examples: int, batch_size: int, steps: int
):
  drawn = stream(
    seed=seed, examples=examples, batch_size=batch_size, steps=steps
  )
  epochs = -(-steps * batch_size // examples)
  expected = [
    epoch_permutation(seed=seed, epoch=epoch, examples=examples)
    for epoch in range(epochs)
  ]
  np.testing.assert_array_equal(
    drawn, np.concatenate(expected)[: steps * batch_size]
  )


@settings(deadline=None)
@given(seed=seeds, examples=sizes, batch_size=sizes, other=sizes)
def test_all_batch_sizes_see_the_same_stream(
  seed: int, examples: int, batch_size: int, other: int
):
  one = stream(seed=seed, examples=examples, batch_size=batch_size, steps=7)
  two = stream(seed=seed, examples=examples, batch_size=other, steps=7)
  shared = min(len(one), len(two))
  np.testing.assert_array_equal(one[:shared], two[:shared])


@settings(deadline=None)
@given(
  seed=seeds,
  examples=sizes,
  batch_size=sizes,
  first_step=st.integers(0, 50),
  steps=st.integers(0, 10),
)
def test_a_step_needs_no_step_before_it(
  seed: int, examples: int, batch_size: int, first_step: int, steps: int
):
  facts = {"seed": seed, "examples": examples, "batch_size": batch_size}
  whole = batch_indices(**facts, first_step=0, steps=first_step + steps)
  part = batch_indices(**facts, first_step=first_step, steps=steps)
  assert part.shape == (steps, batch_size)
  assert part.dtype == np.int32
  np.testing.assert_array_equal(part, whole[first_step:])


def test_seeds_and_epochs_differ():
  orders = [
    epoch_permutation(seed=seed, epoch=epoch, examples=100).tobytes()
    for seed in range(10)
    for epoch in range(10)
  ]
  assert len(set(orders)) == len(orders)


def test_the_order_is_the_same_on_every_machine():
  # Held here so that no version of numpy changes an experiment unseen.
  order = batch_indices(
    seed=0, examples=10, batch_size=4, first_step=0, steps=3
  )
  assert order.tolist() == [[0, 2, 9, 1], [8, 5, 4, 3], [6, 7, 5, 3]]
  order = epoch_permutation(seed=3, epoch=5, examples=60000)
  sha256 = hashlib.sha256(order.astype("<i4").tobytes()).hexdigest()
  assert (
    sha256 == "4ea6a96da2ac8f16a99bbb037b7b5373188823826474a9d06eebdcbfe149aa4a"
  )


def test_every_place_is_as_likely():
  places = np.stack(
    [
      epoch_permutation(seed=1, epoch=epoch, examples=8)
      for epoch in range(4000)
    ]
  )
  counts = np.stack([np.bincount(column, minlength=8) for column in places.T])
  # 500 expected, a deviation of 21: five deviations either way.
  assert counts.min() > 395
  assert counts.max() < 605


@pytest.mark.parametrize(
  ("changed", "said"),
  [
    ({"examples": 0}, "at least 1"),
    ({"batch_size": 0}, "at least 1"),
    ({"first_step": -1}, "not be negative"),
    ({"steps": -1}, "not be negative"),
    ({"seed": -1}, "seed must be"),
    ({"seed": 2**64}, "seed must be"),
  ],
)
def test_numbers_out_of_range_are_refused(changed: dict[str, int], said: str):
  numbers = {
    "seed": 0,
    "examples": 10,
    "batch_size": 2,
    "first_step": 0,
    "steps": 1,
  }
  with pytest.raises(ValueError, match=said):
    batch_indices(**(numbers | changed))
