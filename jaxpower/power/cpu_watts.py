"""Watts of a CPU by its family, from published fits; which family this is.

The fits are those of Cloud Carbon Footprint (CCF): for each family the mean
over servers of SPECpower_ssj2008 of the watts at the wall, active idle and at
full load, over their hardware threads. They hold the whole server (memory, fans
and power supply too), and not the package alone.

A family is known by the numbers in /proc/cpuinfo. The name tells less: in
virtual machines it is often "AMD EPYC" or "Intel(R) Xeon(R) Processor".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
CPUS = Path("/sys/devices/system/cpu")

_CCF = "Cloud Carbon Footprint, ccf-coefficients b0032d9 (SPECpower of 2026-03)"
_AWS = f"{_CCF}, output/coefficients-aws-use.csv"
_AVERAGES = f"{_CCF}, tests/test_power_averages.py"
_GRAVITON = f"{_AWS}: Graviton, as EPYC 2nd Gen"
# That file gives the 5th generation 3.68 and 8.96 W, four times any other: its
# list of models ends in empty lines, which match every server of SPECpower.
_5TH_GEN = f"{_AWS}: EPYC 4th Gen, as its 5th Gen is the mean of all servers"
_UNKNOWN = (
  "Cloud Carbon Footprint 0656d55, AwsFootprintEstimationConstants.ts:"
  " MIN_WATTS_AVG, MAX_WATTS_AVG"
)


@dataclass(frozen=True)
class Fit:
  """Watts of a hardware thread of a family, idle and at full load.

  `threads_per_core` is that of the servers that were measured.
  """

  family: str
  idle_watts: float
  full_watts: float
  threads_per_core: int
  source: str


SANDY_BRIDGE = Fit("Sandy Bridge", 2.212, 8.631, 2, _AWS)
IVY_BRIDGE = Fit("Ivy Bridge", 1.707, 5.557, 2, _AWS)
HASWELL = Fit("Haswell", 1.857, 5.595, 2, _AWS)
BROADWELL = Fit("Broadwell", 0.713, 3.685, 2, _AWS)
SKYLAKE = Fit("Skylake", 0.613, 4.104, 2, _AWS)
CASCADE_LAKE = Fit("Cascade Lake", 0.690, 4.063, 2, _AWS)
COFFEE_LAKE = Fit("Coffee Lake", 1.138, 5.422, 2, _AWS)
ICE_LAKE = Fit("Ice Lake", 0.767, 3.758, 2, _AWS)
SAPPHIRE_RAPIDS = Fit("Sapphire Rapids", 1.036, 4.160, 2, _AWS)
EMERALD_RAPIDS = Fit("Emerald Rapids", 0.814, 4.482, 2, _AWS)
GRANITE_RAPIDS = Fit("Granite Rapids", 0.582, 2.527, 2, _AWS)
EPYC_1 = Fit("EPYC 1st Gen", 0.847, 2.604, 2, _AWS)
EPYC_2 = Fit("EPYC 2nd Gen", 0.474, 1.693, 2, _AWS)
EPYC_3 = Fit("EPYC 3rd Gen", 0.456, 1.957, 2, _AWS)
EPYC_4 = Fit("EPYC 4th Gen", 0.739, 2.282, 2, _AWS)
EPYC_5 = Fit("EPYC 5th Gen", 0.739, 2.282, 2, _5TH_GEN)
NEOVERSE_N1 = Fit("Neoverse N1", 0.74, 1.71, 1, _AVERAGES)
NEOVERSE_V1 = Fit("Neoverse V1", 0.474, 1.693, 1, _GRAVITON)
NEOVERSE_V2 = Fit("Neoverse V2", 0.474, 1.693, 1, _GRAVITON)
UNKNOWN = Fit("unknown (average)", 0.74, 3.5, 2, _UNKNOWN)

# By "cpu family" and "model" in /proc/cpuinfo, as Linux names them
# (arch/x86/include/asm/intel-family.h, arch/x86/kernel/cpu/amd.c).
INTEL = {
  (6, 42): SANDY_BRIDGE,
  (6, 45): SANDY_BRIDGE,
  (6, 58): IVY_BRIDGE,
  (6, 62): IVY_BRIDGE,
  (6, 60): HASWELL,
  (6, 63): HASWELL,
  (6, 61): BROADWELL,
  (6, 71): BROADWELL,
  (6, 79): BROADWELL,
  (6, 86): BROADWELL,
  (6, 85): SKYLAKE,
  (6, 94): SKYLAKE,
  (6, 158): COFFEE_LAKE,
  (6, 106): ICE_LAKE,
  (6, 108): ICE_LAKE,
  (6, 143): SAPPHIRE_RAPIDS,
  (6, 207): EMERALD_RAPIDS,
  (6, 173): GRANITE_RAPIDS,
  (6, 174): GRANITE_RAPIDS,
}
CASCADE_LAKE_STEPPINGS = (5, 6, 7)  # of the model that Skylake has too
AMD = {
  (23, 1): EPYC_1,
  (23, 49): EPYC_2,
  (25, 1): EPYC_3,
  (25, 17): EPYC_4,
  (25, 160): EPYC_4,
  (26, 2): EPYC_5,
  (26, 17): EPYC_5,
}
ARM = {0xD0C: NEOVERSE_N1, 0xD40: NEOVERSE_V1, 0xD4F: NEOVERSE_V2}


@dataclass(frozen=True)
class Cpu:
  """What this machine says of its CPU.

  `threads_per_core` is None where it is not told. In a `virtual` machine it is
  what the host chose to show.
  """

  fit: Fit
  threads_per_core: int | None
  virtual: bool

  @property
  def threads_counted(self) -> float:
    """How many of the fit's hardware threads one logical core stands for.

    Two on a machine whose fit has two threads a core and which runs one. A
    core of a virtual machine is taken as one hardware thread, which is what
    clouds sell, whatever it shows.
    """
    if self.virtual or not self.threads_per_core:
      return 1.0
    return self.fit.threads_per_core / self.threads_per_core


def read_cpu(cpuinfo: Path = CPUINFO, cpus: Path = CPUS) -> Cpu:
  """Reads which CPU this machine has; UNKNOWN where nothing tells."""
  try:
    facts = parse_cpuinfo(cpuinfo.read_text())
  except OSError:
    facts = {}
  virtual = "hypervisor" in facts.get("flags", "").split()
  return Cpu(fit_of(facts), _threads_per_core(cpus), virtual)


def parse_cpuinfo(text: str) -> dict[str, str]:
  """Reads what /proc/cpuinfo says of its first CPU."""
  first = text.strip().split("\n\n")[0]
  pairs = (line.partition(":") for line in first.splitlines())
  return {key.strip(): value.strip() for key, _, value in pairs}


def fit_of(facts: Mapping[str, str]) -> Fit:
  """Finds the fit of a CPU by its facts; UNKNOWN for any that has none."""
  try:
    if facts.get("CPU implementer") == "0x41":  # Arm's own cores
      return ARM.get(int(facts["CPU part"], 16), UNKNOWN)
    key = int(facts["cpu family"]), int(facts["model"])
    stepping = int(facts.get("stepping", 0))
  except (KeyError, ValueError):
    return UNKNOWN
  vendor = facts.get("vendor_id")
  if vendor == "AuthenticAMD":
    return AMD.get(key, UNKNOWN)
  if vendor != "GenuineIntel":
    return UNKNOWN
  if key == (6, 85) and stepping in CASCADE_LAKE_STEPPINGS:
    return CASCADE_LAKE
  return INTEL.get(key, UNKNOWN)


def _threads_per_core(cpus: Path) -> int | None:
  """Counts the threads of the first core: "0,64" and "0-1" are two."""
  try:
    text = (cpus / "cpu0" / "topology" / "thread_siblings_list").read_text()
    ranges = [part.split("-") for part in text.strip().split(",")]
    return sum(int(ends[-1]) - int(ends[0]) + 1 for ends in ranges)
  except (OSError, ValueError):
    return None
