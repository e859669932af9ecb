"""What a trial asks of a framework, and which room answers."""

import pathlib
from collections.abc import Hashable
from typing import Any, Protocol

from jaxpower.config import Trial
from jaxpower.data import DataSet


class Placed(Protocol):
  """A trial with its data on its devices.

  Trials of equal `spec` share their executables.
  """

  @property
  def spec(self) -> Hashable:
    """What its executables depend on."""
    ...

  @property
  def test_examples(self) -> int:
    """How many examples an evaluation looks at."""
    ...


class Wing(Protocol):
  """A module that trains; its states and programs are its own affair.

  What these functions return is waited for by the meter, so a window holds
  the work itself and not only the call.
  """

  def wait(self, values: Any, /) -> Any:
    """Returns once every array in `values` is computed: the barrier."""
    ...

  def place(self, trial: Trial, sets: DataSet) -> Placed:
    """Brings a set to the devices of a trial.

    Its 'label' is what is learned: [n, tasks] where there are several.
    """
    ...

  def compile_programs(self, spec: Any) -> Any:
    """Makes whatever is run again and again, before any of it is called."""
    ...

  def flops_per_step(self, spec: Any) -> float | None:
    """Operations of one update over all devices; None where not known."""
    ...

  def start(self, placed: Any, backbone: pathlib.Path | None = None) -> Any:
    """The state that training starts from.

    With a folder that `save` wrote, its backbone under a fresh head.
    """
    ...

  def copy(self, state: Any) -> Any:
    """Another state of the same values; `train` may use up its own."""
    ...

  def count_parameters(self, state: Any) -> int:
    """How many numbers the network has."""
    ...

  def train(
    self, programs: Any, state: Any, placed: Any, segment: int
  ) -> tuple[Any, Any, float]:
    """Trains up to the next evaluation.

    Returns the state, the mean loss, and the seconds the devices waited for
    data.
    """
    ...

  def evaluate(self, programs: Any, state: Any, placed: Any) -> dict[str, Any]:
    """Mean "loss" and "accuracy" over the test set.

    With several tasks also their "accuracies", in the order of the trial's.
    """
    ...

  def save(self, folder: pathlib.Path, state: Any) -> None:
    """Writes the state into a folder of its own, in place of any other."""
    ...

  def peak_memory_bytes(self, programs: Any, placed: Any) -> int | None:
    """Most memory of one device that training took; None where not known."""
    ...

  def numerics(self, placed: Any) -> dict[str, Any]:
    """What differs by nature between frameworks, as this trial had it."""
    ...

  def devices(self, trial: Trial) -> list[dict[str, Any]]:
    """The devices of a trial: "platform", "kind" and "index" of each."""
    ...


def wing_of(framework: str) -> Wing:
  """The wing of a framework, which is imported now and not before."""
  if framework == "jax":
    from jaxpower.learn import wing

    return wing
  if framework in ("torch", "torch_compile"):
    from jaxpower import torch_wing

    return torch_wing
  raise ValueError(f"no wing is named {framework}")
