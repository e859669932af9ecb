"""What a spec compiles to: the programs that train and that evaluate.

Everything is lowered and compiled here, from shapes alone and before any of it
is called, so that the compile phase holds all compiling and the train phase
none. The updates between two evaluations are one program, a scan over steps:
the host sends the indices of the examples, how each is moved if images are
augmented, and the learning rates, and is not asked again until the next
evaluation. To see what that is worth, `program="step"` makes a call for each
update. A streamed set has a program for the few steps whose examples travel
together, and evaluates its test set part by part.

Training donates its state: XLA writes the new one over it, or two states would
lie on each device. Each of several devices has the whole state and its share
of every batch: shardings say so of what the host sends, and a constraint of
the batches that are gathered on the devices.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxpower.data import read_ahead
from jaxpower.learn import evaluation, features, feed, optimizer
from jaxpower.learn.compiler import options_of
from jaxpower.learn.devices import (
  make_mesh,
  put,
  replicated,
  split,
  taken,
)
from jaxpower.learn.evaluation import Metrics
from jaxpower.learn.features import FeaturePrograms
from jaxpower.learn.optimizer import Hyperparameters
from jaxpower.learn.spec import SCALE, Data, Spec, network_of, shapes_of
from jaxpower.learn.state import (
  TrainState,
  shapes_of_state,
  shardings_of_state,
  variables_of,
)
from jaxpower.learn.step import train_step

DISK_HIT = "/jax/compilation_cache/cache_hits"  # jax/_src/compiler.py


@dataclasses.dataclass(frozen=True)
class Programs:
  """The executables of a spec.

  Attributes:
    train: Makes updates; returns the new state and a loss. For a set on the
      devices it takes what `update_segment` takes and returns the mean loss,
      for a streamed one what `update_chunk` takes and returns each step's.
    evaluate: Returns the metrics of a state on the test set: on `Data` in
      chunks, or on `feed.EvaluationParts` if it is streamed.
    on_features: What computes features and evaluates the head on them; None
      where the head is not trained on kept features.
    workspace_bytes: What training needs on a device beyond what lies there
      before it: XLA plans all memory when it compiles.
    from_disk: How many of them were read from JAX's cache on disk.
  """

  train: Callable[..., tuple[TrainState, Any]]
  evaluate: Callable[[TrainState, Any], Metrics]
  workspace_bytes: int
  on_features: FeaturePrograms | None = None
  from_disk: int = 0


def prepare_compiler(framework: str) -> None:
  """Compiles and runs a tiny program of XLA, which is thrown away."""
  assert framework == "jax"

  def loss(weights: jax.Array) -> jax.Array:
    return jnp.tanh(weights @ weights).sum()

  def body(weights: jax.Array, _: None) -> tuple[jax.Array, None]:
    return weights - jax.grad(loss)(weights), None

  scan = jax.jit(functools.partial(jax.lax.scan, body, length=2))
  jax.block_until_ready(scan(jnp.ones((4, 4))))


def compile_programs(spec: Spec) -> Programs:
  """Compiles all that a spec needs, before any of it is called."""
  on_features, hits = None, _disk_hits()
  before = len(hits)
  with jax.default_matmul_precision(spec.matmul_precision):
    if spec.features_once:
      head = features.spec_of_head(spec)
      train = _compile_resident(head)
      evaluate = _compile_evaluation(spec)
      on_features = features.compile_programs(spec, _compile_evaluation(head))
    elif spec.chunk:
      train = _compile_chunk(spec)
      evaluate = _compile_evaluation_by_parts(spec)
    else:
      train = _compile_resident(spec)
      evaluate = _compile_evaluation(spec)
  called = train if spec.chunk else _dividing(train, spec)
  by_step = spec.program == "step" and not spec.chunk
  return Programs(
    train=functools.partial(_call_by_step, called) if by_step else called,
    evaluate=evaluate,
    workspace_bytes=workspace_bytes(train),
    on_features=on_features,
    from_disk=len(hits) - before,
  )


@functools.cache
def _disk_hits() -> list[str]:
  """Returns a list that grows with each program read from JAX's cache."""
  hits: list[str] = []

  def listen(event: str, **_: Any) -> None:
    if event == DISK_HIT:
      hits.append(event)

  jax.monitoring.register_event_listener(listen)
  return hits


