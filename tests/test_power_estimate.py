"""The CPU model: what it counts and that it is labelled."""

import os
import subprocess
import sys
import time

import pytest

from jaxpower.power import Monitor
from jaxpower.power.estimate import (
  CpuModel,
  CpuTime,
  EstimateSource,
  usable_cores,
)

BURN = "import time\nend = time.process_time() + {}\n" + (
  "while time.process_time() < end: pass"
)


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


def test_a_running_child_counts_and_an_ended_one_still_does():
  clock = CpuTime()
  before = clock.read()
  child = subprocess.Popen([sys.executable, "-c", BURN.format(0.3)])
  time.sleep(0.15)
  clock._scanned = float("-inf")
  clock.read()
  child.wait()
  after = clock.read()
  assert after - before > 0.3


def test_the_time_never_falls():
  clock = CpuTime()
  clock._highest = 1e9
  assert clock.read() == 1e9


def test_without_proc_the_process_itself_is_counted(tmp_path):
  clock = CpuTime(tmp_path)
  before = clock.read()
  burn(0.05)
  assert clock.read() - before == pytest.approx(0.05, abs=0.04)


def test_every_number_is_labelled_estimated():
  with Monitor("estimate") as monitor:
    monitor.measure("train", burn, 0.05)
  (window,) = monitor.windows()
  assert window.estimated and window.energies[0].estimated
  assert window.joules is not None and window.joules_bound is None
  description = monitor.describe()
  assert description["estimated"] is True
  assumptions = description["domains"][0]["assumptions"]
  assert assumptions["cores"] == usable_cores() <= (os.cpu_count() or 1)
  assert "watts" in " ".join(assumptions) and assumptions["reason"]


def test_busy_costs_more_than_idle():
  with Monitor("estimate") as monitor:
    monitor.measure("idle", time.sleep, 0.2)
    monitor.measure("busy", burn, 0.2)
  idle, busy = monitor.windows()
  assert idle.watts is not None and busy.joules is not None
  # 0.2 CPU seconds at 4 W, however long they took.
  assert busy.joules - idle.watts * busy.seconds == pytest.approx(0.8, abs=0.3)
