import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpower.data import augmentation_draws, batch_indices
from jaxpower.data.order import epoch_permutation

seeds = st.integers(0, 2**64 - 1)
sizes = st.integers(1, 200)
small_sizes = st.integers(1, 50)


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


def test_an_epoch_is_drawn_once_for_all_its_steps(
  monkeypatch: pytest.MonkeyPatch,
):
  drawn, draw = [], np.random.Philox

  def counted(**key: np.ndarray) -> np.random.Philox:
    drawn.append(key)
    return draw(**key)

  monkeypatch.setattr(np.random, "Philox", counted)
  facts = {"seed": 2**63 + 5, "examples": 1000, "batch_size": 10}
  for step in range(0, 200, 4):
    first = batch_indices(**facts, first_step=step, steps=4)
    first[:] = 0  # what is returned is the caller's own
  assert len(drawn) == 2
  again = batch_indices(**facts, first_step=0, steps=200).ravel()
  assert sorted(again[:1000]) == list(range(1000))


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
  ("changed", "message"),
  [
    ({"examples": 0}, "at least 1"),
    ({"batch_size": 0}, "at least 1"),
    ({"first_step": -1}, "not be negative"),
    ({"steps": -1}, "not be negative"),
    ({"seed": -1}, "seed must be"),
    ({"seed": 2**64}, "seed must be"),
  ],
)
def test_numbers_out_of_range_are_refused(
  changed: dict[str, int], message: str
):
  numbers = {
    "seed": 0,
    "examples": 10,
    "batch_size": 2,
    "first_step": 0,
    "steps": 1,
  }
  with pytest.raises(ValueError, match=message):
    batch_indices(**(numbers | changed))


DRAW_NUMBERS = {
  "seed": 0,
  "first_step": 0,
  "steps": 500,
  "batch_size": 20,
  "height": 28,
  "width": 5,
  "flip": True,
}


def draw(**changed: int) -> np.ndarray:
  return augmentation_draws(**{**DRAW_NUMBERS, **changed})


def test_every_move_is_as_likely() -> None:
  down, across, mirrored = draw().reshape(-1, 3).T
  for values, expected in (
    (down, np.arange(-3, 4)),
    (across, np.arange(-1, 2)),  # an eighth of 5 is less than 1
    (mirrored, np.arange(2)),
  ):
    seen, counts = np.unique(values, return_counts=True)
    np.testing.assert_array_equal(seen, expected)
    share = 1 / len(expected)
    deviation = (10_000 * share * (1 - share)) ** 0.5
    assert np.abs(counts - 10_000 * share).max() < 5 * deviation
  # Independent: no correlation that five deviations of chance do not explain.
  assert np.abs(np.corrcoef([down, across, mirrored]) - np.eye(3)).max() < 0.05


def test_nothing_is_mirrored_unless_asked() -> None:
  without = draw(flip=False)
  assert not without[..., 2].any()
  np.testing.assert_array_equal(without[..., :2], draw()[..., :2])


@settings(deadline=None)
@given(seed=seeds, batch_size=small_sizes, other=small_sizes)
def test_all_batch_sizes_move_the_same_stream(
  seed: int, batch_size: int, other: int
) -> None:
  one, two = (
    draw(seed=seed, batch_size=size, steps=7).reshape(-1, 3)
    for size in (batch_size, other)
  )
  shared = min(len(one), len(two))
  np.testing.assert_array_equal(one[:shared], two[:shared])


@settings(deadline=None)
@given(
  seed=seeds,
  batch_size=small_sizes,
  first_step=st.integers(0, 50),
  steps=st.integers(0, 10),
)
def test_the_draws_of_a_step_need_no_step_before_it(
  seed: int, batch_size: int, first_step: int, steps: int
) -> None:
  given = {"seed": seed, "batch_size": batch_size}
  whole = draw(steps=first_step + steps, **given)
  part = draw(first_step=first_step, steps=steps, **given)
  assert (part.shape, part.dtype) == ((steps, batch_size, 3), np.int8)
  np.testing.assert_array_equal(part, whole[first_step:])


def test_seeds_and_the_order_have_streams_of_their_own() -> None:
  assert len({draw(seed=seed, steps=5).tobytes() for seed in range(20)}) == 20
  # Were the words those of the order, sorting by them would be the order.
  words = np.random.Philox(key=np.array([0, 0], np.uint64)).random_raw(100)
  order = epoch_permutation(seed=0, epoch=0, examples=100)
  np.testing.assert_array_equal(np.argsort(words), order)
  down = ((words & np.uint64(0xFFFFF)).astype(int) * 7 >> 20) - 3
  assert (draw(steps=5)[..., 0].ravel() != down).any()


def test_draws_are_the_same_on_every_machine() -> None:
  # Held here so that no version of numpy changes an experiment unseen.
  few = draw(steps=1, batch_size=3)
  assert few.tolist() == [FEW]
  sha256 = hashlib.sha256(draw(seed=2**64 - 1, first_step=7).tobytes())
  assert sha256.hexdigest() == SHA256


FEW = [[0, 0, 0], [1, 0, 1], [3, -1, 1]]
SHA256 = "5976c2d45b937da93276389e969a9df7f1c138a37191811f6cd7c8f70ffaf2fd"


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"seed": -1}, "seed must be"),
    ({"seed": 2**64}, "seed must be"),
    ({"first_step": -1}, "not be negative"),
    ({"steps": -1}, "not be negative"),
    ({"batch_size": 0}, "at least 1"),
    ({"height": 0}, "1 to 1023 pixels"),
    ({"width": 1024}, "1 to 1023 pixels"),
  ],
)
def test_numbers_out_of_range_are_refused_by_the_draws(
  changed: dict[str, int], message: str
) -> None:
  with pytest.raises(ValueError, match=message):
    draw(**changed)
