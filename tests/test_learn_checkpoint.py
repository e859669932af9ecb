import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpower.learn import checkpoint
from jaxpower.learn.devices import make_mesh, replicated
from jaxpower.learn.state import TrainState
from jaxpower.weights import WeightsError


def test_a_state_comes_back_bit_equal_on_other_devices(
  tmp_path: pathlib.Path,
) -> None:
  weights = jax.random.normal(jax.random.key(0), (5, 3))
  state = TrainState(
    step=jnp.int32(12),
    params={"head": {"kernel": weights}},
    batch_stats={"norm": {"mean": weights[0]}},
    opt_state=(weights * 2, {"count": jnp.int32(12)}),
  )
  checkpoint.save(tmp_path / "weights", state)
  shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
  everywhere = replicated(make_mesh(4))
  restored = checkpoint.restore(tmp_path / "weights", shapes, everywhere)
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  assert restored.params["head"]["kernel"].sharding == everywhere


def test_a_backbone_comes_back_bit_equal_under_another_head(
  tmp_path: pathlib.Path,
) -> None:
  weights = jax.random.normal(jax.random.key(0), (5, 3))
  held = TrainState(
    step=jnp.int32(12),
    params={"head": {"kernel": weights}, "stem": {"kernel": weights * 3}},
    batch_stats={"norm": {"mean": weights[0]}},
    opt_state=(weights, {"count": jnp.int32(12)}),
  )
  checkpoint.save(tmp_path / "weights", held)
  everywhere = replicated(make_mesh(4))
  state = TrainState(
    step=jnp.int32(0),
    params={
      "head": {"kernel": jnp.ones((5, 7))},
      "stem": {"kernel": jnp.zeros((5, 3))},
    },
    batch_stats={"norm": {"mean": jnp.zeros(3)}},
    opt_state=(),
  )
  state = jax.device_put(state, everywhere)
  restored = checkpoint.restore_backbone(tmp_path / "weights", state)
  assert int(restored.step) == 0
  np.testing.assert_array_equal(restored.params["stem"]["kernel"], weights * 3)
  np.testing.assert_array_equal(
    restored.batch_stats["norm"]["mean"], weights[0]
  )
  np.testing.assert_array_equal(
    restored.params["head"]["kernel"], np.ones((5, 7))
  )
  assert restored.opt_state == ()
  assert {leaf.sharding for leaf in jax.tree.leaves(restored)} == {everywhere}


@pytest.mark.parametrize(
  ("stem", "stats", "message"),
  [
    (
      {"kernel": jnp.zeros((7, 7, 3, 64))},
      {},
      "params.stem.kernel is [3, 3, 3, 64] float32 there,"
      " [7, 7, 3, 64] float32 here",
    ),
    (
      {"kernel": jnp.zeros((3, 3, 3, 64), jnp.bfloat16)},
      {},
      "params.stem.kernel is [3, 3, 3, 64] float32 there,"
      " [3, 3, 3, 64] bfloat16 here",
    ),
    (
      {f"layer_{n}": jnp.zeros(n) for n in range(1, 8)},
      {},
      "params.stem.kernel is [3, 3, 3, 64] float32 there, absent here;"
      " params.stem.layer_1 is absent there, [1] float32 here;"
      " params.stem.layer_2 is absent there, [2] float32 here; 5 more",
    ),
    (
      {"kernel": jnp.zeros((3, 3, 3, 64))},
      {"norm": jnp.zeros(64)},
      "batch_stats.norm is absent there, [64] float32 here",
    ),
  ],
)
def test_arrays_that_do_not_fit_are_named(
  stem: Any, stats: Any, message: str, tmp_path: pathlib.Path
) -> None:
  def state(stem: Any, stats: Any) -> TrainState:
    params = {"head": {"bias": jnp.zeros(4)}, "stem": stem}
    return TrainState(jnp.int32(0), params, stats, ())

  held = state({"kernel": jnp.zeros((3, 3, 3, 64))}, {})
  checkpoint.save(tmp_path / "weights", held)
  with pytest.raises(WeightsError) as error:
    checkpoint.restore_backbone(tmp_path / "weights", state(stem, stats))
  assert str(error.value) == (
    f"the weights in {tmp_path / 'weights'} do not fit the network: {message}"
  )


def test_damaged_weights_are_not_loaded(tmp_path: pathlib.Path) -> None:
  state = TrainState(jnp.int32(8), {"head": {}, "w": jnp.ones(999)}, {}, ())
  checkpoint.save(tmp_path / "weights", state)
  largest = max(
    (path for path in tmp_path.rglob("d/*") if path.is_file()),
    key=lambda path: path.stat().st_size,
  )
  content = bytearray(largest.read_bytes())
  content[len(content) // 2] ^= 1
  largest.write_bytes(content)
  for load in (
    lambda f: checkpoint.restore_backbone(f, state),
    lambda f: checkpoint.restore(f, state, replicated(make_mesh(1))),
  ):
    with pytest.raises(WeightsError, match=f"{largest.name} is damaged"):
      load(tmp_path / "weights")


def test_saving_replaces_what_an_earlier_attempt_left(
  tmp_path: pathlib.Path,
) -> None:
  for value in (1, 2):
    state = TrainState(jnp.int32(8), {"w": jnp.full(2, value)}, {}, ())
    checkpoint.save(tmp_path / "weights", state)
  restored = checkpoint.restore(
    tmp_path / "weights", state, replicated(make_mesh(1))
  )
  np.testing.assert_array_equal(restored.params["w"], np.full(2, 2))