def flops_per_step(spec: Spec) -> float | None:
  """Counts the floating-point operations of one update over all devices.

  As XLA counts them, in one step before optimisation with its batch in one
  piece: in a loop, over steps or micro-batches, it would count the body only
  once. Counted as of a CPU, also where a GPU trains: JAX counts nothing that
  is lowered for a GPU (jax issue 22713), and attention of cuDNN would be no
  operation. None if XLA does not tell, or where JAX has no CPU.
  """
  if spec.features_once:
    spec = features.spec_of_head(spec)
  plain = dataclasses.replace(spec.execution, attention="plain")
  spec = dataclasses.replace(
    spec, accumulation=1, sharding="replicated", execution=plain
  )
  try:
    counting = jax.local_devices(backend="cpu")[0]
  except RuntimeError:  # JAX_PLATFORMS leaves it out
    return None
  step = jax.jit(functools.partial(train_step, spec))
  numbers = optimizer.shapes(tasks=weighted_tasks(spec))
  with jax.default_device(counting):
    lowered = step.lower(shapes_of_state(spec), _batch_shapes(spec), numbers)
    return (lowered.cost_analysis() or {}).get("flops")


def update_step(
  spec: Spec,
  mesh: Mesh,
  state: TrainState,
  data: Data,
  index: jax.Array,
  numbers: Hyperparameters,
  draws: jax.Array | None = None,
) -> tuple[TrainState, jax.Array]:
  """Makes one update on examples gathered from a set on the devices.

  As `update_segment`, for one step: `index` is int32 [batch], `draws` int8
  [batch, 3]. Returns the new state and the batch's mean loss.
  """
  picked = {
    name: taken(mesh, data[name], index)
    if spec.data_divided
    else data[name][index]
    for name in ("input", "label")
  }
  if draws is not None:
    picked["draws"] = draws
  batch = data | {
    name: jax.lax.with_sharding_constraint(values, split(mesh))
    for name, values in picked.items()
  }
  return train_step(spec, state, batch, numbers)


def update_segment(
  spec: Spec,
  mesh: Mesh,
  state: TrainState,
  data: Data,
  indices: jax.Array,
  numbers: Hyperparameters,
  draws: jax.Array | None = None,
) -> tuple[TrainState, jax.Array]:
  """Makes the updates up to the next evaluation.

  Args:
    spec: What the program depends on.
    mesh: The devices that a batch is divided over.
    state: Before; it is donated.
    data: The training set, whole on every device or divided over them.
    indices: int32 [steps, batch], the examples of each update.
    numbers: `learning_rate` is float32 [steps], the others scalars.
    draws: int8 [steps, batch, 3], how each example is moved; None if images
      are not augmented.

  Returns:
    The state after, and the mean loss over the segment's steps.
  """

  def body(state: TrainState, step: Any) -> tuple[TrainState, jax.Array]:
    index, rate, step_draws = step
    step_numbers = numbers._replace(learning_rate=rate)
    return update_step(spec, mesh, state, data, index, step_numbers, step_draws)

  steps = (indices, numbers.learning_rate, draws)
  state, losses = jax.lax.scan(body, state, steps, unroll=spec.execution.unroll)
  return state, losses.mean()


