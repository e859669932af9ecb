"""CPU packages and DRAM through RAPL, the kernel's powercap files.

The counter wraps at `max_energy_range_uj`: after a quarter of an hour at full
power on many machines. Every read adds what came since the last one, through
one wrap; after a silence in which it may have gone all the way round it begins
anew, which shows as a reset. Since CVE-2020-8694 only root may read it, unless
told otherwise.
"""

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from jaxpower.power.reading import (
  Domain,
  Kind,
  MeterError,
  Problem,
  Reading,
)

POWERCAP = Path("/sys/class/powercap")
FIX = "sudo chmod a+r /sys/class/powercap/intel-rapl*/energy_uj"
NO_COUNTER_FIX = "load the kernel module (sudo modprobe intel_rapl_msr)"
# Virtual machines and some firmware show counters that never move.
STILL = "the counter does not move"
STILL_FIX = "measure on the machine itself"
MAX_WATTS = 2000.0  # chosen: above any CPU package or its memory
UPDATE_SECONDS = 1e-3  # about, by Intel's Software Developer's Manual


@dataclass(frozen=True)
class Zone:
  """One RAPL counter: its domain, its folder, its range in microjoules."""

  domain: Domain
  folder: Path
  range_microjoules: int


@dataclass(frozen=True)
class Denied:
  """A counter that is there and cannot be read, with the fix."""

  name: str
  reason: str
  fix: str

  @property
  def problem(self) -> Problem:
    """The same, as one reason and its fix."""
    return Problem(f"RAPL {self.name}: {self.reason}", self.fix)


def find_zones(
  root: Path = POWERCAP,
) -> tuple[tuple[Zone, ...], tuple[Denied, ...]]:
  """Finds the readable packages and DRAMs, and the ones that are not.

  core and uncore lie inside the package, psys around it: adding them would
  count twice. The memory-mapped copy (intel-rapl-mmio) is the same counter.
  """
  zones: list[Zone] = []
  denied: list[Denied] = []
  for folder in sorted(root.glob("intel-rapl:*")):
    try:
      label = (folder / "name").read_text().strip()
    except OSError:
      continue
    parts = folder.name.split(":")
    if label.startswith("package-") and len(parts) == 2:
      kind: Kind = "cpu"
      name = "cpu-" + label.removeprefix("package-")
      description = f"CPU package {label.removeprefix('package-')} (RAPL)"
    elif label == "dram":
      kind = "dram"
      name = "dram-" + _package_of(root / ":".join(parts[:2]), parts[1])
      description = f"DRAM of package {name.removeprefix('dram-')} (RAPL)"
    else:
      continue
    try:
      int((folder / "energy_uj").read_text())
      range_microjoules = int((folder / "max_energy_range_uj").read_text())
    except PermissionError:
      denied.append(Denied(name, "permission denied", FIX))
      continue
    except (OSError, ValueError) as error:
      reason = f"{folder.name} does not answer: {error}"
      denied.append(Denied(name, reason, "check the powercap driver: dmesg"))
      continue
    domain = Domain(
      name,
      kind,
      "counter",
      description,
      max_watts=MAX_WATTS,
      update_seconds=UPDATE_SECONDS,
    )
    zones.append(Zone(domain, folder, range_microjoules))
  return tuple(zones), tuple(denied)


def _package_of(folder: Path, default: str) -> str:
  """Reads the number of the package that a DRAM belongs to."""
  try:
    return (folder / "name").read_text().strip().removeprefix("package-")
  except OSError:
    return default


def _no_counter(root: Path) -> MeterError:
  """Says why there is no zone; links into nothing are those of a container."""
  links = [path for path in root.glob("intel-rapl:*") if not path.exists()]
  if not links:
    return MeterError(f"no RAPL counter under {root}", NO_COUNTER_FIX)
  # As the kernel has it: ../../devices/virtual/powercap/intel-rapl/...
  target = Path(os.path.realpath(links[0]))
  mount = next((p for p in target.parents if p.name == "powercap"), target)
  return MeterError(
    f"{root} has {len(links)} RAPL zones that are links into {mount}, which is"
    " not here",
    f"mount it into the container too (-v {mount}:{mount}:ro); a runtime that"
    " hides it shows it with --security-opt systempaths=unconfined (Docker) or"
    " unmask=ALL (Podman)",
  )


