"""What a sweep and its worker say to each other."""

import dataclasses
from typing import Any

from jaxpower.config import Trial
from jaxpower.records import TrialRecord


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
  """The worker's first word: on what, and with which meter, it will train."""

  platform: str
  device_kind: str
  devices: int
  meter: dict[str, Any]
  warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Refused:
  """The worker cannot work at all: one line says why and how to mend."""

  reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
  """Where the running trial is; numbers not known yet are None."""

  phase: str
  examples: int = 0
  accuracy: float | None = None
  joules: float | None = None


@dataclasses.dataclass(frozen=True)
class Done:
  """The trial is over."""

  record: TrialRecord


@dataclasses.dataclass(frozen=True)
class Task:
  """One trial to run; files go into `folder`."""

  trial: Trial
  varied: dict[str, Any]
  folder: str
