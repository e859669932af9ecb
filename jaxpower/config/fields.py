"""Defines the config of an experiment: Sweep, Trial and their parts, as data.

Everything an experiment may vary is a field of `Conditions`, so a training
regime or a paradigm needs no code of its own. What a field may be in general
is here; whether a config makes sense, in `jaxpower.plan.checks`.
"""

import dataclasses
from typing import Any

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