def update_chunk(
  spec: Spec, state: TrainState, chunk: Data, numbers: Hyperparameters
) -> tuple[TrainState, jax.Array]:
  """Makes the updates of a few steps whose examples have been streamed.

  Args:
    spec: What the program depends on.
    state: Before; it is donated.
    chunk: The examples, [steps, batch, ...], as `feed.TrainChunks` has them.
    numbers: `learning_rate` is float32 [steps], the others scalars.

  Returns:
    The state after, and the loss of each step, [steps].
  """
  examples = {n: values for n, values in chunk.items() if n not in SCALE}

  def body(state: TrainState, step: Any) -> tuple[TrainState, jax.Array]:
    batch, rate = step
    step_numbers = numbers._replace(learning_rate=rate)
    return train_step(spec, state, chunk | batch, step_numbers)

  steps = (examples, numbers.learning_rate)
  return jax.lax.scan(body, state, steps, unroll=spec.execution.unroll)


def weighted_tasks(spec: Spec) -> int:
  """Counts the tasks whose weights are data: not one alone, nor learned."""
  return 0 if spec.uncertainty or len(spec.tasks) == 1 else len(spec.tasks)


def workspace_bytes(program: jax.stages.Compiled) -> int:
  """Returns what a program needs on a device beyond its arguments."""
  needs: Any = program.memory_analysis()
  # What is donated is written over and needs no place of its own.
  results = needs.output_size_in_bytes - needs.alias_size_in_bytes
  return needs.temp_size_in_bytes + max(0, results)


def _compile_resident(spec: Spec) -> jax.stages.Compiled:
  """Compiles training on a set on the devices: of a segment, or of a step."""
  mesh, state = make_mesh(spec.devices), shardings_of_state(spec)
  whole = replicated(mesh)
  by_segment = spec.program == "segment"
  lead = (spec.steps,) if by_segment else ()
  divided = split(mesh, axis=len(lead))
  draws = (
    (jax.ShapeDtypeStruct((*lead, spec.batch_size, 3), jnp.int8),)
    if spec.augmentation != "none"
    else ()
  )
  update = update_segment if by_segment else update_step
  return (
    jax.jit(
      functools.partial(update, spec, mesh),
      donate_argnums=0,
      in_shardings=(
        state,
        shardings_of_train(spec),
        # From a divided set every device looks up all examples of a batch.
        whole if spec.data_divided else divided,
        whole,
        *[divided] * len(draws),
      ),
      out_shardings=(state, whole),
    )
    .lower(
      shapes_of_state(spec),
      shapes_of(spec, "train"),
      jax.ShapeDtypeStruct((*lead, spec.batch_size), jnp.int32),
      optimizer.shapes(*lead, tasks=weighted_tasks(spec)),
      *draws,
    )
    .compile(options_of(spec))
  )


def _dividing(program: jax.stages.Compiled, spec: Spec) -> Callable[..., Any]:
  """Returns a program that takes the indices and draws of a whole batch.

  A program over several processes wants each of them to bring its own part.
  """
  if jax.process_count() == 1:
    return program
  axis = 1 if spec.program == "segment" else 0
  mesh = make_mesh(spec.devices)
  divided = split(mesh, axis)
  picked = replicated(mesh) if spec.data_divided else divided

  def call(
    state: TrainState,
    data: Data,
    indices: np.ndarray,
    numbers: Hyperparameters,
    *draws: np.ndarray,
  ) -> Any:
    moved = [put(draw, divided) for draw in draws]
    return program(state, data, put(indices, picked), numbers, *moved)

  return call


def shardings_of_train(spec: Spec) -> dict[str, Any]:
  """Returns how the arrays of a training set lie on the devices."""
  mesh = make_mesh(spec.devices)
  return {
    name: split(mesh)
    if spec.data_divided and name not in SCALE
    else replicated(mesh)
    for name in shapes_of(spec, "train")
  }


def _compile_chunk(spec: Spec) -> jax.stages.Compiled:
  """Compiles training on the examples that are streamed together."""
  mesh, state = make_mesh(spec.devices), shardings_of_state(spec)
  whole, chunk = replicated(mesh), _batch_shapes(spec, spec.chunk)
  return (
    jax.jit(
      functools.partial(update_chunk, spec),
      donate_argnums=0,
      in_shardings=(state, feed.shardings(mesh, chunk), whole),
      out_shardings=(state, whole),
    )
    .lower(
      shapes_of_state(spec),
      chunk,
      optimizer.shapes(spec.chunk, tasks=weighted_tasks(spec)),
    )
    .compile(options_of(spec))
  )


