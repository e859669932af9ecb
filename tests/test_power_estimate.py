"""The CPU model: what it counts and that it is labelled."""

import subprocess
import sys
import time

import pytest

from jaxpower.power import Monitor
from jaxpower.power.cpu_time import MachineTime, usable_cores
from jaxpower.power.cpu_watts import EPYC_3, Cpu
from jaxpower.power.estimate import CpuModel, EstimateSource, cpu_model


def burn(seconds):
  end = time.process_time() + seconds
  while time.process_time() < end:
    pass


def test_joules_are_idle_watts_and_busy_watts_of_the_assumptions():
  source = EstimateSource(CpuModel(10.0, 2.0, cores=4))
  first = source.read()[0]
  cpu = time.process_time()
  burn(0.1)
  cpu = time.process_time() - cpu
  second = source.read()[0]
  assert first.joules is not None and second.joules is not None
  seconds = second.begin - first.begin
  expected = 2.0 * 4 * seconds + 10.0 * cpu
  assert second.joules - first.joules == pytest.approx(expected, rel=0.1)


def test_a_model_is_its_fit_times_the_threads_of_a_core():
  model = cpu_model(Cpu(EPYC_3, 2, virtual=False), 64)
  assert model.idle_watts_per_core == 0.456
  assert model.busy_watts_per_core == pytest.approx(1.501)
  alone = cpu_model(Cpu(EPYC_3, 1, virtual=False), 32)
  assert alone.idle_watts_per_core == 0.912
  assert alone.busy_watts_per_core == pytest.approx(3.002)
  # Both are the same server.
  for machine in (model, alone):
    watts = machine.idle_watts_per_core + machine.busy_watts_per_core
    assert watts * machine.cores == pytest.approx(125.248)


def test_every_number_is_labelled_estimated():
  with Monitor("estimate") as monitor:
    monitor.measure("train", burn, 0.05)
  (window,) = monitor.windows()
  assert window.estimated and window.energies[0].estimated
  assert window.joules is not None and window.joules_bound is None
  description = monitor.describe()
  assert description["estimated"] is True
  (domain,) = description["domains"]
  assert domain["domain"] == "cpu-estimate"
  assert "of this process and its children" in domain["description"]
  assumptions = domain["assumptions"]
  assert assumptions["cores"] == usable_cores()
  assert assumptions["counts"] == "CPU time of this process and its children"
  assert "Cloud Carbon Footprint" in assumptions["source"]
  assert {"family", "threads_per_core", "covers"} <= set(assumptions)


def test_busy_costs_more_than_idle():
  with Monitor([EstimateSource(CpuModel(4.0, 1.0, cores=2))]) as monitor:
    monitor.measure("idle", time.sleep, 0.2)
    monitor.measure("busy", burn, 0.2)
  idle, busy = monitor.windows()
  assert idle.watts is not None and busy.joules is not None
  # 0.2 CPU seconds at 4 W, however long they took.
  assert busy.joules - idle.watts * busy.seconds == pytest.approx(0.8, abs=0.3)


def test_a_machine_is_billed_what_others_do(tmp_path):
  stat = tmp_path / "stat"
  stat.write_text("cpu  1000 0 0 0 0 0 0 0\n")
  source = EstimateSource(CpuModel(4.0, 0.0, cores=2), "machine")
  source._machine_time = MachineTime(None, tmp_path)
  source._first = source._machine_time.read()
  stat.write_text("cpu  1200 0 0 0 0 0 0 0\n")
  (reading,) = source.read()
  assert reading.joules == pytest.approx(200 / source._machine_time._ticks * 4)
  stat.unlink()
  (reading,) = source.read()
  assert reading.joules is None and "/proc/stat" in (reading.failure or "")
  (domain,) = source.domains
  assert domain.name == "cpu-machine"
  assert "of this machine" in domain.description


@pytest.mark.skipif(
  MachineTime().read() is None, reason="/proc/stat tells nothing here"
)
def test_a_machine_sees_a_stranger_that_a_process_does_not():
  # Its parent ends at once, so that it is no child of ours.
  work = "import time\nend = time.time() + 1.5\nwhile time.time() < end: pass"
  start = "import subprocess, sys; "
  start += f"subprocess.Popen([sys.executable, '-c', {work!r}])"
  model = CpuModel(100.0, 0.0, cores=1)
  sources = EstimateSource(model), EstimateSource(model, "machine")
  with Monitor(sources) as monitor:
    subprocess.run([sys.executable, "-c", start], check=True)
    time.sleep(0.2)
    monitor.measure("idle", time.sleep, 1.0)
  (window,) = monitor.windows()
  own, machine = (energy.joules for energy in window.energies)
  assert own is not None and own < 25
  assert machine is not None and machine > 40
  assert window.load is not None and window.load.other_cores > 0.4
