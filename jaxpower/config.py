"""Defines the config of an experiment: Sweep, Trial and their parts, as data.

Everything an experiment may vary is a field of `Conditions`, so a training
regime or a paradigm needs no code of its own. A trial's id is a hash of all
these fields: with a new name or default of one a trial has another id, and no
folder of records could be continued. So a field that is added after records
have been written is declared with `later`, which keeps the value that all
trials had before the field existed, whatever its default is now. A later field
at that value does not count in the id, and `completed` gives it to configs
that were written without it. Both hold for all time: a later field's `before`
is never changed.

This module imports nothing of the project and no framework, so that a typo in
a config is answered in half a second, before anything heavy loads.
"""

import copy
import dataclasses
import difflib
import functools
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

FRAMEWORKS = ("jax", "torch", "torch_compile")
COMMAND = "command"  # in place of a framework: a script of anybody's trains
PRECISIONS = ("float32", "bfloat16")
MATMUL_PRECISIONS = ("default", "high", "highest")
SCHEDULES = ("constant", "cosine", "one_cycle", "step", "warm_up")
SCALINGS = ("none", "linear", "sqrt")
AUGMENTATIONS = ("none", "crop", "crop_flip")
PROGRAMS = ("segment", "step")
TASK_WEIGHTINGS = ("fixed", "uncertainty")
STREAMING = ("auto", "never", "always")
FEATURES = ("every", "once")
DECAYS = ("all", "weights")
MUON_MATRICES = ("all", "hidden")
PROCESSES = ("auto", "one", "device")
SHARDINGS = ("replicated", "fsdp")
DATA_SHARDINGS = ("auto", "replicated", "divided")
BATCH_NORMS = ("device", "global")
CROSSINGS = ("first", "confirmed", "interpolated")
ATTENTIONS = ("auto", "plain", "fused")
DRAWS = ("threefry", "rbg")
COMMAND_BUFFERS = ("default", "none", "loops")
LAYOUTS = ("auto", "nhwc", "nchw")
# Fields that are filled in when a sweep is planned (`plan.identity`).
COMPUTED = ("model.fingerprint", "data_fingerprint", "command_files")


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
  """A config that cannot be run; as text one line: field, value and reason.

  Attributes:
    reason: What is wrong, and the fix.
    field: The dotted path of the field that is wrong; empty where the reason
      names it.
    value: The field's value as the line shows it; may be empty.
  """

  def __init__(self, reason: str, *, field: str = "", value: str = ""):
    super().__init__(reason)
    self.reason = reason
    self.field = field
    self.value = value

  def __str__(self) -> str:
    shown = " ".join(filter(None, (self.field, self.value)))
    return f"{shown}: {self.reason}" if shown else self.reason

  def inside(self, parent: str) -> "ConfigError":
    """Returns the same error for a config that is held by field `parent`."""
    field = ".".join(filter(None, (parent, self.field)))
    return ConfigError(self.reason, field=field, value=self.value)


def later(default: Any, *, before: Any, hashed: bool | None = None) -> Any:
  """Declares a field that records of older versions do not have.

  Args:
    default: The field's default now, not to be changed in place; of a dict
      each config has a copy.
    before: The value by which trials were run before the field existed: a
      number, string, bool, None, or a list or dict of these, as in JSON.
    hashed: False where the field's value has no hash.
  """
  metadata = {BEFORE: before}
  if isinstance(default, dict):
    return dataclasses.field(
      default_factory=lambda: dict(default), metadata=metadata, hash=hashed
    )
  return dataclasses.field(default=default, metadata=metadata, hash=hashed)


BEFORE = "before"  # key of a later field's metadata
# Metadata of a later part of a config, all of whose fields are later ones.
LATER_PART: dict[str, Any] = {BEFORE: {}}


@dataclasses.dataclass(kw_only=True, unsafe_hash=True)
class Model:
  """A network and its size.

  `width` multiplies the channels, `depth` the layers; at 1.0 the ResNets have
  their published size. `heads` counts the attention heads of networks that
  have attention; their channels are a multiple of it. Hashable, since trials
  of an equal model share executables.

  A name as "nets.py:WideNet" is a class in a file of the user's. It is built
  with `options`, and `fingerprint` is the checksum of the file, which is filled
  in when a sweep is planned: another file is another trial.
  """

  name: str = "cnn"
  width: float = 1.0
  depth: float = 1.0
  heads: int = 4
  options: dict[str, Any] = later({}, before={}, hashed=False)  # noqa: RUF009, copied
  fingerprint: str = later("", before="")


