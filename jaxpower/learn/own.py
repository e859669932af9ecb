"""Builds a network of the user's, a Flax module in a file: `nets.py:WideNet`.

It is built with `classes`, `dtype` and the options of the config, and with
`input_shape` and `vocabulary` where it takes them. A Linen module is used as it
is. An NNX module holds its arrays itself, so it is put together anew, from the
arrays of the training state, whenever it is traced; nothing of it is left in
what is compiled. (`flax.nnx.bridge.ToLinen` would do that too, but keep the
random state of dropout among the weights, and so in checkpoints.)

`check` builds and traces it on shapes alone, before anything is trained or
written, and says in one line what the trainer could not use.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

from jaxpower import user_code
from jaxpower.config import ConfigError, Model, Trial
from jaxpower.data import Facts
from jaxpower.user_code import EXAMPLES, HEAD, UserCodeError, place_of

KEPT = ("params", "batch_stats")  # what a training state holds of a network


def build(
  model: Model,
  classes: int,
  vocabulary: int | None,
  dtype: jnp.dtype,
  input_shape: Sequence[int],
) -> Any:
  """Builds the network; it has `init` and `apply` as Linen's modules have.

  Raises UserCodeError where the file, the class or an option is wrong.
  """
  found: Any = _found(model)
  linen = _is_a(found, nn.Module)
  if not linen and not _is_a(found, nnx.Module):
    raise UserCodeError(
      f"{model.name} is {_described(found)}; JAX needs a Flax module, of"
      " flax.linen or flax.nnx"
    )
  shape = tuple(input_shape)
  given = user_code.arguments(
    model.name,
    found,
    {"classes": classes, "dtype": dtype} | ({} if linen else {"rngs": None}),
    {"input_shape": shape, "vocabulary": vocabulary},
    model.options,
  )
  _require_train(model.name, found, linen)
  if linen:
    return LinenNetwork(found(**given))
  del given["rngs"]
  return NnxNetwork(functools.partial(found, **given), _takes(found, "train"))


def has(model: Model) -> bool:
  """Whether the file has a Flax module of the model's name."""
  found = _found(model)
  return _is_a(found, nn.Module) or _is_a(found, nnx.Module)


def _found(model: Model) -> Any:
  place = place_of(model.name)
  assert place is not None
  return user_code.load(model.name, model.fingerprint).get(place.name)


def _is_a(found: Any, kind: type) -> bool:
  return inspect.isclass(found) and issubclass(found, kind)


def _as_users_write(method: Callable[..., Any]) -> Callable[..., Any]:
  """Lets numbers of unlike types meet in a user's code, as JAX does by itself.

  Here they may not: in the package's own code that would be a mistake.
  """

  @functools.wraps(method)
  def wrapped(*args: Any, **named: Any) -> Any:
    with jax.numpy_dtype_promotion("standard"):
      return method(*args, **named)

  return wrapped


@dataclasses.dataclass(frozen=True)
class LinenNetwork:
  """A Linen module, as its user would call it."""

  module: nn.Module

  @_as_users_write
  def init(
    self, key: jax.Array, inputs: jax.Array, **options: Any
  ) -> dict[str, Any]:
    """Draws the weights."""
    return dict(self.module.init(key, inputs, **options))

  @_as_users_write
  def apply(self, variables: Any, inputs: jax.Array, **options: Any) -> Any:
    """Calls it; returns the outputs, and batch statistics if `mutable`."""
    return self.module.apply(variables, inputs, **options)


@dataclasses.dataclass(frozen=True)
class NnxNetwork:
  """An NNX module, called as Linen's are: on variables that are given.

  Attributes:
    make: Makes it from its `rngs`.
    takes_train: Whether its call takes `train`; its layers are told anyhow.
  """

  make: Callable[..., nnx.Module]
  takes_train: bool

  @_as_users_write
  def init(
    self, key: jax.Array, inputs: jax.Array, *, train: bool
  ) -> dict[str, Any]:
    """Draws the weights."""
    del inputs, train
    module = self.make(rngs=nnx.Rngs(key))
    _, params, stats, _ = _parts(module)
    return {
      name: _named(nnx.to_pure_dict(state))
      for name, state in zip(KEPT, (params, stats), strict=True)
      if state
    }

  @_as_users_write
  def apply(
    self,
    variables: Mapping[str, Any],
    inputs: jax.Array,
    *,
    train: bool,
    mutable: Sequence[str] = (),
    rngs: Mapping[str, jax.Array] | None = None,
    logits: bool = True,
    **options: Any,
  ) -> Any:
    """Calls it; returns the outputs, and batch statistics if `mutable`."""
    shapes = nnx.eval_shape(lambda: self.make(rngs=nnx.Rngs(0)))
    graph, params, stats, randoms = _parts(shapes)
    nnx.replace_by_pure_dict(params, dict(variables["params"]))
    if stats:
      nnx.replace_by_pure_dict(stats, dict(variables["batch_stats"]))
    key = (rngs or {}).get("dropout", jax.random.key(0))
    module: Any = nnx.merge(graph, params, stats, _drawn(randoms, key))
    module.train() if train else module.eval()
    if self.takes_train:
      options["train"] = train
    call = module if logits else module.features
    outputs = call(inputs, **options)
    if not mutable:
      return outputs
    found = nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))
    return outputs, {"batch_stats": _named(found)}


