"""The spec: all of a trial that its executables depend on.

Compiling costs joules, so trials whose specs are equal share what one of them
compiled. Whatever need not be known when a program is compiled enters it as an
array and stays out of here: a sweep over learning rates compiles once.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxpower import architectures, config
from jaxpower.accumulation import accumulation_of
from jaxpower.learn import cores, networks
from jaxpower.learn.devices import HOPPER, capability_of, make_mesh
from jaxpower.learn.layers import Head

# What programs take of a data set: "input" and "label", whose first axis is
# that of examples, "mean" and "std" of the inputs; a test set "weight" too,
# a training batch "draws" where images are moved.
Data = dict[str, Any]
# What cuDNN's attention takes: from which compute capability, and how many
# features a head may have.
CUDNN_ATTENTION = 8.0
HEAD_MULTIPLE = 8
LARGEST_HEAD, LARGEST_HEAD_SINCE_HOPPER = 128, 256
SCALE = ("mean", "std")  # what of it is not of single examples


@dataclasses.dataclass(frozen=True)
class Spec:
  """What an executable depends on; equal specs share their executables.

  Learning rate and schedule, weight decay, momentum, label smoothing, how
  much is dropped, the backbone's rate, the weights of tasks, the share of the
  data and the seed are data and not here.
  """

  model: config.Model
  optimizer: str
  decay: str  # "all" is decayed, or "weights"
  muon_matrices: str  # "all", or "hidden"
  precision: str
  matmul_precision: str
  dropout: bool  # whether any
  augmentation: str
  accumulation: int  # micro-batches of an update
  program: str  # "segment", or "step": a call for each
  freeze: bool  # whether the head alone is trained
  tasks: tuple[int, ...]  # the classes of each
  uncertainty: bool  # whether the weights of the tasks are learned
  vocabulary: int | None  # None: the inputs are no tokens
  batch_size: int
  steps: int  # in a segment
  chunk: int  # steps whose examples are streamed together; 0: not streamed
  devices: int  # of XLA; 0: all
  cores: int  # over which its one CPU divides a batch, a device each
  sharding: str  # of the state: "replicated" or "fsdp"
  data_divided: bool  # whether the devices have parts of the training set
  batch_norms: int  # parts of a batch that are normalised each by itself
  shapes: tuple[tuple[str, tuple[int, ...], str], ...]  # of the data
  features_once: bool = False  # whether the head is trained on kept features
  head_alone: bool = False  # whether the inputs are such features
  execution: config.Execution = dataclasses.field(
    default_factory=config.Execution
  )

  @property
  def classes(self) -> int:
    """The outputs of the head: those of every task side by side."""
    return sum(self.tasks)

  @property
  def input_shape(self) -> tuple[int, ...]:
    """The shape of one input of the whole network."""
    split = "backbone" if self.head_alone else "train"
    return shapes_of(self, split)["input"].shape[1:]

  @property
  def micro_batch(self) -> int:
    """Examples that one pass of the network sees on a device."""
    devices = make_mesh(self.devices).size
    return self.batch_size // self.accumulation // devices


def spec_of(
  trial: config.Trial,
  train: Data,
  test: Data,
  *,
  classes: int | tuple[int, ...],
  vocabulary: int | None = None,
  chunk: int = 0,
  data_divided: bool = False,
) -> Spec:
  """Returns the spec of a trial.

  Args:
    trial: What is trained.
    train: Arrays or shapes of the whole training set.
    test: Arrays or shapes of the test set as it is evaluated: in chunks.
    classes: Of each task, if there are several.
    vocabulary: The number of tokens; None if the inputs are no tokens.
    chunk: Steps whose examples are streamed together; 0: not streamed.
    data_divided: Whether the devices have parts of the training set.
  """
  devices = cores.devices_of(trial)
  mesh, divided = make_mesh(devices), cores.divided_over(trial)
  several = mesh.size > divided
  per_device = (
    architectures.network_of(trial.model.name).batch_norm
    and trial.batch_norm == "device"
  )
  tasks = (classes,) if isinstance(classes, int) else classes
  features_once = trial.transfer.features == "once"
  on_cpu = mesh.devices.flat[0].platform == "cpu"
  # Micro-batches are chosen for whole networks; a head takes its batch whole.
  accumulation = trial.accumulation or 1
  if not features_once:
    accumulation = accumulation_of(trial, on_cpu=on_cpu, devices=mesh.size)
  shapes = tuple(
    (f"{split}.{name}", tuple(values.shape), str(values.dtype))
    for split, data in (("train", train), ("test", test))
    for name, values in sorted(data.items())
  )
  return Spec(
    model=trial.model,
    optimizer=trial.optimizer.name,
    decay=trial.optimizer.decay,
    muon_matrices=trial.optimizer.muon_matrices,
    precision=trial.precision,
    matmul_precision=trial.matmul_precision,
    dropout=trial.dropout > 0,
    augmentation=trial.augmentation,
    accumulation=accumulation,
    program=_program_of(
      trial, on_cpu, in_loop=accumulation > 1 or chunk > 0 or features_once
    ),
    freeze=trial.transfer.freeze,
    tasks=tasks,
    uncertainty=trial.task_weighting == "uncertainty" and len(tasks) > 1,
    vocabulary=vocabulary,
    batch_size=trial.batch_size,
    steps=trial.evaluate_every_examples // trial.batch_size,
    chunk=chunk,
    devices=devices,
    cores=divided,
    sharding=trial.sharding if several else "replicated",
    data_divided=data_divided,
    batch_norms=mesh.size if per_device and several else 1,
    shapes=shapes,
    features_once=features_once,
    execution=trial.execution,
  )


def spec_on_features(spec: Spec, features: jax.ShapeDtypeStruct) -> Spec:
  """Returns the spec of the head alone.

  Args:
    spec: Of the whole network.
    features: The shape and type of what one example gives its head.
  """

  def shape_of(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    examples = shape[:1] if name == "train.input" else shape[:2]
    return (*examples, *features.shape)

  inputs = [
    (name, shape_of(name, shape), str(features.dtype))
    for name, shape, _ in spec.shapes
    if name.endswith(".input")
  ]
  others = [entry for entry in spec.shapes if not entry[0].endswith(".input")]
  backbone = [
    ("backbone.input", shape, dtype)
    for name, shape, dtype in spec.shapes
    if name == "train.input"
  ]
  shapes = tuple(sorted([*inputs, *others, *backbone]))
  return dataclasses.replace(spec, shapes=shapes, head_alone=True)


def network_of(spec: Spec) -> Any:
  """Returns the network that a spec trains, by Linen's way; without weights."""
  if spec.head_alone:
    return Head(spec.classes, jnp.dtype(spec.precision))
  return networks.build(
    spec.model,
    spec.classes,
    spec.vocabulary,
    precision=spec.precision,
    attention=attention_of(spec),
    input_shape=spec.input_shape,
    batch_norms=spec.batch_norms,
    convolution=convolution_of(spec),
  )