@dataclasses.dataclass(kw_only=True)
class Optimizer:
  """An update rule, its learning rate and the schedule of the rate.

  With a `scaling` other than "none" the rate is meant for
  `reference_batch_size` and grows with the batch size or its square root.
  `schedule_examples` is the length of the schedule; 0: the budget. `decay`
  "weights" decays kernels and embeddings alone; else also biases, scales of
  norms, positions and class token. `muon_matrices` "hidden" leaves the first
  layer to AdamW, as the head always is.
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
  decay: str = later("all", before="all")  # or "weights": no biases, norms, ...
  muon_matrices: str = later(
    "all", before="all"
  )  # or "hidden": of no end layer


@dataclasses.dataclass(kw_only=True)
class Transfer:
  """The source of the backbone's weights; the head is always fresh.

  `init_from` is a trial to train first, at the same seed and once for all
  trials that name it; `weights` is the folder of a checkpoint made elsewhere;
  with neither the backbone is random. `backbone_rate` is the backbone's
  learning rate as a multiple of the head's. Where it is frozen, `features`
  "once" passes each example through it once, and trains the head on what came
  out; "every": at each update that sees the example.
  """

  init_from: "Trial | None" = None
  weights: str = ""
  freeze: bool = False  # train the head alone; batch statistics stay too
  backbone_rate: float = 1.0
  features: str = later("every", before="every")


@dataclasses.dataclass(kw_only=True, unsafe_hash=True)
class Execution:
  """How an update is carried out: what changes its cost and not its meaning.

  Switches for GPUs, that each may be measured (docs/gpu.md). Hashable, as what
  programs depend on. All but `evaluation_chunk` are JAX's alone.
  """

  attention: str = later("auto", before="auto")  # or "plain", "fused"
  draws: str = later("threefry", before="threefry")  # of dropout; or "rbg"
  unroll: int = later(1, before=1)  # updates in one turn of the loop
  command_buffers: str = later("default", before="default")  # "none", "loops"
  autotune_level: int = later(-1, before=-1)  # 0 (none) to 5; -1: XLA's own
  layout: str = later("auto", before="auto")  # of convolutions on GPUs
  evaluation_chunk: int = later(0, before=0)  # examples of a pass; 0: chosen
  chunks_in_flight: int = later(1, before=1)  # 1 or 2, of a streamed set


@dataclasses.dataclass(kw_only=True)
class Conditions:
  """The config of one training without its seed.

  `evaluate_every_examples` is counted in examples, not steps, so that every
  batch size is evaluated equally often; it is a multiple of every batch size.

  `validation_share` is held back, stratified by class and the same for all
  trials; target, patience and the best accuracy look at it alone, and the test
  set is looked at once, when training has stopped. At 0 the test set decides.
  Where a dataset has a validation split of its own, this is taken.

  `crossing` says when a target is reached: at the "first" evaluation that
  meets it; at the first of two in a row, "confirmed", for which training goes
  on to the second; or "interpolated" between a confirmed one and the
  evaluation before it.

  `data` is the name of a set, or arrays of the user's: "sets.py:load",
  "arrays.npz" or "./folder". Of these `data_fingerprint` is the checksum, which
  is filled in when a sweep is planned: other arrays are another trial.

  `accumulation` is the number of micro-batches; 0 lets
  `jaxpower.accumulation` choose it.

  On several `devices` each takes its share of every batch. With `sharding`
  "fsdp" weights and moments are divided over them too, each array along one
  axis, where "replicated" has them whole on each. `data_sharding` says the same
  of the training set: "auto" has it whole on each device where it takes less
  than half of one's memory, "divided" where it takes less than half of all
  memory together; a larger one is streamed. `batch_norm` "device" normalises
  by each device's own examples, as PyTorch's DDP does, and keeps the running
  statistics of the first; "global" by the whole batch (SyncBatchNorm).

  `processes` says over how many processes a trial on several devices is
  divided: "one", one for each "device", or "auto": on GPUs one for each device,
  since one process for several is where NCCL hangs, on CPUs one. PyTorch has a
  process for each device in any case.

  `cores` is how many logical cores of the CPU a trial may use, whatever it does
  there; 0 leaves it all that the sweep has. A trial of another number has
  another worker, since frameworks look at the cores when they start.

  `tasks` are labels of the dataset; where `data` is "a+b", datasets mixed in
  every batch, the tasks are "a" and "b". One network learns all of them, with
  a head for each. `targets` and `task_weights` are keyed by task; a task
  without a target has `target_accuracy`, one without a weight has 1.

  With the framework "command" a process trains, that of `command`, in which
  any field stands in braces; `options` are fields of any name for it. Its
  accuracies come from `jaxpower.attach`, or from its output, whose lines are
  searched for the regular expressions `metrics`, or from JSON lines in the
  file `metrics_file`. `command_files` are checksums of the files that it names
  and are filled in, so that an edited script is another trial.
  """

  data: str = "fashion_mnist_6k"
  tasks: tuple[str, ...] = ("label",)
  model: Model = dataclasses.field(default_factory=Model)
  optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
  batch_size: int = 128  # global: examples per update over all devices
  accumulation: int = 0  # micro-batches in an update; 0: chosen for you
  precision: str = "float32"  # of the arithmetic; weights stay float32
  matmul_precision: str = "default"  # of float32 products; GPUs: TF32
  dropout: float = 0.0
  label_smoothing: float = 0.0
  augmentation: str = "none"
  validation_share: float = later(0.1, before=0.0)  # of the training set
  data_share: float = 1.0  # of what is left of it, stratified by class
  program: str = "segment"  # one call between two evaluations, or each "step"
  task_weights: dict[str, float] = dataclasses.field(default_factory=dict)
  task_weighting: str = "fixed"  # or "uncertainty": learned in training
  streaming: str = "auto"  # from host or disk where the dataset is too large
  target_accuracy: float = 0.8
  targets: dict[str, float] = dataclasses.field(default_factory=dict)
  budget_examples: int = 60_000
  evaluate_every_examples: int = 2_048
  crossing: str = later("confirmed", before="first")  # when it is reached
  stop_at_target: bool = True  # False: train on to budget or patience
  patience: int = 0  # evaluations in a row without a new best; 0: no limit
  idle_seconds: float = 2.0  # context open, nothing queued, before training
  devices: int = 1  # local devices to divide a batch over; 0: all of them
  sharding: str = later("replicated", before="replicated")  # or "fsdp"
  data_sharding: str = later("auto", before="auto")  # "replicated", "divided"
  batch_norm: str = later("device", before="device")  # over a "global" batch
  processes: str = later("auto", before="auto")  # "one", or one a "device"
  cores: int = later(0, before=0)  # of the CPU, that it may use; 0: all
  transfer: Transfer = dataclasses.field(default_factory=Transfer)
  framework: str = "jax"
  execution: Execution = dataclasses.field(
    default_factory=Execution, metadata=LATER_PART
  )
  power_limit_watts: float = later(0.0, before=0.0)  # of each GPU; 0: as it is
  sm_clock_mhz: int = later(0, before=0)  # locked; 0: as it is
  data_fingerprint: str = later("", before="")
  command: str = later("", before="")  # of the framework "command"
  options: dict[str, Any] = later({}, before={})  # noqa: RUF009, copied
  metrics: tuple[str, ...] = later((), before=[])
  metrics_file: str = later("", before="")  # that it writes
  command_files: dict[str, str] = later({}, before={})  # noqa: RUF009, copied


@dataclasses.dataclass(kw_only=True)
class Trial(Conditions):
  """One training at one config and one seed, up to target or budget."""

  seed: int = 0


@dataclasses.dataclass(kw_only=True)
class Sweep(Conditions):
  """The trials of one config file: shared conditions and a grid of values.

  `vary` maps fields of the conditions, as dotted paths
  (`optimizer.learning_rate`), to tuples of values. All combinations are run,
  each at seeds 0 to `seeds` - 1, in an order drawn from `order_seed`.

  A worker is given up and its trial recorded as failed where it gives no sign
  of life for `patience_seconds`, is not ready after `start_seconds`, or is not
  over with compiling after `compile_seconds` or with another phase (one
  segment of training, an evaluation) after `phase_seconds`; 0: no limit.

  A running trial writes a checkpoint at the first look after
  `checkpoint_minutes`, from which it goes on after a kill; 0: none but where
  it is asked to stop. With its record they are removed, unless
  `keep_checkpoints`. Its trained weights stay, unless `keep_weights` is false;
  those that another trial starts from always do. With `compilation_cache` what
  JAX compiled is kept in the run folder for the sweep's other workers.

  A command is ended, and its trial recorded as failed, after
  `timeout_seconds`; 0: no limit.
  """

  name: str = "sweep"
  vary: dict[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
  seeds: int = 3
  order_seed: int = 0
  patience_seconds: float = later(300.0, before=300.0)
  start_seconds: float = later(600.0, before=600.0)
  compile_seconds: float = later(3_600.0, before=3_600.0)
  phase_seconds: float = later(86_400.0, before=86_400.0)
  checkpoint_minutes: float = later(10.0, before=10.0)
  keep_checkpoints: bool = later(False, before=False)
  keep_weights: bool = later(True, before=True)
  compilation_cache: bool = later(False, before=False)
  timeout_seconds: float = later(0.0, before=0.0)


def to_dict(config: Any) -> dict[str, Any]:
  """Converts a config, or a part of one, to nested dicts, ready for JSON."""
  return {
    name: _as_json(getattr(config, name)) for name in _field_names(type(config))
  }


def _as_json(value: Any) -> Any:
  """Copies a value as JSON would give it back; TypeError where it cannot."""
  kind = type(value)
  if value is None or kind in (str, int, float, bool):
    return value
  if dataclasses.is_dataclass(kind):
    return to_dict(value)
  if kind in (tuple, list):
    return [_as_json(item) for item in value]
  if kind is dict and all(type(key) is str for key in value):
    return {key: _as_json(item) for key, item in value.items()}
  return json.loads(json.dumps(value))


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
  return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def field_hints(kind: type) -> dict[str, Any]:
  """Returns the declared type of each field of a config."""
  return typing.get_type_hints(kind)


def from_dict(kind: type[T], values: dict[str, Any]) -> T:
  """Makes a config, or a part of one, of what `to_dict` made of it.

  Not for a Sweep, the values of whose `vary` have no declared type. Raises
  TypeError on a field that the kind does not have.
  """
  hints = field_hints(kind)

  def typed(name: str, value: Any) -> Any:
    of = plain_type(hints[name]) if name in hints else object
    if dataclasses.is_dataclass(of) and isinstance(value, dict):
      return from_dict(of, value)
    if of is dict:
      return make_plain(value)
    return tuple(value) if of is tuple else value

  return kind(**{name: typed(name, value) for name, value in values.items()})


def trial_id(trial: Trial) -> str:
  """Hashes a trial's whole config to twelve hex digits that name it.

  Later fields count only where they differ from the value before they existed.
  """
  return id_of(to_dict(trial), type(trial))


def by_id(trials: Iterable[Trial]) -> dict[str, Trial]:
  """Maps trials by their id, in their order; one that is there twice once."""
  named: dict[str, Trial] = {}
  for trial in trials:
    named.setdefault(trial_id(trial), trial)
  return named


def id_of(config: dict[str, Any], kind: type = Trial) -> str:
  """Returns the `trial_id` of a trial from what `to_dict` made of it."""
  text = json.dumps(as_before(kind, config), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def is_of_today(kind: type, config: dict[str, Any]) -> bool:
  """Whether a config, its parts and pretrainings have the fields of `kind`."""
  if config.keys() != set(_field_names(kind)):
    return False
  parts = ((k, config[name]) for name, k in _part_kinds(kind).items())
  return all(is_of_today(k, v) for k, v in parts if isinstance(v, dict))


def completed(kind: type, config: dict[str, Any]) -> dict[str, Any]:
  """Gives a config of an older version the later fields, at `before`.

  Args:
    kind: What the config is of: Trial, Sweep or a part of one.
    config: As `to_dict` made it then; not changed.

  Returns:
    A copy with the later fields, in its parts, its pretrainings and the values
    of a sweep's `vary` too.
  """
  absent = {
    name: copy.deepcopy(before)
    for name, before in _before(kind).items()
    if name not in config
  }
  return _each_part(kind, config | absent, completed)


def as_before(kind: type, config: dict[str, Any]) -> dict[str, Any]:
  """Leaves out of a config every later field that has its `before` value.

  So a config is the same as one of a version that did not have the field.
  """
  before = _before(kind)
  return {
    name: value
    for name, value in _each_part(kind, config, as_before).items()
    if name not in before or value != before[name]
  }


@functools.cache
def _before(kind: type) -> dict[str, Any]:
  """Maps the later fields of a kind of config to their `before` values."""
  return {
    field.name: field.metadata[BEFORE]
    for field in dataclasses.fields(kind)
    if BEFORE in field.metadata
  }


def _each_part(
  kind: type,
  config: dict[str, Any],
  convert: Callable[[type, dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
  """Copies a config with each of its parts converted, by kind of the part."""
  kinds = _part_kinds(kind)
  copied = {
    name: convert(kinds[name], value)
    if name in kinds and isinstance(value, dict)
    else value
    for name, value in config.items()
  }
  if issubclass(kind, Sweep) and isinstance(vary := config.get("vary"), dict):
    copied["vary"] = {
      path: _each_value(path, values, convert) for path, values in vary.items()
    }
  return copied


def _each_value(
  path: str,
  values: list[Any],
  convert: Callable[[type, dict[str, Any]], dict[str, Any]],
) -> list[Any]:
  """Converts the values of a varied field where they are parts of a config."""
  kind: type | None = Trial  # varied fields are those of a trial
  for name in path.split("."):
    kind = None if kind is None else _part_kinds(kind).get(name)
  if kind is None:
    return values
  return [convert(kind, v) if isinstance(v, dict) else v for v in values]


@functools.cache
def _part_kinds(kind: type) -> dict[str, type]:
  """Maps those fields of a config that are configs to their kind."""
  kinds = {n: plain_type(h) for n, h in typing.get_type_hints(kind).items()}
  return {n: k for n, k in kinds.items() if dataclasses.is_dataclass(k)}


def with_seed(trial: Trial, seed: int) -> Trial:
  """Copies a trial at another seed, its pretrainings at that seed too."""
  again = copied(trial)
  for trained in (again, *sources(again)):
    trained.seed = seed
  return again


def copied(config: T) -> T:
  """Copies a config, its parts and pretrainings: as deepcopy does, faster."""
  again = copy.copy(config)
  for name in _field_names(type(config)):
    value = getattr(config, name)
    if dataclasses.is_dataclass(value):
      setattr(again, name, copied(value))
    elif isinstance(value, dict):
      setattr(again, name, copy.deepcopy(value))
  return again


def sources(trial: Trial) -> Iterator[Trial]:
  """Yields a trial's pretraining, then the pretraining of that, and so on."""
  source = trial.transfer.init_from
  while source is not None:
    yield source
    source = source.transfer.init_from


