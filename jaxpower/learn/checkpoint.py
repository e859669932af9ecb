"""Weights on disk, through Orbax."""

import pathlib
import shutil
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import LatestN

from jaxpower.learn.state import TrainState


def save(folder: pathlib.Path, state: TrainState) -> None:
  """Writes the state, in place of any other, and waits for the disk.

  What lies there is of an attempt that did not come to its record. Orbax's
  writer works in the background; without the wait its energy would fall
  into whatever is measured next.
  """
  shutil.rmtree(folder, ignore_errors=True)
  options = ocp.CheckpointManagerOptions(preservation_policy=LatestN(1))
  with ocp.CheckpointManager(folder.resolve(), options=options) as manager:
    manager.save(int(state.step), args=ocp.args.StandardSave(state), force=True)
    manager.wait_until_finished()


def restore(
  folder: pathlib.Path, like: TrainState, sharding: jax.sharding.Sharding
) -> TrainState:
  """The newest state in a folder, laid on the devices as asked.

  Args:
    folder: Where `save` wrote.
    like: Arrays or shapes of the state to expect.
    sharding: Of every array.
  """
  abstract: Any = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like
  )
  with ocp.CheckpointManager(folder.resolve()) as manager:
    return manager.restore(
      manager.latest_step(), args=ocp.args.StandardRestore(abstract)
    )
