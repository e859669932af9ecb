"""What a coordinator and its workers say to each other."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Join:
  """Join the group whose coordination service is at `address`."""

  address: str


@dataclasses.dataclass(frozen=True)
class Made:
  """Stands for what the call of a number made, in the process that reads it."""

  number: int


@dataclasses.dataclass(frozen=True)
class Call:
  """Call a function of the wing; keep what it makes under `number`.

  `forget` are the numbers of what no call will name any more.
  """

  number: int
  name: str
  arguments: tuple[Any, ...]
  forget: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Done:
  """All arrays that a call made are computed on this process's device."""

  number: int


@dataclasses.dataclass(frozen=True)
class Failed:
  """Why a call failed, in one line; the process ends."""

  line: str


@dataclasses.dataclass(frozen=True)
class Said:
  """The answer to a message that is not of training."""

  answer: Any


@dataclasses.dataclass(frozen=True)
class Alive:
  """A sign of life."""
