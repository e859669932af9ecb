"""What a training script says to the sweep that runs it: phases and accuracies.

  from jaxpower import attach

  run = attach()
  for epoch in range(epochs):
    train_one_epoch()
    with run.phase("eval"):
      accuracy = evaluate()
    if run.report(accuracy=accuracy, examples=seen, loss=loss):
      break

Where no sweep runs the script nothing of this does anything, and `report` is
never true. Nothing is imported here but what Python has loaded anyway, no numpy
and no framework: arrays are waited for by the framework that made them. The
file stands alone, and may be copied beside a script whose Python lacks
jaxpower. What goes over the socket is read in `jaxpower.script.protocol`.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
  import socket
  from collections.abc import Mapping
  from typing import Any

ADDRESS = "JAXPOWER_ATTACH"  # the variable with the path of the sweep's socket

# What a script can be doing. What is in no phase is training.
PHASES = (
  *("setup", "compile", "warmup", "train"),
  *("eval", "test", "infer", "checkpoint", "other"),
)
# The variables by which launchers number the processes of one training.
RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
# Packages whose versions are told, where the script has imported them.
PACKAGES = (
  *("torch", "jax", "jaxlib", "flax", "optax", "numpy", "tensorflow"),
  *("transformers", "lightning", "keras", "equinox", "sklearn"),
)


def attach() -> Run:
  """Returns the `Run` of this script, and says that training begins.

  Call it before the loop: what a process did until then is "setup".
  """
  address = os.environ.get(ADDRESS)
  return Run(_connect(address) if address else None)


class Run:
  """How a script speaks to its sweep; without one it says nothing.

  Attributes:
    active: Whether a sweep runs this script.
  """

  def __init__(self, line: _Line | None = None):
    self._line = line
    self._phase = "train"
    self.active = line is not None
    if line is not None:
      line.say(
        kind="hello",
        at=time.monotonic(),
        rank=_rank(),
        pid=os.getpid(),
        python=sys.version.split()[0],
      )

  def phase(self, name: str, wait: Any = None) -> _Phase:
    """Returns a context manager: what is done in it is `name`, one of PHASES.

    At both edges everything is waited for that a framework has queued, and the
    arrays in `wait`.
    """
    if name not in PHASES:
      raise ValueError(f"no phase is named {name!r}; one of {PHASES}")
    return _Phase(self, name, wait)

  def report(
    self,
    accuracy: Any,
    examples: Any = None,
    loss: Any = None,
    steps: Any = None,
    train_loss: Any = None,
    accuracies: Mapping[str, Any] | None = None,
    wait: Any = None,
  ) -> bool:
    """Says how good the model is; returns whether training is over.

    It is where the target is met by the sweep's rule, the budget is spent, or
    patience is out. In a training of several processes each has to call it;
    what the first says counts, and all are told the same.

    Args:
      accuracy: On the set that is to decide, between 0 and 1.
      examples: Trained on so far, over all processes; repeats count.
      loss: On the same set; one that is not finite ends the trial as diverged.
      steps: Updates so far.
      train_loss: Of training since the report before.
      accuracies: Of each of several tasks, by name.
      wait: Arrays to wait for before the instant is noted.
    """
    if self._line is None:
      return False
    facts = {
      "accuracy": _number(accuracy),
      "examples": _number(examples),
      "loss": _number(loss),
      "steps": _number(steps),
      "train_loss": _number(train_loss),
      "accuracies": {t: _number(a) for t, a in (accuracies or {}).items()},
    }
    _wait_for(wait)
    at = time.monotonic()
    answer = self._line.ask(kind="report", at=at, versions=_versions(), **facts)
    return bool(answer.get("over", True))  # also where the sweep is gone

  def _switch(self, name: str, wait: Any) -> str:
    """Says that another phase begins; returns the one before."""
    before, self._phase = self._phase, name
    if self._line is not None:
      _wait_for(wait)
      self._line.say(kind="phase", name=name, at=time.monotonic())
    return before


class _Phase:
  """A phase while it is entered; the one around it goes on after it."""

  def __init__(self, run: Run, name: str, wait: Any):
    self._run, self._name, self._wait = run, name, wait
    self._before = "train"

  def __enter__(self) -> _Phase:
    self._before = self._run._switch(self._name, self._wait)
    return self

  def __exit__(self, *_: object) -> None:
    self._run._switch(self._before, self._wait)


class _Line:
  """The socket to the sweep; silent once the sweep is gone."""

  def __init__(self, connected: socket.socket):
    self._pid = os.getpid()
    self._socket: socket.socket | None = connected
    self._answers = connected.makefile("rb")

  def say(self, **facts: Any) -> bool:
    """Sends a message; nothing in a forked child, or without a sweep."""
    if self._socket is None or os.getpid() != self._pid:
      return False
    try:
      self._socket.sendall(json.dumps(facts).encode() + b"\n")
    except OSError:
      self._socket = None
    return self._socket is not None

  def ask(self, **facts: Any) -> dict[str, Any]:
    """Sends a message and returns the answer; {} where none can come."""
    if not self.say(**facts):
      return {}
    try:
      answer = self._answers.readline()
      return json.loads(answer) if answer else {}
    except (OSError, ValueError):
      return {}


def _connect(address: str) -> _Line | None:
  """Connects to the sweep; says so and returns None where it is not there.

  As on another machine that was given the same environment.
  """
  import socket

  line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
  try:
    line.connect(address)
  except OSError as error:
    line.close()
    text = f"jaxpower: the sweep cannot be reached ({error}): not attached"
    print(text, file=sys.stderr)
    return None
  return _Line(line)


def _rank() -> int:
  """Returns the number of this process in a training of several."""
  for name in RANKS:
    if os.environ.get(name, "").isdecimal():
      return int(os.environ[name])
  return 0


def _number(value: Any) -> float | None:
  """Converts a number or an array of one, which is waited for; None stays."""
  return None if value is None else float(value)


def _versions() -> dict[str, str]:
  """Returns the versions of those PACKAGES that the script has imported."""
  found = {}
  for name in PACKAGES:
    version = getattr(sys.modules.get(name), "__version__", None)
    if isinstance(version, str):
      found[name] = version
  return found


def _wait_for(arrays: Any) -> None:
  """Waits until devices are done, by the frameworks that are loaded already.

  PyTorch for all that is queued on its GPUs, JAX for all arrays that live. A
  framework that has not opened its devices is not made to.
  """
  torch = sys.modules.get("torch")
  cuda = getattr(torch, "cuda", None)
  if cuda is not None and cuda.is_available() and cuda.is_initialized():
    for device in range(cuda.device_count()):
      cuda.synchronize(device)
  jax = sys.modules.get("jax")
  if jax is not None and hasattr(jax, "block_until_ready"):
    if arrays is not None:
      jax.block_until_ready(arrays)
    if _jax_has_devices():
      jax.block_until_ready([a for a in jax.live_arrays() if _lives(a)])


def _jax_has_devices() -> bool:
  """Whether JAX has opened its devices; false where it does not tell."""
  bridge = sys.modules.get("jax._src.xla_bridge")
  asked = getattr(bridge, "backends_are_initialized", None)
  return asked is not None and asked()


def _lives(array: Any) -> bool:
  return not array.is_deleted()