def processes_of(conditions: Conditions, platform: str, devices: int) -> int:
  """Returns over how many processes of JAX a trial is divided.

  Args:
    conditions: Of the trial.
    platform: Of its devices: "cpu" or another.
    devices: How many there are.
  """
  divided = conditions.processes == "device" or (
    conditions.processes == "auto" and platform != "cpu"
  )
  if conditions.framework != "jax" or not divided:
    return 1
  return conditions.devices or devices


def targets_of(conditions: Conditions) -> dict[str, float]:
  """Maps each task, in the order of the tasks, to its target accuracy."""
  return {
    task: conditions.targets.get(task, conditions.target_accuracy)
    for task in conditions.tasks
  }


def make_plain(value: Any) -> Any:
  """Makes values of Python's own types of those that a config file may hold.

  Scalars and arrays of numpy or JAX become numbers and tuples, lists and
  ranges tuples, so that `np.arange(3)`, `range(3)` and `(0, 1, 2)` are one
  config with one trial id. Parts of a config are changed in place. Whatever
  else there is stays as it is.
  """
  if hasattr(value, "dtype") and hasattr(value, "tolist"):
    value = value.tolist()
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    for field in dataclasses.fields(value):
      plain = make_plain(getattr(value, field.name))
      setattr(value, field.name, plain)
    return value
  if isinstance(value, tuple | list | range):
    return tuple(map(make_plain, value))
  if isinstance(value, dict):
    return {make_plain(key): make_plain(item) for key, item in value.items()}
  return value


