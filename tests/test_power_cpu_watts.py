"""Which CPU this is, and the watts that were published of its family."""

import dataclasses

import pytest

from jaxpower.power import cpu_watts
from jaxpower.power.cpu_watts import (
  CASCADE_LAKE,
  EMERALD_RAPIDS,
  EPYC_2,
  EPYC_3,
  EPYC_4,
  EPYC_5,
  ICE_LAKE,
  NEOVERSE_N1,
  SAPPHIRE_RAPIDS,
  SKYLAKE,
  UNKNOWN,
  Cpu,
  Fit,
  fit_of,
  parse_cpuinfo,
  read_cpu,
)

X86 = """processor : 0
vendor_id : {}
cpu family : {}
model : {}
model name : Some CPU
stepping : {}
flags : fpu vme {}

processor : 1
vendor_id : GenuineIntel
cpu family : 6
model : 63
"""
ARM = "processor : 0\nCPU implementer : 0x41\nCPU part : {}\n"


def fits() -> list[Fit]:
  return [fit for fit in vars(cpu_watts).values() if isinstance(fit, Fit)]


@pytest.mark.parametrize(
  ("vendor", "family", "model", "stepping", "fit"),
  [
    ("GenuineIntel", 6, 85, 4, SKYLAKE),
    ("GenuineIntel", 6, 85, 7, CASCADE_LAKE),
    ("GenuineIntel", 6, 106, 6, ICE_LAKE),
    ("GenuineIntel", 6, 143, 8, SAPPHIRE_RAPIDS),
    ("GenuineIntel", 6, 207, 2, EMERALD_RAPIDS),
    ("AuthenticAMD", 23, 49, 0, EPYC_2),
    ("AuthenticAMD", 25, 1, 1, EPYC_3),
    ("AuthenticAMD", 25, 17, 1, EPYC_4),
    ("AuthenticAMD", 26, 2, 1, EPYC_5),
    ("AuthenticAMD", 25, 33, 0, UNKNOWN),  # a Ryzen
    ("GenuineIntel", 25, 1, 1, UNKNOWN),
    ("AuthenticAMD", "", 1, 1, UNKNOWN),
  ],
)
def test_a_family_is_known_by_its_numbers(
  vendor: str, family: int, model: int, stepping: int, fit: Fit
) -> None:
  text = X86.format(vendor, family, model, stepping, "")
  assert fit_of(parse_cpuinfo(text)) is fit


def test_an_arm_core_is_known_by_its_part() -> None:
  assert fit_of(parse_cpuinfo(ARM.format("0xd0c"))) is NEOVERSE_N1
  assert fit_of(parse_cpuinfo(ARM.format("0xd03"))) is UNKNOWN
  assert fit_of({}) is UNKNOWN


def test_every_fit_has_a_source_and_sensible_watts() -> None:
  assert len(fits()) > 15
  for fit in fits():
    assert "Cloud Carbon Footprint" in fit.source
    # Nothing that was measured draws more than 10 W a thread.
    assert 0.4 < fit.idle_watts < fit.full_watts < 10
    assert fit.threads_per_core in (1, 2)
  assert (EPYC_3.idle_watts, EPYC_3.full_watts) == (0.456, 1.957)
  same_watts = dataclasses.replace(
    EPYC_5, family="EPYC 4th Gen", source=EPYC_4.source
  )
  assert same_watts == EPYC_4


@pytest.mark.parametrize(
  ("siblings", "flags", "threads", "counted"),
  [
    ("0,64", "", 2, 1.0),
    ("0-1", "", 2, 1.0),
    ("0", "", 1, 2.0),  # a core without SMT is two threads of the fit
    ("0", "hypervisor", 1, 1.0),
    (None, "", None, 1.0),
  ],
)
def test_threads_per_core_are_read(
  tmp_path, siblings, flags, threads, counted
) -> None:
  cpuinfo = tmp_path / "cpuinfo"
  cpuinfo.write_text(X86.format("AuthenticAMD", 25, 1, 1, flags))
  if siblings is not None:
    topology = tmp_path / "cpu0" / "topology"
    topology.mkdir(parents=True)
    (topology / "thread_siblings_list").write_text(siblings + "\n")
  cpu = read_cpu(cpuinfo, tmp_path)
  assert cpu.fit is EPYC_3
  assert (cpu.threads_per_core, cpu.threads_counted) == (threads, counted)


def test_a_machine_that_tells_nothing_gets_the_average(tmp_path) -> None:
  cpu = read_cpu(tmp_path / "none", tmp_path / "none")
  assert cpu == Cpu(UNKNOWN, None, False)
  assert UNKNOWN.family == "unknown (average)"
