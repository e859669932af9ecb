"""Checkpoints through Orbax, sealed with checksums.

Orbax notices a folder that was written in part, but not a flipped bit, so a
folder is sealed when it is whole (`jaxpower.weights`) and the seal is checked
before every restore.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import LatestN

from jaxpower import weights
from jaxpower.learn.state import TrainState, backbone_of
from jaxpower.weights import Form


def save(
  folder: pathlib.Path,
  state: TrainState,
  texts: Mapping[str, str] = weights.NO_TEXTS,
) -> None:
  """Writes a state to a folder of its own and waits for the disk.

  Files `texts`, by name, lie beside it. What lies there is removed: it is of an
  attempt that ended before its record. Each process of a trial writes what it
  alone holds; the first one all that is whole on every device.
  Orbax's writer works in the background; without the wait its energy would
  fall into whatever is measured next.
  """
  if jax.process_index() == 0:
    shutil.rmtree(folder, ignore_errors=True)
  _meet("removed")  # before any process writes
  options = ocp.CheckpointManagerOptions(preservation_policy=LatestN(1))
  with ocp.CheckpointManager(folder.resolve(), options=options) as manager:
    manager.save(int(state.step), args=ocp.args.StandardSave(state), force=True)
    manager.wait_until_finished()
  _meet("written")
  if jax.process_index() == 0:
    weights.seal(folder, texts)


def restore(
  folder: pathlib.Path, like: TrainState, shardings: Any
) -> TrainState:
  """Reads the newest state in a folder, straight to the devices.

  Args:
    folder: Where `save` wrote.
    like: Arrays or shapes of the state to expect.
    shardings: Of each array, or one for all.

  Raises WeightsError if the folder is not as it was written.
  """
  weights.require_whole(folder)
  abstract: Any = jax.tree.map(
    lambda x, lies: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=lies),
    like,
    jax.tree.broadcast(shardings, like),
  )
  with ocp.CheckpointManager(folder.resolve()) as manager:
    return manager.restore(
      manager.latest_step(), args=ocp.args.StandardRestore(abstract)
    )


def restore_backbone(folder: pathlib.Path, state: TrainState) -> TrainState:
  """Reads a folder's backbone, batch statistics too, into a state.

  The head and all else stay as they are; the head in the folder may have any
  shape and is not read. Arrays lie on the devices as those they replace.

  Raises WeightsError if the folder is not as it was written, or if its arrays
  are not those of the backbone; the first few that differ are named.
  """
  weights.require_whole(folder)
  replaced = {"params": backbone_of(state.params)}
  if state.batch_stats:
    replaced["batch_stats"] = state.batch_stats
  with ocp.CheckpointManager(
    folder.resolve(), item_handlers=ocp.PyTreeCheckpointHandler()
  ) as manager:
    step = manager.latest_step()
    stored = dict(manager.item_metadata(step).tree)
    stored["params"] = backbone_of(stored["params"])
    weights.require_fit(folder, _forms(stored), _forms(replaced))
    abstract = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
      replaced,
    )
    restored = manager.restore(
      step,
      args=ocp.args.PyTreeRestore(
        item=abstract,
        restore_args=ocp.checkpoint_utils.construct_restore_args(abstract),
        partial_restore=True,
      ),
    )
  return dataclasses.replace(
    state,
    params=state.params | restored["params"],
    batch_stats=restored.get("batch_stats", state.batch_stats),
  )


def _meet(point: str) -> None:
  """Waits until all processes of the trial are at this point."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(point)


def _forms(tree: Mapping[str, Any]) -> dict[str, Form]:
  """Returns the shape and type of each array, by its dotted name."""
  collections = {
    name: tree.get(name) or {} for name in ("params", "batch_stats")
  }
  leaves = jax.tree_util.tree_leaves_with_path(collections)
  return {
    ".".join(key.key for key in path): (tuple(leaf.shape), str(leaf.dtype))
    for path, leaf in leaves
  }
