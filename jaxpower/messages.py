"""Defines what a sweep and its worker send to each other.

The worker sends `Ready`, or `Refused` and ends. To `Check` it answers with
`Checked`. For each `Task` that the sweep
then sends it sends any number of `Progress`, and `Done` or, where the sweep
sent `Stop`, perhaps `Stopped`. `Alive` comes every few seconds, whatever else
does.
"""

import dataclasses
from typing import Any

from jaxpower.config import Sweep, Trial
from jaxpower.records import TrialRecord


class TrialError(Exception):
  """A trial that can make no record, for a known reason: one line says it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
  """The devices and the meter of a worker that has started.

  `devices` counts the devices, all of the same `platform` and `device_kind`;
  where a launcher started a process for each, on one or more hosts, `launched`.
  `meter` is the description of the monitor, as a record holds it.
  """

  platform: str
  device_kind: str
  devices: int
  meter: dict[str, Any]
  warnings: tuple[str, ...] = ()
  launched: bool = False


@dataclasses.dataclass(frozen=True)
class Refused:
  """Why a worker cannot run any trial: one line with the fix."""

  reason: str


@dataclasses.dataclass(frozen=True)
class Check:
  """Asks whether a trial's network, which is the user's, can be trained.

  `facts` are those of its data set.
  """

  trial: Trial
  facts: Any


@dataclasses.dataclass(frozen=True)
class Checked:
  """What is wrong with it, in one line; "" if nothing."""

  reason: str


@dataclasses.dataclass(frozen=True)
class Task:
  """A trial to run; its files go into the run folder `folder`.

  Programs that no trial of the worker compiled are compiled `compile_repeats`
  times; a checkpoint is written every `checkpoint_minutes`. So many trials as
  `at_once` run on this machine, this one on cores of its own if `own_cores`;
  where it uses some of its cores only, there are `cores` (0: it uses all). A
  command is ended after `timeout_seconds`; 0: never.
  """

  trial: Trial
  varied: dict[str, Any]
  folder: str
  compile_repeats: int = 1
  checkpoint_minutes: float = Sweep.checkpoint_minutes
  at_once: int = 1
  own_cores: bool = False
  cores: int = 0
  timeout_seconds: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
  """How far the running trial is; numbers not known yet are None.

  `examples`, `joules` and `seconds` count training only.
  """

  phase: str
  examples: int = 0
  accuracy: float | None = None
  joules: float | None = None
  seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Alive:
  """A sign of life."""


@dataclasses.dataclass(frozen=True)
class Notice:
  """A line that whoever runs the sweep should read at once."""

  line: str


@dataclasses.dataclass(frozen=True)
class Stop:
  """Asks for the end of the running trial, at the next point where it can."""


@dataclasses.dataclass(frozen=True)
class Stopped:
  """The end of a trial that was asked to stop: it has no record yet."""


@dataclasses.dataclass(frozen=True)
class Done:
  """The end of a trial, with its record.

  `renew`: the worker ends now, and a new one is to run the next trial.
  """

  record: TrialRecord
  renew: bool = False