# Fields by their dotted paths, as `vary` and the command line name them


def get(config: Any, path: str) -> Any:
  """Returns the value of a field, or of a key of a dict field.

  A free name that a config does not give is None.
  """
  holder, name = _holder(config, path)
  if not isinstance(holder, dict):
    return getattr(holder, name)
  return holder.get(name) if is_free(path, type(config)) else holder[name]


def put(config: Any, path: str, value: Any) -> None:
  """Sets a field, or a key of a dict field, in place."""
  holder, name = _holder(config, path)
  if isinstance(holder, dict):
    holder[name] = value
  else:
    setattr(holder, name, value)


def _holder(config: Any, path: str) -> tuple[Any, str]:
  """Finds the object that holds a field, and the field's name in it."""
  name, dot, rest = path.partition(".")
  if isinstance(config, dict):
    return config, path  # keys of `vary` have dots of their own
  return _holder(getattr(config, name), rest) if dot else (config, name)


def is_free(path: str, kind: type = Conditions) -> bool:
  """Whether a path names an entry of a dict whose names are the user's own."""
  name, _, rest = path.partition(".")
  if field_hints(kind).get(name) == dict[str, Any]:
    return rest != ""
  part = _part_kinds(kind).get(name)
  return part is not None and rest != "" and is_free(rest, part)


