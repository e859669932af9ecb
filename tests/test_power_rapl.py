"""RAPL against a sysfs tree made for the test."""

import os

import pytest

from jaxpower.power.rapl import FIX, RaplSource, find_zones
from jaxpower.power.reading import MeterError

RANGE = 262_143_328_850


def zone(root, folder, name, microjoules, limit=RANGE):
  path = root / folder
  path.mkdir()
  (path / "name").write_text(name + "\n")
  (path / "energy_uj").write_text(f"{microjoules}\n")
  (path / "max_energy_range_uj").write_text(f"{limit}\n")
  return path


@pytest.fixture
def tree(tmp_path):
  zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
  zone(tmp_path, "intel-rapl:0:0", "core", 1)
  zone(tmp_path, "intel-rapl:0:1", "dram", 500_000)
  zone(tmp_path, "intel-rapl:1", "package-1", 2_000_000)
  zone(tmp_path, "intel-rapl:2", "psys", 9_000_000)
  zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000)
  return tmp_path


def test_packages_and_dram_are_found_and_nothing_is_counted_twice(tree):
  source = RaplSource(tree)
  assert [d.name for d in source.domains] == ["cpu-0", "dram-0", "cpu-1"]
  assert [d.kind for d in source.domains] == ["cpu", "dram", "cpu"]
  source.close()


def test_microjoules_become_joules_since_the_first_read(tree):
  source = RaplSource(tree)
  source.read()
  (tree / "intel-rapl:0" / "energy_uj").write_text("3500000\n")
  package, dram, _ = source.read()
  assert package.joules == pytest.approx(2.5)
  assert dram.joules == 0.0
  source.close()


def test_a_wrapped_counter_goes_on(tree):
  energy = tree / "intel-rapl:0" / "energy_uj"
  energy.write_text(str(RANGE - 1_000_000))
  source = RaplSource(tree)
  source.read()
  energy.write_text("2000000")
  assert source.read()[0].joules == pytest.approx(3.0)
  source.close()


def test_a_counter_unread_for_long_begins_anew(tree):
  energy = tree / "intel-rapl:0" / "energy_uj"
  source = RaplSource(tree)
  source.read()
  energy.write_text("9000000")
  assert source.read()[0].joules == pytest.approx(8.0)
  source._last_seconds[0] -= 600.0  # the machine slept for ten minutes
  energy.write_text("20000000")
  assert source.read()[0].joules == 0.0
  source.close()


def test_a_vanished_counter_is_a_failed_reading_not_zero(tree):
  source = RaplSource(tree)
  source.read()
  (tree / "intel-rapl:0" / "energy_uj").write_text("")
  reading = source.read()[0]
  assert reading.joules is None and reading.failure
  source.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied_names_the_command(tree):
  (tree / "intel-rapl:0:1" / "energy_uj").chmod(0)
  zones, denied = find_zones(tree)
  assert len(zones) == 2 and denied[0].fix == FIX


def test_denied_counters_give_the_fix(tree, monkeypatch):
  def read_text(path):
    if path.name == "energy_uj":
      raise PermissionError(13, "Permission denied")
    return path.read_bytes().decode()

  monkeypatch.setattr("pathlib.Path.read_text", read_text)
  zones, denied = find_zones(tree)
  assert not zones
  assert {d.name for d in denied} == {"cpu-0", "dram-0", "cpu-1"}
  with pytest.raises(MeterError, match="sudo chmod a\\+r"):
    RaplSource(tree)


def test_a_machine_without_rapl_says_so(tmp_path):
  with pytest.raises(MeterError, match="modprobe"):
    RaplSource(tmp_path)


def test_links_into_nothing_are_those_of_a_container(tmp_path):
  # With /sys/class/powercap alone mounted into it.
  root = tmp_path / "class" / "powercap"
  root.mkdir(parents=True)
  for name in ("intel-rapl", "intel-rapl:0", "intel-rapl:1"):
    target = f"../../devices/virtual/powercap/intel-rapl/{name}"
    (root / name).symlink_to(target)
  with pytest.raises(MeterError) as caught:
    RaplSource(root)
  mount = tmp_path / "devices" / "virtual" / "powercap"
  problem = caught.value.problem
  assert f"2 RAPL zones that are links into {mount}" in problem.reason
  assert f"-v {mount}:{mount}:ro" in problem.fix
