import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxpower.learn import checkpoint
from jaxpower.learn.state import TrainState, make_mesh, replicated


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
  found = checkpoint.restore(tmp_path / "weights", shapes, everywhere)
  jax.tree.map(np.testing.assert_array_equal, found, state)
  assert found.params["head"]["kernel"].sharding == everywhere


def test_saving_replaces_what_an_earlier_attempt_left(
  tmp_path: pathlib.Path,
) -> None:
  for value in (1, 2):
    state = TrainState(jnp.int32(8), {"w": jnp.full(2, value)}, {}, ())
    checkpoint.save(tmp_path / "weights", state)
  found = checkpoint.restore(
    tmp_path / "weights", state, replicated(make_mesh(1))
  )
  np.testing.assert_array_equal(found.params["w"], np.full(2, 2))