def _batch_shapes(spec: Spec, *lead: int) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes of training examples, [*lead, batch, ...], and scale."""
  whole = shapes_of(spec, "train")
  batch = {
    name: jax.ShapeDtypeStruct(
      (*lead, spec.batch_size, *whole[name].shape[1:]), whole[name].dtype
    )
    for name in ("input", "label")
  }
  if spec.augmentation != "none":
    shape = (*lead, spec.batch_size, 3)
    batch["draws"] = jax.ShapeDtypeStruct(shape, jnp.int8)
  return whole | batch


def _call_by_step(
  step: Callable[..., tuple[TrainState, jax.Array]],
  state: TrainState,
  data: Data,
  indices: np.ndarray,
  numbers: Hyperparameters,
  *draws: np.ndarray,
) -> tuple[TrainState, np.floating]:
  """Makes the updates of a segment by a call of `update_step` for each."""
  losses = []
  steps = zip(indices, numbers.learning_rate, *draws, strict=True)
  for index, rate, *step_draws in steps:
    step_numbers = numbers._replace(learning_rate=rate)
    state, loss = step(state, data, index, step_numbers, *step_draws)
    losses.append(loss)
  return state, np.mean(jax.device_get(losses))


def _compile_evaluation(spec: Spec) -> Callable[[TrainState, Data], Metrics]:
  """Compiles evaluation on a whole test set on the devices, as one program."""
  mesh, test = make_mesh(spec.devices), shapes_of(spec, "test")
  whole, network = replicated(mesh), network_of(spec)
  dtype = jnp.dtype(spec.precision)

  def evaluate(state: TrainState, test: Data) -> Metrics:
    variables = variables_of(spec, state)
    return evaluation.evaluate(network, dtype, variables, test, spec.tasks)

  return (
    jax.jit(
      evaluate,
      in_shardings=(shardings_of_state(spec), feed.shardings(mesh, test)),
      out_shardings=whole,
    )
    .lower(shapes_of_state(spec), test)
    .compile(options_of(spec))
  )


def _compile_evaluation_by_parts(
  spec: Spec,
) -> Callable[[TrainState, feed.EvaluationParts], Metrics]:
  """Compiles evaluation on a streamed test set, one part after another."""
  mesh, part = make_mesh(spec.devices), shapes_of(spec, "test")
  whole, network = replicated(mesh), network_of(spec)
  dtype = jnp.dtype(spec.precision)

  def add(state: TrainState, part: Data, sums: Any) -> Any:
    variables = variables_of(spec, state)
    return evaluation.sum_up(network, dtype, variables, part, sums, spec.tasks)

  zeros = evaluation.zeros(spec.tasks)
  return functools.partial(
    _evaluate_by_parts,
    jax.jit(
      add,
      in_shardings=(
        shardings_of_state(spec),
        feed.shardings(mesh, part),
        whole,
      ),
      out_shardings=whole,
    )
    .lower(shapes_of_state(spec), part, zeros)
    .compile(options_of(spec)),
    put(zeros, whole),
    jax.jit(evaluation.means, in_shardings=whole, out_shardings=whole)
    .lower(zeros)
    .compile(options_of(spec)),
  )


def _evaluate_by_parts(
  add: Callable[..., Any],
  zeros: Any,
  means: Callable[[Any], Metrics],
  state: TrainState,
  parts: feed.EvaluationParts,
) -> Metrics:
  """Adds the sums of each part of a test set; returns their means."""
  sums = zeros
  with read_ahead(parts, ahead=feed.AHEAD) as stream:
    for part in stream:
      sums = add(state, part, sums)
      jax.block_until_ready(sums)
  return means(sums)