def convolution_of(spec: Spec) -> str:
  """Returns the form of a ResNet's convolutions: "auto", or XLA's own on CPUs.

  XLA's is the faster one there for its channels, backwards as well, but for
  inside a loop (`layers.convolve`); so only where each update is a call.
  """
  network = architectures.network_of(spec.model.name)
  device = make_mesh(spec.devices).devices.flat[0]
  in_loop = spec.accumulation > 1 or spec.chunk or spec.program != "step"
  if not network.batch_norm or device.platform != "cpu" or in_loop:
    return "auto"
  return "xla"


def _program_of(trial: config.Trial, on_cpu: bool, in_loop: bool) -> str:
  """Returns "segment" or "step", which is faster for a ResNet on a CPU."""
  network = architectures.network_of(trial.model.name)
  if network.batch_norm and on_cpu and not in_loop:
    return "step"
  return trial.program


def attention_of(spec: Spec) -> str:
  """Returns who computes attention: "plain", "xla" or "cudnn".

  cuDNN's never makes the scores of all pairs of positions, which is less to
  move from a few hundred positions on. Where it takes no such attention, "auto"
  is plain products, and "fused" is XLA's form of the same call, as for tests
  without a GPU.
  """
  asked, gpu = spec.execution.attention, _device_of(spec).platform == "gpu"
  if asked == "plain" or (asked == "auto" and not gpu):
    return "plain"
  if gpu and not why_not_cudnn(spec):
    return "cudnn"
  return "plain" if asked == "auto" else "xla"


def why_not_cudnn(spec: Spec) -> str:
  """Says why cuDNN cannot compute the attention of a spec on its GPU, or "".

  What it takes is what `jax.nn.dot_product_attention` asks of a call before it
  hands it over (`jax/_src/cudnn/fused_attention_stablehlo.py`), which else ends
  the trial.
  """
  sizes: architectures.Sizes = architectures.sizes_of(spec.model)
  if not isinstance(sizes, architectures.TransformerSizes):
    return "the network has no attention"
  capability = capability_of(_device_of(spec))
  if capability < CUDNN_ATTENTION:
    return f"it needs compute capability {CUDNN_ATTENTION:g}"
  if spec.precision != "bfloat16":
    return f"it takes no {spec.precision}"
  head = sizes.features // sizes.heads
  most = LARGEST_HEAD if capability < HOPPER else LARGEST_HEAD_SINCE_HOPPER
  if head % HEAD_MULTIPLE or head > most:
    return (
      f"it takes heads of a multiple of {HEAD_MULTIPLE} up to {most} features,"
      f" not {head}"
    )
  if (length := architectures.positions_of(spec.input_shape)) % 2:
    return f"in training it takes an even length, not {length}"
  return ""


def _device_of(spec: Spec) -> Any:
  """Returns the first device that a spec is divided over."""
  return make_mesh(spec.devices).devices.flat[0]


def shapes_of(spec: Spec, split: str) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes of the arrays of one split, "train" or "test"."""
  return {
    name.removeprefix(f"{split}."): jax.ShapeDtypeStruct(
      shape, jnp.dtype(dtype)
    )
    for name, shape, dtype in spec.shapes
    if name.startswith(f"{split}.")
  }
