"""What `measure` knows of one command: a value, and its JSON document.

The value is read twice, each time by one function: `document` makes the JSON of
`measure --json`, `jaxpower.cli.table` the lines on stderr.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.power import Domain, Energy, Monitor, Problem, Window
from jaxpower.power.clocks import Instant, span
from jaxpower.power.cpu_time import usable_cores
from jaxpower.power.load import load_warnings, mean_load
from jaxpower.power.reading import record_line


@dataclass(frozen=True)
class Measurement:
  """One command's window, and what has to be said with its energy.

  `exit_code` is None where a signal ended the command, and `signal` otherwise.
  `started` and `ended` are around the command. Watts and domains are by domain
  name.
  """

  command: tuple[str, ...]
  exit_code: int | None
  signal: int | None
  started: Instant
  ended: Instant
  cpu_seconds: float
  window: Window
  domains: Mapping[str, Domain]
  idle_watts: Mapping[str, float]
  peak_watts: Mapping[str, float]
  failures: tuple[Problem, ...]
  cautions: tuple[Problem, ...]
  meter: dict[str, Any]


def measurement(
  command: Sequence[str],
  status: int,
  started: Instant,
  window: Window,
  monitor: Monitor,
  usage: Any,
) -> Measurement:
  """Collects what is known of a command from its wait status and the monitor.

  `started` is of about the window's start, `usage` is the resource usage that
  `os.wait4` gives.
  """
  exited = os.WIFEXITED(status)
  return Measurement(
    command=tuple(command),
    exit_code=os.WEXITSTATUS(status) if exited else None,
    signal=None if exited else os.WTERMSIG(status),
    started=_later(started, window.start_seconds),
    ended=_later(started, window.start_seconds + window.seconds),
    cpu_seconds=usage.ru_utime + usage.ru_stime,
    window=window,
    domains={domain.name: domain for domain in monitor.domains},
    idle_watts=monitor.idle_watts,
    peak_watts={
      energy.domain: energy.peak_watts
      for energy in (*window.energies, *window.apart)
      if energy.peak_watts is not None
    },
    failures=monitor.failures,
    cautions=monitor.cautions,
    meter=monitor.describe(),
  )


def _later(instant: Instant, monotonic_seconds: float) -> Instant:
  """Returns another instant of the monotonic clock on both clocks."""
  passed = monotonic_seconds - instant.monotonic_seconds
  return Instant(instant.utc_seconds + passed, monotonic_seconds)


def cautions_of(runs: Sequence[Measurement]) -> tuple[Problem, ...]:
  """Lists what one should know of runs of a command, and their mean load."""
  cautions = dict.fromkeys(c for run in runs for c in run.cautions)
  load = mean_load(run.window for run in runs)
  return (*cautions, *load_warnings(load, usable_cores()))


def document(measured: Measurement) -> dict[str, Any]:
  """Returns the JSON of `measure`, in SI units; its keys are stable."""
  window = measured.window
  energies = (*window.energies, *window.apart)
  return {
    "schema_version": 1,
    "command": list(measured.command),
    "exit_code": measured.exit_code,
    "signal": measured.signal,
    **span(measured.started, measured.ended),
    "seconds": window.seconds,
    "other_load_cores": window.load and window.load.other_cores,
    "steal_cores": window.load and window.load.steal_cores,
    "cpu_seconds": measured.cpu_seconds,
    "boundary": [energy.domain for energy in window.energies],
    "joules": _value(window.joules, window.joules_bound, window.reasons),
    "estimated": window.estimated,
    "partial": window.partial,
    "domains": [_row(energy, measured) for energy in energies],
    "not_readable": [
      {"reason": failure.reason, "mend": failure.fix}
      for failure in measured.failures
    ],
    "warnings": [record_line(c) for c in cautions_of([measured])],
    "meter": measured.meter,
  }


def _value(
  value: float | None, bound: float | None, reasons: Sequence[str]
) -> dict[str, Any]:
  if value is None:
    reason = unknown_because(reasons)
    return {"value": None, "low": None, "high": None, "reason": reason}
  low = None if bound is None else max(0.0, value - bound)
  high = None if bound is None else value + bound
  return {"value": value, "low": low, "high": high, "reason": None}


def unknown_because(reasons: Sequence[str]) -> str:
  """Joins the reasons for which a number is missing."""
  return "; ".join(reasons) or "unknown"


def _row(energy: Energy, measured: Measurement) -> dict[str, Any]:
  domain = measured.domains[energy.domain]
  joules, seconds = energy.joules, measured.window.seconds
  idle_watts = measured.idle_watts.get(energy.domain)
  idle_joules = None if idle_watts is None else idle_watts * seconds
  return {
    "domain": energy.domain,
    "kind": domain.kind,
    "description": domain.description,
    "method": energy.method,
    "estimated": energy.estimated,
    "counted": domain.counted,
    "joules": _value(joules, energy.joules_bound, energy.reasons),
    "mean_watts": joules / seconds
    if joules is not None and seconds > 0
    else None,
    "peak_watts": measured.peak_watts.get(energy.domain),
    "idle_watts": idle_watts,
    "idle_joules": idle_joules,
    "active_joules": None
    if idle_joules is None or joules is None
    else joules - idle_joules,
    "integral_joules": energy.integral_joules
    if energy.counter_joules is not None
    else None,
    "integral_difference": energy.disagreement,
    "ticks": energy.ticks,
    "partial": energy.partial,
    "reasons": list(energy.reasons),
  }