def _parts(module: nnx.Module) -> tuple[Any, Any, Any, Any]:
  """Splits a module: its graph, its weights, statistics and random state.

  Raises UserCodeError where it has variables of another kind.
  """
  graph, params, stats, randoms, rest = nnx.split(
    module, nnx.Param, nnx.BatchStat, nnx.RngState, ...
  )
  if rest:
    names = ", ".join(
      ".".join(map(str, path)) for path, _ in nnx.to_flat_state(rest)
    )
    raise UserCodeError(
      f"{type(module).__name__} has variables that are neither nnx.Param nor"
      f" nnx.BatchStat ({names}); the trainer keeps these two"
    )
  return graph, params, stats, randoms


def _drawn(randoms: Any, key: jax.Array) -> Any:
  """Gives every random stream of a module a key of its own, from one key."""
  leaves, tree = jax.tree.flatten(randoms)
  drawn = [
    jax.random.fold_in(key, number)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    else jnp.zeros(leaf.shape, leaf.dtype)
    for number, leaf in enumerate(leaves)
  ]
  return jax.tree.unflatten(tree, drawn)


def _named(tree: Any) -> Any:
  """Makes words of the numbers that name what lies in a list."""
  if not isinstance(tree, Mapping):
    return tree
  return {str(name): _named(part) for name, part in tree.items()}


# What the trainer asks of a network


def check(trial: Trial, facts: Facts, classes: int, text: bool) -> None:
  """Raises ConfigError unless the trainer can use a trial's own network.

  Args:
    trial: What would be trained.
    facts: Of its data set.
    classes: The outputs of the head, those of all tasks.
    text: Whether the labels are the next tokens, at every place.
  """
  try:
    _check(trial, facts, classes, text)
  except UserCodeError as error:
    raise ConfigError(str(error), field="model.name") from None


def _check(trial: Trial, facts: Facts, classes: int, text: bool) -> None:
  name, dtype = trial.model.name, jnp.dtype(trial.precision)
  network = user_code.called(
    name,
    lambda: build(
      trial.model, classes, facts.vocabulary, dtype, facts.input_shape
    ),
  )
  if trial.dropout and not _takes(_found(trial.model), "dropout"):
    raise UserCodeError(
      f"{name}: its __call__ takes no `dropout`; take it, or leave dropout at 0"
    )
  kind = "float32" if facts.vocabulary is None else "int32"
  inputs = jnp.zeros((EXAMPLES, *facts.input_shape), kind)
  draw = lambda: network.init(jax.random.key(0), inputs, train=False)
  variables = user_code.called(name, lambda: jax.eval_shape(draw))
  _check_variables(name, variables)

  def train(variables: Any) -> Any:
    outputs, _ = network.apply(
      variables,
      inputs if kind == "int32" else inputs.astype(dtype),
      train=True,
      mutable=["batch_stats"],
      rngs={"dropout": jax.random.key(0)},
      **({"dropout": jnp.float32(trial.dropout)} if trial.dropout else {}),
    )
    if trial.transfer.features == "once":
      network.apply(variables, inputs, train=False, logits=False)
    return outputs

  outputs = user_code.called(name, lambda: jax.eval_shape(train, variables))
  places = facts.input_shape if text else ()
  expected = (EXAMPLES, *places, classes)
  found = getattr(outputs, "shape", type(outputs).__name__)
  if found != expected:
    raise UserCodeError(
      f"{name} maps inputs {inputs.shape} to {found}, not to logits {expected}"
    )


def _check_variables(name: str, variables: Mapping[str, Any]) -> None:
  """Raises UserCodeError unless the trainer can keep what a network has."""
  if others := sorted(variables.keys() - set(KEPT)):
    raise UserCodeError(
      f"{name} has variables in {', '.join(others)}; the trainer keeps params"
      " and batch_stats"
    )
  params = variables.get("params", {})
  if HEAD not in params or "kernel" not in params[HEAD]:
    raise UserCodeError(
      f"{name} has no dense layer named 'head'; its layers are"
      f" {', '.join(params) or 'none'}; give the last one that name"
    )
  wrong = [
    f"{'.'.join(str(key.key) for key in path)} is {leaf.dtype}"
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    if leaf.dtype != jnp.float32
  ]
  if wrong:
    raise UserCodeError(
      f"{name}: weights are float32, whatever dtype the arithmetic has;"
      f" {wrong[0]}"
    )


def _require_train(name: str, found: Any, linen: bool) -> None:
  if linen and not _takes(found, "train"):
    raise UserCodeError(
      f"{name}: its __call__ takes no `train`; write"
      " __call__(self, inputs, *, train)"
    )


def _takes(found: Any, name: str) -> bool:
  """Whether the call of a class takes an argument of a name."""
  parameters = inspect.signature(found.__call__).parameters.values()
  return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)


def _described(found: Any) -> str:
  if inspect.isclass(found):
    bases = ", ".join(f"{b.__module__}.{b.__name__}" for b in found.__bases__)
    return f"a class of {bases}"
  return f"a {type(found).__name__}" if found is not None else "not there"
