"""The contract between a trial and a framework, and who fulfils it.

A wing is a framework's half of the experiment: `learn` trains in JAX,
`learn_torch` in PyTorch. `jaxpower.trial` measures whatever happens between
two of the calls below and knows nothing else of a framework, so that both are
measured alike. The wings are twins: the same role has the same file and the
same name in both.

In the order of a trial:

  placed   = place(trial, sets)               the data on its devices
  programs = compile_programs(placed.spec)    all compiling, and no training
  state    = start(placed, backbone)          the same first weights in both
  state, loss, waited = train(programs, state, placed, 0)   a segment, then
  metrics  = evaluate(programs, state, placed, split)       "validation", ...
  save(folder, state)
  state = restore(folder, state)              in another process, to go on

Values of type Any are the wing's own; a trial only hands them on.
"""

import pathlib
from collections.abc import Hashable, Mapping
from typing import Any, Protocol

from jaxpower.config import Trial
from jaxpower.data import DataSet, Facts
from jaxpower.weights import NO_TEXTS


class Placed(Protocol):
  """A trial with its data where training wants it: on devices, or streamed."""

  @property
  def spec(self) -> Hashable:
    """All that the trial's programs depend on; equal specs share programs."""
    ...

  @property
  def examples(self) -> Mapping[str, int]:
    """How many examples an evaluation looks at, by split.

    "test", and "validation" if the data set has one.
    """
    ...

  @property
  def passes(self) -> Mapping[str, int]:
    """How many equal forward passes an evaluation is, by split."""
    ...


class Wing(Protocol):
  """A module that trains: all that a trial asks of a framework.

  A call may return before its work is done, as calls of JAX and CUDA do. The
  meter waits for what is returned (`wait`) before it closes a window, so a
  window holds the work itself; nothing may be left undone that the returned
  values do not depend on.
  """

  def wait(self, values: Any, /) -> Any:
    """Returns `values` once they are computed, on every device: the barrier."""
    ...

  def place(self, trial: Trial, sets: DataSet) -> Placed:
    """Copies a data set to the trial's devices, or leaves it to be streamed.

    Args:
      trial: What is trained.
      sets: Its "label" is what is learned: [n], [n, length] for next tokens,
        [n, tasks] if there are several tasks, -1 for no label of one.
    """
    ...

  def check(self, trial: Trial, facts: Facts, classes: int, text: bool) -> None:
    """Builds a trial's network of the user's and calls it, to try whether.

    Raises ConfigError with what the trainer could not use of it.

    Args:
      trial: What would be trained.
      facts: Of its data set.
      classes: The outputs of the head, those of all tasks.
      text: Whether the labels are the next tokens, at every place.
    """
    ...

  def prepare_compiler(self, framework: str) -> None:
    """Compiles and runs a tiny program, which is thrown away.

    So that what is done once in a process, as to load the compiler or to build
    the headers that it starts from, is not billed to the first trial.
    """
    ...

  def compile_programs(self, spec: Any) -> Any:
    """Compiles all that training and evaluation will call, and runs no update.

    Every call compiles anew, from nothing kept on disk or in the process. What
    it returns serves every trial of an equal spec.
    """
    ...

  def flops_per_step(self, spec: Any) -> float | None:
    """Counts the floating-point operations of one update over all devices.

    None if the framework does not tell.
    """
    ...

  def start(self, placed: Any, backbone: pathlib.Path | None = None) -> Any:
    """Returns the state that training starts from: JAX draws its weights.

    Args:
      placed: The trial, whose seed the weights are drawn from.
      backbone: A folder that `save` or the importer wrote, to take all weights
        from but the head's; None for a network of fresh weights.

    Raises WeightsError if the folder is damaged or does not fit the network.
    """
    ...

  def copy(self, state: Any) -> Any:
    """Copies a state, because `train` writes over the one that it is given."""
    ...

  def count_parameters(self, state: Any) -> int:
    """Counts the network's numbers, those of a frozen backbone too."""
    ...

  def train(
    self, programs: Any, state: Any, placed: Any, segment: int
  ) -> tuple[Any, Any, float]:
    """Makes the updates of one segment: those between two evaluations.

    Args:
      programs: Those of the trial's spec.
      state: After the segments before; not to be used again.
      placed: The trial.
      segment: Which one, from 0: with the seed it gives order and rates.

    Returns:
      The new state; the mean loss over the segment's updates, a scalar that
      may still be on a device; and the seconds for which the devices waited
      for data, 0 if the set lies on them.
    """
    ...

  def evaluate(
    self, programs: Any, state: Any, placed: Any, split: str = "test"
  ) -> dict[str, Any]:
    """Returns the mean "loss" and "accuracy" over a split, as scalars.

    With several tasks also their "accuracies" [tasks], in the trial's order.
    """
    ...

  def on_features(
    self, programs: Any, state: Any, placed: Any, split: str
  ) -> Placed:
    """Passes the examples through the frozen backbone, once and for all.

    Returns the trial with what came out in place of the inputs, of the
    training examples that it uses and of one split: `train` and `evaluate` then
    take the head alone. The work is done when this returns.
    """
    ...

  def save(
    self,
    folder: pathlib.Path,
    state: Any,
    texts: Mapping[str, str] = NO_TEXTS,
  ) -> None:
    """Writes a state to a folder of its own, in place of what lies there.

    It is on disk, with its checksums, when this returns.

    Args:
      folder: Where to.
      state: What.
      texts: Files to lie beside it, by name.
    """
    ...

  def restore(self, folder: pathlib.Path, like: Any) -> Any:
    """Reads a state that `save` wrote, to the devices of the state `like`.

    Every bit is what it was, the moments of the update rule too. `like` is not
    to be used again.

    Raises WeightsError if the folder is damaged or does not fit.
    """
    ...

  def peak_memory_bytes(self, programs: Any, placed: Any) -> int | None:
    """Returns the most memory that training took of one device.

    Asked after training; None if not known, as on CPUs.
    """
    ...

  def numerics(self, placed: Any) -> dict[str, Any]:
    """Returns what differs by nature between frameworks, for this trial."""
    ...

  def devices(self, trial: Trial) -> list[dict[str, Any]]:
    """Returns the "platform", "kind" and "index" of each of a trial's devices.

    "index" counts the devices that this process sees, as CUDA does; "uuid" is
    what CUDA calls a GPU, without a prefix, where the framework tells it.
    """
    ...


def wing_of(framework: str) -> Wing:
  """Returns the wing of a framework, which is imported now and not before.

  In a process that leads others in a trial, that which leads them.

  Raises ValueError if there is none.
  """
  if framework == "jax":
    from jaxpower.learn import wing
    from jaxpower.learn.distributed import coordinator
    from jaxpower.learn.distributed import wing as leading

    return wing if coordinator.current() is None else leading
  if framework in ("torch", "torch_compile"):
    from jaxpower import torch_wing

    return torch_wing
  raise ValueError(f"no wing is named {framework}")
