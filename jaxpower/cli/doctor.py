"""`doctor`: what can be measured here, and how to fix what cannot."""

import json
import os
from collections.abc import Sequence
from typing import Any

from jaxpower.cli.check import Check, Level, as_json, show
from jaxpower.cli.machine import (
  check_data,
  check_disk,
  check_frameworks,
  check_load,
  check_slots,
  check_threads,
  check_versions,
)
from jaxpower.machine import look, versions_of
from jaxpower.power import Domain, Monitor, Problem
from jaxpower.power.cpu_time import usable_cores
from jaxpower.power.devices import Board, VisibleDevice, visible_devices
from jaxpower.power.load import load_warnings

IDLE_SECONDS = 0.5  # in which each sensor shows itself; the watts "now"
EXAMPLE_SECONDS = 5.0  # the window whose accuracy is told
# Half width of the 95 % bound, in ticks of a window's mean power: 0.14 to 0.18
# in windows of 0.5 s and more (benchmarks/meter_accuracy.json: mean_error times
# bound_over_error times the window's seconds over the counter's period).
TICKS_OF_DOUBT = 0.15


def run(*, json_wanted: bool = False) -> int:
  """Prints the checks; returns 1 when nothing can be measured."""
  with Monitor("auto", estimate_of="machine") as monitor:
    load = monitor.measure_idle(IDLE_SECONDS).load
    description = monitor.describe()
    domains = monitor.domains
    failures, cautions = monitor.failures, monitor.cautions
  here, cores = look(), usable_cores()
  devices = map_devices(here.boards)
  checks = [
    *check_sensors(description["domains"], domains, devices),
    *check_problems(failures, cautions),
    *check_visible(devices),
    *check_slots(here),
    *check_frameworks(here, os.environ),
    *check_versions(here),
    *check_disk(),
    *check_data(os.environ),
    *check_threads(os.environ, cores),
    *check_load(load_warnings(load, cores), cores),
  ]
  measured = any(not d.estimated for d in domains if d.counted)
  if json_wanted:
    document = {
      "schema_version": 1,
      "measured": measured,
      "checks": [as_json(check) for check in checks],
      "devices": devices,
      "slots": list(here.slots),
      "versions": versions_of(here),
      "meter": description,
    }
    print(json.dumps(document, indent=1))
  else:
    show(checks, measured)
  return 0 if measured else 1


def map_devices(boards: Sequence[Board]) -> list[dict[str, Any]]:
  """Maps every board: its NVML index, UUID, PCI address and CUDA indices.

  These are worked out from the environment; a worker asks CUDA.
  """
  visible, _ = visible_devices(boards)
  return [_device(board, visible) for board in boards]


def _device(board: Board, visible: Sequence[VisibleDevice]) -> dict[str, Any]:
  return {
    "uuid": board.uuid or None,
    "lost": bool(board.lost),
    "name": board.name,
    "pci": board.pci or None,
    "nvml_index": board.index,
    "visible_as": [d.index for d in visible if d.board.uuid == board.uuid],
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
    checks.append(_check_sensor(entry, domain, where))
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
  variable = os.environ.get("CUDA_VISIBLE_DEVICES")
  some_visible = any(device["visible_as"] for device in devices)
  if not devices or variable is None or some_visible:
    return []
  finding = f"CUDA_VISIBLE_DEVICES={variable!r} hides every GPU"
  fix = "unset CUDA_VISIBLE_DEVICES"
  return [Check("warn", "no GPU visible", finding, fix)]


def _where(device: dict[str, Any]) -> str:
  indices = ", ".join(str(index) for index in device["visible_as"])
  visible = (
    f"visible as {indices}" if indices else "not visible to this process"
  )
  return f"{device['name']}, {visible}, PCI {device['pci']}"


def _check_sensor(entry: dict[str, Any], domain: Domain, where: str) -> Check:
  """Judges a domain by its method and by the rhythm of its sensor."""
  if domain.estimated:
    return Check("warn", domain.name, _estimated(entry, domain))
  sensor = entry["sensor"]
  period = sensor["counter_period_seconds"]
  facts = [where]
  level: Level = "ok"
  if domain.method == "counter" and period is not None:
    if sensor["counter_continuous"]:
      facts.append("energy counter always fresh")
    else:
      facts.append(f"energy counter every {period * 1e3:.3g} ms")
      bound = TICKS_OF_DOUBT * period / EXAMPLE_SECONDS
      window = f"a window of {EXAMPLE_SECONDS:g} s"
      facts.append(f"{window} is good to {100 * bound:.1g} %")
  elif domain.method == "counter":
    level = "warn"
    facts.append("its energy counter has not moved")
  else:
    level = "warn"
    facts.append(f"no energy counter, {domain.method.replace('_', ' ')} only")
  power_period = sensor["power_period_seconds"]
  if power_period and domain.kind == "gpu":
    facts.append(f"power every {power_period * 1e3:.3g} ms")
  if sensor["read_seconds_mean"]:
    facts.append(f"a read takes {sensor['read_seconds_mean'] * 1e3:.2g} ms")
  idle = entry["idle_watts"]
  if idle is not None:
    facts.append(f"{idle:.3g} W now")
  return Check(level, domain.name, "; ".join(facts))


def _estimated(entry: dict[str, Any], domain: Domain) -> str:
  """Says of what a domain is an estimate, by which watts, and the watts now."""
  facts = [f"{domain.description}: estimated, not measured"]
  if assumed := entry.get("assumptions"):
    idle, busy = assumed["idle_watts_per_core"], assumed["busy_watts_per_core"]
    facts.append(
      f"CPU family {assumed['family']}: {idle:.3g} W a core, {busy:.3g} W more"
      " when it is busy"
    )
  if entry["idle_watts"] is not None:
    facts.append(f"{entry['idle_watts']:.3g} W now")
  return "; ".join(facts)
