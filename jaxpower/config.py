"""What is asked: Sweep, Trial and their parts, as plain data.

Every field an experiment may vary is a field of `Conditions`, so a regime or a
paradigm needs no code of its own. This room knows nothing of the project and
imports no framework: a wrong word is answered before anything heavy loads.
"""

import copy
import dataclasses
import difflib
import hashlib
import json
import types
from collections.abc import Iterable, Iterator
from typing import Any

FRAMEWORKS = ("jax", "torch", "torch_compile")
PRECISIONS = ("float32", "bfloat16")
MATMUL_PRECISIONS = ("default", "high", "highest")
SCHEDULES = ("constant", "cosine", "one_cycle", "step", "warm_up")
SCALINGS = ("none", "linear", "sqrt")
AUGMENTATIONS = ("none", "crop", "crop_flip")
PROGRAMS = ("segment", "step")
TASK_WEIGHTINGS = ("fixed", "uncertainty")
STREAMING = ("auto", "never", "always")


@dataclasses.dataclass(frozen=True)
class UpdateRule:
  """An update rule that a config may name; `optimizer.py` of a wing builds it.

  Attributes:
    decoupled: Whether weights decay apart from the gradient; else the decay is
      added to it.
    momentum: Whether the rule reads `optimizer.momentum`.
    frameworks: Those whose wing builds it.
  """

  decoupled: bool = False
  momentum: bool = False
  frameworks: tuple[str, ...] = FRAMEWORKS


OPTIMIZERS = {
  "adam": UpdateRule(),
  "adamw": UpdateRule(decoupled=True),
  "lamb": UpdateRule(decoupled=True),
  "lion": UpdateRule(decoupled=True),
  "momentum": UpdateRule(momentum=True),
  "muon": UpdateRule(decoupled=True),
  "nesterov": UpdateRule(momentum=True),
  "sgd": UpdateRule(),
}


class ConfigError(Exception):
  """The config cannot be run: one line says what, where and how to mend."""


@dataclasses.dataclass(kw_only=True, unsafe_hash=True)
class Model:
  """A network. `width` multiplies its channels, `depth` its layers.

  At 1.0 the ResNets are of the published size. `heads` are those of attention,
  where a network has any; the channels are a multiple of them. Hashable, since
  executables are shared by the model they were made for.
  """

  name: str = "cnn"
  width: float = 1.0
  depth: float = 1.0
  heads: int = 4


@dataclasses.dataclass(kw_only=True)
class Optimizer:
  """An update rule, its rate and the rate's course.

  With a `scaling` the rate is meant for `reference_batch_size` and grows with
  the batch or its square root. `schedule_examples` is how long a schedule
  takes; 0: the budget.
  """

  name: str = "adam"
  learning_rate: float = 1e-3
  momentum: float = 0.9  # of "momentum" and "nesterov"
  weight_decay: float = 0.0
  schedule: str = "constant"
  schedule_examples: int = 0
  warmup_examples: int = 0
  scaling: str = "none"
  reference_batch_size: int = 128


@dataclasses.dataclass(kw_only=True)
class Transfer:
  """Where the backbone comes from; the head is always fresh.

  From `init_from`, a trial that is trained first, at the same seed and once
  for all that name it; or from `weights`, the folder of a checkpoint made
  elsewhere; or neither. `backbone_rate` is its learning rate as a multiple of
  the head's.
  """

  init_from: "Trial | None" = None
  weights: str = ""
  freeze: bool = False  # leave the backbone as it came, its statistics too
  backbone_rate: float = 1.0


@dataclasses.dataclass(kw_only=True)
class Conditions:
  """All that one training is done under, but for its seed.

  `evaluate_every_examples` is counted in examples, not steps, so that every
  batch size is looked at equally often; a multiple of every batch size.

  Where `accumulation` is left open, `jaxpower.accumulation` says what it is.

  `tasks` are labels of the data; where `data` is "a+b", sets mixed in every
  batch, they are "a" and "b". One network learns them all, with a head each.
  `targets` and `task_weights` are keyed by task; a task without an own target
  has `target_accuracy`, one without a weight has 1.
  """

  data: str = "fashion_mnist_6k"
  tasks: tuple[str, ...] = ("label",)
  model: Model = dataclasses.field(default_factory=Model)
  optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
  batch_size: int = 128  # global: examples per update over all devices
  accumulation: int = 0  # micro-batches an update is gathered from; 0: open
  precision: str = "float32"  # of the arithmetic; weights stay float32
  matmul_precision: str = "default"  # of float32 products; GPUs: TF32
  dropout: float = 0.0
  label_smoothing: float = 0.0
  augmentation: str = "none"
  data_share: float = 1.0  # of the training set, its classes in proportion
  program: str = "segment"  # between two evaluations one call, or "step"
  task_weights: dict[str, float] = dataclasses.field(default_factory=dict)
  task_weighting: str = "fixed"  # or learned with the weights: "uncertainty"
  streaming: str = "auto"  # from host or disk: where the set is too large
  target_accuracy: float = 0.8
  targets: dict[str, float] = dataclasses.field(default_factory=dict)
  budget_examples: int = 60_000
  evaluate_every_examples: int = 2_048
  stop_at_target: bool = True  # False: train on to budget or patience
  patience: int = 0  # evaluations in a row without a better accuracy; 0: any
  idle_seconds: float = 2.0  # context open, nothing queued, before training
  devices: int = 0  # how many local devices to shard over; 0: all of them
  transfer: Transfer = dataclasses.field(default_factory=Transfer)
  framework: str = "jax"