class RaplSource:
  """All readable packages and DRAMs. Raises MeterError when there is none."""

  def __init__(self, root: Path = POWERCAP):
    zones, self.denied = find_zones(root)
    if not zones:
      if self.denied:
        problem = self.denied[0].problem
        raise MeterError(problem.reason, problem.fix)
      raise _no_counter(root)
    self._zones = zones
    self._files = [
      open(zone.folder / "energy_uj", "rb", 0)  # noqa: SIM115 - until close
      for zone in zones
    ]
    self._last: list[int | None] = [None] * len(zones)
    self._total = [0] * len(zones)
    self._last_seconds = [0.0] * len(zones)

  def leave_out_still(self, names: Collection[str]) -> None:
    """Leaves out the counters that are known to stand still.

    A package that stands still beside one that moves stays, so that the sum is
    unknown and not too small. Raises MeterError when no package moves.
    """
    still = [zone for zone in self._zones if zone.domain.name in names]
    packages = [z.domain.name for z in self._zones if z.domain.kind == "cpu"]
    if still and all(name in names for name in packages):
      self.close()
      what = ", ".join(zone.domain.name for zone in still)
      raise MeterError(f"RAPL {what}: {STILL}", STILL_FIX)
    denied = [Denied(z.domain.name, STILL, STILL_FIX) for z in still]
    self.denied = (*self.denied, *denied)
    kept = [
      i
      for i, zone in enumerate(self._zones)
      if zone not in still or zone.domain.kind == "cpu"
    ]
    for i in set(range(len(self._zones))) - set(kept):
      self._files[i].close()
    self._zones = tuple(self._zones[i] for i in kept)
    self._files = [self._files[i] for i in kept]
    self._last = [self._last[i] for i in kept]
    self._total = [self._total[i] for i in kept]
    self._last_seconds = [self._last_seconds[i] for i in kept]

  @property
  def domains(self) -> tuple[Domain, ...]:
    """The packages and DRAMs."""
    return tuple(zone.domain for zone in self._zones)

  def read(self) -> list[Reading]:
    """Reads the joules since the first read, through every wrap."""
    return [self._read(i) for i in range(len(self._zones))]

  def _read(self, i: int) -> Reading:
    zone, file = self._zones[i], self._files[i]
    name = zone.domain.name
    begin = time.monotonic()
    try:
      file.seek(0)
      raw = int(file.read())
    except (OSError, ValueError) as error:
      return Reading(name, begin, time.monotonic(), failure=str(error))
    end = time.monotonic()
    last, silence = self._last[i], end - self._last_seconds[i]
    self._last_seconds[i] = end
    if last is not None and silence * MAX_WATTS > zone.range_microjoules * 1e-6:
      # It may have wrapped unseen (a suspended machine): begin anew, which
      # shows as a reset and makes the windows over it unknown.
      self._total[i] = 0
    elif last is not None:
      step = raw - last
      self._total[i] += step if step >= 0 else step + zone.range_microjoules
    self._last[i] = raw
    return Reading(name, begin, end, self._total[i] * 1e-6)

  def describe(self) -> dict[str, object]:
    """Describes the ranges, and what could not be read."""
    return {
      "source": "rapl",
      "wraps_at_joules": {
        zone.domain.name: zone.range_microjoules * 1e-6 for zone in self._zones
      },
      "not_readable": [
        {"name": denied.name, "reason": denied.reason, "mend": denied.fix}
        for denied in self.denied
      ],
    }

  def close(self) -> None:
    """Closes the files."""
    for file in self._files:
      file.close()
