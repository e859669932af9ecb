"""CPU seconds of a process with its children, and of a machine."""

import os
import subprocess
import sys
import time

import pytest

from jaxpower.power.cpu_time import (
  CpuTime,
  MachineTime,
  ticks_per_second,
  usable_cores,
)

BURN = "import time\nend = time.process_time() + {}\n" + (
  "while time.process_time() < end: pass"
)
# user nice system idle iowait irq softirq steal guest guest_nice
STAT = """cpu  300 6 9 9000 99 12 15 21 77 0
cpu0 100 2 3 3000 33 4 5 7 70 0
cpu1 200 4 6 6000 66 8 10 14 7 0
intr 5 1 2
ctxt 9
"""


def burn(seconds):
  end = time.process_time() + seconds
  while time.process_time() < end:
    pass


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


@pytest.mark.parametrize(
  ("cpus", "busy", "stolen"),
  [(None, 342, 21), ({0, 1}, 342, 21), ({1}, 228, 14), ((0,), 114, 7)],
)
def test_busy_and_stolen_ticks_are_those_of_the_cores(
  tmp_path, cpus, busy, stolen
):
  (tmp_path / "stat").write_text(STAT)
  ticks = ticks_per_second()
  read = MachineTime(cpus, tmp_path).read()
  assert read == (busy / ticks, stolen / ticks)


@pytest.mark.parametrize(
  "text", [None, "", "cpu  0 0 0 0 0 0 0 0 0 0\n", "cpu  1 2\n", "cpu x\n"]
)
def test_a_machine_that_does_not_tell_is_unknown(tmp_path, text):
  if text is not None:
    (tmp_path / "stat").write_text(text)
  assert MachineTime(None, tmp_path).read() is None


def test_the_cores_are_those_that_may_be_used():
  assert 1 <= usable_cores() <= (os.cpu_count() or 1)
