"""Weights on disk, through Orbax, sealed with checksums."""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import LatestN

from jaxpower import weights
from jaxpower.learn.state import TrainState, backbone_of
from jaxpower.weights import Form


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
  weights.seal(folder)


def restore(
  folder: pathlib.Path, like: TrainState, sharding: jax.sharding.Sharding
) -> TrainState:
  """The newest state in a folder, laid on the devices as asked.

  Args:
    folder: Where `save` wrote.
    like: Arrays or shapes of the state to expect.
    sharding: Of every array.

  Raises WeightsError where the folder is not as it was written.
  """
  weights.require_whole(folder)
  abstract: Any = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like
  )
  with ocp.CheckpointManager(folder.resolve()) as manager:
    return manager.restore(
      manager.latest_step(), args=ocp.args.StandardRestore(abstract)
    )


def restore_backbone(folder: pathlib.Path, state: TrainState) -> TrainState:
  """The state with its backbone, batch statistics too, read from a folder.

  The head and all else stay as they are; the head in the folder may have any
  form. What is read lies on the devices as what it replaces.

  Raises WeightsError where the folder is not as it was written, or its arrays
  are not those of the backbone; the first few that differ are named.
  """
  weights.require_whole(folder)
  wanted = {"params": backbone_of(state.params)}
  if state.batch_stats:
    wanted["batch_stats"] = state.batch_stats
  with ocp.CheckpointManager(
    folder.resolve(), item_handlers=ocp.PyTreeCheckpointHandler()
  ) as manager:
    step = manager.latest_step()
    held = dict(manager.item_metadata(step).tree)
    held["params"] = backbone_of(held["params"])
    weights.require_fit(folder, _forms(held), _forms(wanted))
    abstract = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
      wanted,
    )
    found = manager.restore(
      step,
      args=ocp.args.PyTreeRestore(
        item=abstract,
        restore_args=ocp.checkpoint_utils.construct_restore_args(abstract),
        partial_restore=True,
      ),
    )
  return dataclasses.replace(
    state,
    params=state.params | found["params"],
    batch_stats=found.get("batch_stats", state.batch_stats),
  )


def _forms(tree: Mapping[str, Any]) -> dict[str, Form]:
  """The shape and type of each array of a backbone, by its dotted name."""
  parts = {name: tree.get(name) or {} for name in ("params", "batch_stats")}
  leaves = jax.tree_util.tree_leaves_with_path(parts)
  return {
    ".".join(part.key for part in path): (tuple(leaf.shape), str(leaf.dtype))
    for path, leaf in leaves
  }
