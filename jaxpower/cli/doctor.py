"""`doctor`: what can be measured here, and how to fix what cannot."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxpower.cli.paint import console
from jaxpower.power import Domain, MeterError, Monitor, Problem
from jaxpower.power.devices import Board, list_boards, visible_devices
from jaxpower.power.nvml import start_nvml, stop_nvml

Level = Literal["ok", "warn", "fail"]
STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}
EXAMPLE_SECONDS = 5.0


@dataclass(frozen=True)
class Check:
  """One line of the doctor's: what was looked at, the finding, its fix."""

  level: Level
  what: str
  finding: str
  fix: str = ""


def run(*, as_json: bool = False) -> int:
  """Prints the checks; 1 when nothing can be measured."""
  with Monitor("auto") as monitor:
    monitor.measure_idle(0.5)
    description = monitor.describe()
    domains = monitor.domains
    failures, cautions = monitor.failures, monitor.cautions
  devices = map_devices()
  checks = [
    *check_sensors(description["domains"], domains, devices),
    *check_problems(failures, cautions),
    *check_visible(devices),
  ]
  measured = any(not d.estimated for d in domains if d.counted)
  if as_json:
    document = {
      "schema_version": 1,
      "measured": measured,
      "checks": [
        {
          "level": check.level,
          "what": check.what,
          "finding": check.finding,
          "mend": check.fix,
        }
        for check in checks
      ],
      "devices": devices,
      "meter": description,
    }
    print(json.dumps(document, indent=1))
    return 0 if measured else 1
  show(checks, measured)
  return 0 if measured else 1


def map_devices() -> list[dict[str, Any]]:
  """Every board: its NVML index, UUID, PCI address and CUDA indices."""
  try:
    start_nvml()
  except MeterError:
    return []
  try:
    boards = list_boards()
    devices, _ = visible_devices(boards)
    return [_device(board, devices) for board in boards]
  finally:
    stop_nvml()


def _device(board: Board, devices: Any) -> dict[str, Any]:
  return {
    "uuid": board.uuid,
    "name": board.name,
    "pci": board.pci,
    "nvml_index": board.index,
    "visible_as": [d.index for d in devices if d.board.uuid == board.uuid],
    "mig": board.mig,
    "mig_uuids": list(board.slices),
  }


def check_sensors(
  described: Sequence[dict[str, Any]],
  domains: Sequence[Domain],
  devices: Sequence[dict[str, Any]],
) -> list[Check]:
  """Checks each domain's sensor: the job's first, then the GPUs apart."""
  # As `Monitor.domains` is sorted; both sorts are stable.
  described = sorted(described, key=lambda entry: not entry["counted"])
  by_uuid = {device["uuid"]: device for device in devices}
  checks = []
  for entry, domain in zip(described, domains, strict=True):
    device = by_uuid.get(domain.name)
    where = _where(device) if device else domain.description
    checks.append(_sensor_check(entry, domain, where))
  return checks


def check_problems(
  failures: Sequence[Problem], cautions: Sequence[Problem]
) -> list[Check]:
  """Lists what cannot be read, then what one should know of the rest."""
  return [
    *(Check("fail", "not readable", p.reason, p.fix) for p in failures),
    *(Check("warn", "note", p.reason, p.fix) for p in cautions),
  ]


def check_visible(devices: Sequence[dict[str, Any]]) -> list[Check]:
  """Warns where there are GPUs and the environment hides all of them."""
  visible = os.environ.get("CUDA_VISIBLE_DEVICES")
  hidden = not any(device["visible_as"] for device in devices)
  if not devices or visible is None or not hidden:
    return []
  return [
    Check(
      "warn",
      "no GPU visible",
      f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU",
      "unset CUDA_VISIBLE_DEVICES",
    )
  ]


def _where(device: dict[str, Any]) -> str:
  seen = ", ".join(str(index) for index in device["visible_as"])
  visible = f"visible as {seen}" if seen else "not visible to this process"
  return f"{device['name']}, {visible}, PCI {device['pci']}"


def _sensor_check(entry: dict[str, Any], domain: Domain, where: str) -> Check:
  if domain.estimated:
    text = f"{domain.description}: estimated, not measured"
    return Check("warn", domain.name, text)
  sensor = entry["sensor"]
  period = sensor["counter_period_seconds"]
  parts = [where]
  level: Level = "ok"
  if domain.method == "counter" and period is not None:
    if sensor["counter_continuous"]:
      parts.append("energy counter always fresh")
    else:
      parts.append(f"energy counter every {period * 1e3:.3g} ms")
      good = 0.15 * period / EXAMPLE_SECONDS  # benchmarks/meter_accuracy.json
      parts.append(f"a window of 5 s is good to {100 * good:.1g} %")
  elif domain.method == "counter":
    level = "warn"
    parts.append("its energy counter has not moved")
  else:
    level = "warn"
    parts.append(f"no energy counter, {domain.method.replace('_', ' ')} only")
  power = sensor["power_period_seconds"]
  if power and domain.kind == "gpu":
    parts.append(f"power every {power * 1e3:.3g} ms")
  if sensor["read_seconds_mean"]:
    parts.append(f"a read takes {sensor['read_seconds_mean'] * 1e3:.2g} ms")
  idle = entry["idle_watts"]
  if idle is not None:
    parts.append(f"{idle:.3g} W now")
  return Check(level, domain.name, "; ".join(parts))


def show(checks: list[Check], measured: bool) -> None:
  """Prints one line a check, its fix under it."""
  out = console(sys.stdout)
  for check in checks:
    tag = f"[{check.level}]"
    out.print(f" {tag:7}", style=STYLES[check.level], end="")
    name = check.what[:12] if check.what.startswith("GPU-") else check.what
    out.print(f" {name:13} {check.finding}")
    if check.fix:
      out.print(f" {'':7} {'':13} mend: {check.fix}")
  if not measured:
    out.print(" Nothing can be measured here; energy would be estimated.")
