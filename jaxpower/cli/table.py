"""What `measure` tells: one document, as JSON and as a table."""

import os
import shlex
import time
from collections.abc import Sequence
from typing import Any

from jaxpower.power import Domain, Energy, Monitor, Window
from jaxpower.wording import quantity, relative_bound

METHODS = {
  "counter": "energy counter",
  "power_instant": "instant power, integrated",
  "power_average": "average power, integrated",
  "model": "modelled from CPU time",
}


def document(
  command: Sequence[str],
  status: int,
  started: float,
  window: Window,
  monitor: Monitor,
  usage: Any,
) -> dict[str, Any]:
  """Everything known about one measured command, in SI units."""
  exited = os.WIFEXITED(status)
  domains = {domain.name: domain for domain in monitor.domains}
  peaks = _peaks(window, monitor)
  rows = [
    _row(
      energy,
      domains[energy.domain],
      window,
      monitor.idle_watts.get(energy.domain),
      peaks.get(energy.domain),
    )
    for energy in (*window.energies, *window.apart)
  ]
  told = monitor.describe()
  return {
    "schema_version": 1,
    "command": list(command),
    "exit_code": os.WEXITSTATUS(status) if exited else None,
    "signal": None if exited else os.WTERMSIG(status),
    "started_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
    "seconds": window.seconds,
    "cpu_seconds": usage.ru_utime + usage.ru_stime,
    "boundary": [energy.domain for energy in window.energies],
    "joules": _value(window.joules, window.joules_bound, window.reasons),
    "estimated": window.estimated,
    "partial": window.partial,
    "domains": rows,
    "not_readable": [_failure(text) for text in told["failures"]],
    "warnings": told["warnings"],
    "meter": told,
  }


def _value(
  value: float | None, bound: float | None, reasons: Sequence[str]
) -> dict[str, Any]:
  if value is None:
    reason = "; ".join(reasons) or "unknown"
    return {"value": None, "low": None, "high": None, "reason": reason}
  low = None if bound is None else max(0.0, value - bound)
  high = None if bound is None else value + bound
  return {"value": value, "low": low, "high": high, "reason": None}


def _peaks(window: Window, monitor: Monitor) -> dict[str, float]:
  """The highest power reading of each domain inside the window."""
  peaks: dict[str, float] = {}
  for sample in monitor.timeline():
    inside = 0 <= sample.seconds - window.start_seconds <= window.seconds
    if inside and sample.watts is not None:
      peaks[sample.domain] = max(sample.watts, peaks.get(sample.domain, 0.0))
  return peaks


def _row(
  energy: Energy,
  domain: Domain,
  window: Window,
  idle_watts: float | None,
  peak_watts: float | None,
) -> dict[str, Any]:
  joules, seconds = energy.joules, window.seconds
  known = joules is not None and seconds > 0
  return {
    "domain": energy.domain,
    "kind": domain.kind,
    "description": domain.description,
    "method": energy.method,
    "estimated": energy.estimated,
    "counted": domain.counted,
    "joules": _value(joules, energy.joules_bound, energy.reasons),
    "mean_watts": joules / seconds if known and joules is not None else None,
    "peak_watts": peak_watts,
    "idle_watts": idle_watts,
    "idle_joules": None if idle_watts is None else idle_watts * seconds,
    "active_joules": None
    if idle_watts is None or joules is None
    else joules - idle_watts * seconds,
    "integral_joules": energy.integral_joules
    if energy.counter_joules is not None
    else None,
    "integral_difference": energy.disagreement,
    "ticks": energy.ticks,
    "partial": energy.partial,
    "reasons": list(energy.reasons),
  }


def _failure(text: str) -> dict[str, str]:
  reason, _, mend = text.partition("; mend: ")
  return {"reason": reason, "mend": mend}


def table(told: dict[str, Any]) -> str:
  """The document as a person reads it."""
  counted = [row for row in told["domains"] if row["counted"]]
  apart = [row for row in told["domains"] if not row["counted"]]
  boundary = " + ".join(_boundary(row) for row in counted)
  lines = [
    "",
    f" Energy of '{shlex.join(told['command'])}'",
    f" boundary: {boundary or 'nothing'}",
    "",
  ]
  for row in counted:
    lines += _domain_lines(row)
  if len(counted) > 1:
    total = told["joules"]
    guess = ", part of it estimated" if told["estimated"] else ""
    text = f"all of the above{guess}"
    lines.append(_line(_joules(total), _bound(total), text))
  for failure in told["not_readable"]:
    lines.append(_line("<not readable>", "", failure["reason"]))
    if failure["mend"]:
      lines.append(_line("", "", f"  mend: {failure['mend']}"))
  lines += _idle_lines(counted)
  for row in apart:
    name = f"not of this job: {_short(row)}"
    lines.append(_line(_joules(row["joules"]), _bound(row["joules"]), name))
  lines.append(
    _line(f"{told['seconds']:.2f} s", "", "elapsed   " + _fate(told))
  )
  notes = [f"{_short(row)}: {r}" for row in counted for r in row["reasons"]]
  lines += [f" Warning: {text}" for text in (*told["warnings"], *notes)]
  if told["estimated"]:
    lines.append(" CPU energy is estimated, not measured.")
  return "\n".join([*lines, ""])


def _line(value: str, bound: str, text: str) -> str:
  return f" {value:>14}  {bound:9}  {text}".rstrip()


def _domain_lines(row: dict[str, Any]) -> list[str]:
  if row["joules"]["value"] is None:
    return [_line("<unknown>", "", f"{_short(row)}: {row['joules']['reason']}")]
  power = f"mean {quantity(row['mean_watts'], 'W')}"
  if row["peak_watts"] is not None:
    power += f"  peak {quantity(row['peak_watts'], 'W')}"
  lines = [
    _line(
      _joules(row["joules"]), _bound(row["joules"]), f"{_short(row)}   {power}"
    )
  ]
  if row["integral_joules"] is not None and row["integral_difference"]:
    integral = quantity(row["integral_joules"], "J")
    difference = 100 * row["integral_difference"]
    lines.append(
      _line("", "", f"  integrated power: {integral} ({difference:+.1f} %)")
    )
  return lines


def _idle_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
  return [
    _line(
      quantity(row["idle_joules"], "J"),
      "",
      f"of {_name(row)} is idle ({quantity(row['idle_watts'], 'W')} before it"
      " began)",
    )
    for row in rows
    if row["idle_joules"] is not None and row["joules"]["value"] is not None
  ]


def _joules(value: dict[str, Any]) -> str:
  if value["value"] is None:
    return "<unknown>"
  return quantity(value["value"], "J")


def _bound(value: dict[str, Any]) -> str:
  if value["value"] is None or value["high"] is None:
    return ""
  return relative_bound(value["high"] - value["value"], value["value"])


def _name(row: dict[str, Any]) -> str:
  return row["domain"][:12] if row["kind"] == "gpu" else row["domain"]


def _short(row: dict[str, Any]) -> str:
  text = f"{_name(row)} ({row['description']})"
  return text + (" estimated" if row["estimated"] else "")


def _boundary(row: dict[str, Any]) -> str:
  kind = {"gpu": "GPU board", "cpu": "CPU", "dram": "DRAM"}[row["kind"]]
  return f"{kind} {_name(row)} ({METHODS[row['method']]})"


def _fate(told: dict[str, Any]) -> str:
  if told["signal"] is not None:
    return f"ended by signal {told['signal']}"
  return f"exit code {told['exit_code']}"