def field_types(config: Any, prefix: str = "") -> dict[str, type]:
  """Maps every field, keys of dict fields included, to its declared type."""
  kinds: dict[str, type] = {}
  hints = field_hints(type(config))
  for field in dataclasses.fields(config):
    path, value = prefix + field.name, getattr(config, field.name)
    kinds[path] = plain_type(hints[field.name])
    if dataclasses.is_dataclass(value):
      kinds |= field_types(value, f"{path}.")
    elif isinstance(value, dict) and kinds[path] is dict:
      of_items = plain_type(typing.get_args(hints[field.name])[1])
      kinds |= {f"{path}.{key}": of_items for key in value}
  return kinds


@functools.cache
def plain_type(hint: Any) -> type:
  """Strips a type hint: `dict[str, float]` is dict, `Trial | None` Trial."""
  if isinstance(hint, types.UnionType):
    hint = typing.get_args(hint)[0]
  return typing.get_origin(hint) or hint


def differences(
  old: dict[str, Any],
  new: dict[str, Any],
  prefix: str = "",
  absent: str = "absent",
) -> list[str]:
  """Lists where two configs differ, one `field: old -> new` each."""
  lines = []
  for key in sorted(old.keys() | new.keys()):
    a, b = old.get(key, absent), new.get(key, absent)
    if isinstance(a, dict) and isinstance(b, dict):
      lines += differences(a, b, f"{prefix}{key}.", absent)
    elif a != b:
      lines.append(f"{prefix}{key}: {a} -> {b}")
  return lines