@dataclasses.dataclass(kw_only=True)
class Trial(Conditions):
  """One training, at one config and one seed, to target or budget."""

  seed: int = 0


@dataclasses.dataclass(kw_only=True)
class Sweep(Conditions):
  """The trials of one config file: shared conditions and what varies.

  `vary` maps a field of the conditions, dotted where it lies deeper
  (`optimizer.learning_rate`), to its values; all combinations are run, each
  with seeds 0 to `seeds` - 1, in an order drawn from `order_seed`.
  """

  name: str = "sweep"
  vary: dict[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
  seeds: int = 3
  order_seed: int = 0


def to_dict(config: Any) -> dict[str, Any]:
  """A config, or a part of one, as nested dicts, ready for JSON."""
  return json.loads(json.dumps(dataclasses.asdict(config)))


def trial_id(trial: Trial) -> str:
  """Twelve hex digits that name this trial: a hash of its whole config."""
  text = json.dumps(to_dict(trial), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def with_seed(trial: Trial, seed: int) -> Trial:
  """A copy of the trial at a seed, and of all that it begins from too."""
  copied = copy.deepcopy(trial)
  for each in (copied, *sources(copied)):
    each.seed = seed
  return copied


def sources(trial: Trial) -> Iterator[Trial]:
  """The trial whose backbone this one begins from, then that one's, ..."""
  source = trial.transfer.init_from
  while source is not None:
    yield source
    source = source.transfer.init_from


def targets_of(conditions: Conditions) -> dict[str, float]:
  """The accuracy each task is to reach, in the order of the tasks."""
  return {
    task: conditions.targets.get(task, conditions.target_accuracy)
    for task in conditions.tasks
  }


def get(config: Any, path: str) -> Any:
  """The value at a dotted path of a config."""
  for name in path.split("."):
    config = getattr(config, name)
  return config


def differences(
  old: dict[str, Any], new: dict[str, Any], prefix: str = ""
) -> list[str]:
  """Where two configs differ, one `field: old -> new` each."""
  lines = []
  for key in sorted(old.keys() | new.keys()):
    a, b = old.get(key, "absent"), new.get(key, "absent")
    if isinstance(a, dict) and isinstance(b, dict):
      lines += differences(a, b, f"{prefix}{key}.")
    elif a != b:
      lines.append(f"{prefix}{key}: {a} -> {b}")
  return lines


def arguments(text: str, **defaults: Any) -> Any:
  """Reads the `name=value,...` behind a config file's colon.

  Types follow the defaults; a bare word sets a true-or-false argument.
  Returns a namespace with one attribute per default. Raises ConfigError on a
  word that no default names or a value of another type.
  """
  values = dict(defaults)
  for part in filter(None, text.split(",")):
    name, equals, value = part.partition("=")
    if name not in defaults:
      raise ConfigError(unknown("config argument", name, defaults))
    kind = type(defaults[name])
    if not equals and kind is not bool:
      raise ConfigError(f"config argument {name}: write {name}=VALUE")
    try:
      values[name] = _read(value or "true", kind)
    except ValueError:
      raise ConfigError(
        f"config argument {name}={value}: not {article(kind.__name__)}"
      ) from None
  return types.SimpleNamespace(**values)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
  """One line on a name nobody knows, with the nearest one that exists."""
  names = sorted(known)
  near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
  hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
  return f"unknown {what} '{name}'; {hint}"


def field_paths(config: Any, prefix: str = "") -> Iterator[str]:
  """Every field of a config as a dotted path, keys of `vary` included."""
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    yield prefix + field.name
    if dataclasses.is_dataclass(value):
      yield from field_paths(value, f"{prefix}{field.name}.")
    elif isinstance(value, dict):
      yield from (f"{prefix}{field.name}.{key}" for key in value)


def _read(text: str, kind: type) -> Any:
  if kind is not bool:
    return kind(text)
  if text not in ("true", "false"):
    raise ValueError(text)
  return text == "true"


def article(noun: str) -> str:
  """The noun with its indefinite article."""
  return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
