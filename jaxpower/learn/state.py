"""The training state: what updates change, and how its first one is drawn.

The first weights of both wings are drawn here (`jaxpower.torch_wing`), so that
frameworks are compared from the same numbers. Drawing is a program of its own,
run in the setup phase: compiling it does not depend on the batch size, and
would blur the compile joules by which settings differ.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxpower import config
from jaxpower.learn import networks, optimizer
from jaxpower.learn.devices import gathered, make_mesh, of_state, put
from jaxpower.learn.heads import LOG_VARIANCES
from jaxpower.learn.spec import Spec

HEAD = "head"  # the name of the last layer in every network


@flax.struct.dataclass
class TrainState:
  """All that an update reads and writes; nothing but arrays.

  If the backbone is frozen, `opt_state` is that of the head alone.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: Any


def head_of(params: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the head's weights alone, under their name."""
  return {HEAD: params[HEAD]}


def backbone_of(params: Mapping[str, Any]) -> dict[str, Any]:
  """Returns all weights but the head's."""
  return {name: part for name, part in params.items() if name != HEAD}


def fresh_state(spec: Spec, seed: int | np.uint32) -> TrainState:
  """Draws the state before the first update, on the devices of the spec."""
  state = _draw(spec)(np.uint32(seed))
  return put(state, shardings_of_state(spec))


def shapes_of_state(spec: Spec) -> TrainState:
  """Returns the shapes of a state, for compiling."""
  return jax.eval_shape(_draw(spec), np.uint32(0))


def shardings_of_state(spec: Spec) -> Any:
  """Returns how each array of a state lies on the devices of the spec."""
  mesh = make_mesh(spec.devices)
  return of_state(mesh, spec.sharding, shapes_of_state(spec))


@functools.partial(
  jax.jit,
  static_argnames=(
    "model",
    "classes",
    "vocabulary",
    "precision",
    "rule",
    "shape",
    "freeze",
    "uncertain_tasks",
    "decay",
    "muon_matrices",
  ),
)
def init_state(
  seed: jax.Array | np.uint32,
  *,
  model: config.Model,
  classes: int,
  vocabulary: int | None,
  precision: str,
  rule: str,
  shape: tuple[int, ...],
  freeze: bool = False,
  uncertain_tasks: int = 0,
  decay: str = "all",
  muon_matrices: str = "all",
) -> TrainState:
  """Draws weights from a seed, and makes the update rule's state for them.

  Nothing here depends on the batch size, so trials of all sizes share it.

  Args:
    seed: Of the weights.
    model: The network.
    classes: The outputs of its head.
    vocabulary: The number of tokens; None if the inputs are no tokens.
    precision: Of the arithmetic; weights are float32.
    rule: The name of the update rule.
    shape: Of one input.
    freeze: Whether the rule is the head's alone.
    uncertain_tasks: Tasks whose weights are learned; each begins at 1.
    decay: What decays, as a config's optimizer has it.
    muon_matrices: What Muon takes, as a config's optimizer has it.
  """
  network = networks.build(
    model, classes, vocabulary, precision=precision, input_shape=shape
  )
  inputs = jnp.zeros((1, *shape), "float32" if vocabulary is None else "int32")
  variables = network.init(jax.random.key(seed), inputs, train=False)
  params = variables["params"]
  if uncertain_tasks:
    zeros = jnp.zeros(uncertain_tasks, jnp.float32)
    params[HEAD] = {**params[HEAD], LOG_VARIANCES: zeros}
  return TrainState(
    step=jnp.int32(0),
    params=params,
    batch_stats=variables.get("batch_stats", {}),
    opt_state=optimizer.init(
      rule,
      head_of(params) if freeze else params,
      uncertainty=uncertain_tasks > 0,
      decay=decay,
      muon_matrices=muon_matrices,
    ),
  )


def head_seed(trial: config.Trial) -> np.uint32:
  """Returns the seed of the fresh head over a restored backbone.

  Not the trial's own seed: that may have drawn the head under which the
  backbone was trained, which knows the classes before any training. From MNIST
  to digits such a head was right for 50 % at the start, one with a seed of its
  own for 12 %.
  """
  depth = len(tuple(config.sources(trial))) or 1
  (seed,) = np.random.SeedSequence([trial.seed, depth]).generate_state(1)
  return seed


def variables_of(spec: Spec, state: TrainState) -> dict[str, Any]:
  """Returns what a network's `apply` takes of a state, inside a program."""
  mesh = make_mesh(spec.devices)
  return {
    "params": gathered(mesh, spec.sharding, state.params),
    "batch_stats": gathered(mesh, spec.sharding, state.batch_stats),
  }


def copy(state: TrainState) -> TrainState:
  """Copies a state; training writes over the one that it is given."""
  return jax.tree.map(jnp.copy, state)


def count_parameters(state: TrainState) -> int:
  """Counts the network's numbers, those of a frozen backbone too."""
  return sum(leaf.size for leaf in jax.tree.leaves(state.params))


def _draw(spec: Spec) -> Callable[[np.uint32], TrainState]:
  """Returns `init_state` for a spec."""
  return functools.partial(
    init_state,
    model=spec.model,
    classes=spec.classes,
    vocabulary=spec.vocabulary,
    precision=spec.precision,
    rule=spec.optimizer,
    shape=spec.input_shape,
    freeze=spec.freeze,
    uncertain_tasks=len(spec.tasks) if spec.uncertainty else 0,
    decay=spec.decay,
    muon_matrices=spec.muon_matrices,
  )