# For config files


def arguments(text: str, **defaults: Any) -> Any:
  """Parses the `name=value,...` after the colon of `--config=FILE:...`.

  Each value has the type of its default; a name alone sets a bool. Returns a
  namespace with one attribute for each default. Raises ConfigError on an
  unknown name or a value of another type.
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
      values[name] = _parse(value if equals else "true", kind)
    except ValueError:
      raise ConfigError(
        f"config argument {name}={value}: not {article(kind.__name__)}"
      ) from None
  return types.SimpleNamespace(**values)


def _parse(text: str, kind: type) -> Any:
  """Reads a text as a type; raises ValueError, on nan and infinities too."""
  if kind is float and not math.isfinite(float(text)):
    raise ValueError(text)
  if kind is not bool:
    return kind(text)
  if text not in ("true", "false"):
    raise ValueError(text)
  return text == "true"


# Parts of error lines

MOST_SHOWN = 60  # characters of a wrong name; chosen


def unknown(what: str, name: str, names: Iterable[str]) -> str:
  """Says that a name is unknown, with the nearest of the known names.

  Of a field's part, as `optimizer.lr`, that is no name of the field itself.
  """
  names = sorted(names)
  name = name if len(name) <= MOST_SHOWN else f"{name[: MOST_SHOWN - 3]}..."
  parent, dot, _ = name.rpartition(".")
  beside = [each for each in names if dot and each.startswith(f"{parent}.")]
  near = (
    [each for each in (*beside, *names) if _abbreviates(name, each)]
    or difflib.get_close_matches(name, beside, n=1, cutoff=0.5)
    or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
  )
  if near and near[0] != parent:
    hint = f"did you mean {near[0]}?"
  else:
    hint = f"known: {', '.join(beside or names)}"
  return f"unknown {what} '{name}'; {hint}"


def _abbreviates(name: str, other: str) -> bool:
  """Whether a name has the initials of another's words: lr, learning_rate."""
  words = other.rpartition(".")[2].split("_")
  initials = "".join(word[:1] for word in words)
  return len(words) > 1 and name.rpartition(".")[2] == initials


def article(noun: str) -> str:
  """Puts the indefinite article before a noun."""
  return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
