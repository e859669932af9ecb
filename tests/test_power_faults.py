"""The monitor among processes, threads and hung drivers."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pynvml
import pytest

from jaxpower.power import Monitor, SensorModel, SimulatedSource
from jaxpower.power.reading import Reading
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def no_visible_devices(monkeypatch):
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def script(text):
  return subprocess.run(
    [sys.executable, "-W", "error", "-c", text],
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )


def test_a_forked_child_has_no_meter_and_does_not_hang():
  ran = script("""
import os, sys, time, warnings
warnings.simplefilter("ignore")  # forking with threads is what is tested
from jaxpower.power import Monitor, SimulatedSource
with Monitor([SimulatedSource(100.0)]) as monitor:
  monitor.measure("before", time.sleep, 0.01)
  with monitor.window("parent") as parent:
    pid = os.fork()
    if pid == 0:
      with monitor.window("child") as handle:
        time.sleep(0.01)
      window = handle.result()
      assert window.joules is None and window.partial, window
      assert "forked" in window.reasons[0]
      assert monitor.joules_so_far() is None and monitor.windows() == ()
      os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert parent.result().joules > 0
assert [w.name for w in monitor.windows()] == ["before", "parent"]
print("done")
""")
  assert ran.stdout == "done\n", ran.stderr


def test_a_forked_child_may_leave_the_monitor_without_stopping_the_parent():
  ran = script("""
import os, time, warnings
warnings.simplefilter("ignore")
from jaxpower.power import Monitor, SimulatedSource
pid = 0
with Monitor([SimulatedSource(100.0)]) as monitor:
  pid = os.fork()
if pid == 0:
  os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
print("done")
""")
  assert ran.stdout == "done\n", ran.stderr


def test_a_spawned_worker_has_its_own_meter(tmp_path):
  path = tmp_path / "spawning.py"
  path.write_text("""
import multiprocessing, time
from jaxpower.power import Monitor

def work(seconds):
  with Monitor("estimate") as monitor:
    monitor.measure("train", time.sleep, seconds)
  return monitor.windows()

if __name__ == "__main__":
  with Monitor("estimate") as monitor:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
      (window,) = pool.apply(work, (0.05,))
  print(window.name, window.joules > 0)
""")
  ran = subprocess.run(
    [sys.executable, str(path)],
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert ran.stdout == "train True\n", ran.stderr


def test_an_exception_in_the_training_leaves_at_once_with_its_own_error():
  ran = script("""
from jaxpower.power import Monitor, SimulatedSource
with Monitor([SimulatedSource(100.0)]) as monitor:
  with monitor.window("train"):
    raise SystemExit(9)
""")
  assert ran.returncode == 9 and ran.stderr == ""


def test_a_monitor_never_closed_does_not_hold_up_the_exit():
  ran = script("""
from jaxpower.power import Monitor, SimulatedSource
monitor = Monitor([SimulatedSource(100.0)]).__enter__()
print("bye")
""")
  assert (ran.stdout, ran.returncode) == ("bye\n", 0), ran.stderr


def test_no_signal_handler_is_touched():
  ran = script("""
import signal
before = [signal.getsignal(n) for n in signal.valid_signals() if n < 32]
from jaxpower.power import Monitor, SimulatedSource
with Monitor([SimulatedSource(100.0)]):
  during = [signal.getsignal(n) for n in signal.valid_signals() if n < 32]
after = [signal.getsignal(n) for n in signal.valid_signals() if n < 32]
assert before == during == after
""")
  assert ran.returncode == 0, ran.stderr


class Hanging(SimulatedSource):
  """A driver that does not come back from a read, once told to hang."""

  def __init__(self):
    super().__init__(100.0)
    self.hang = threading.Event()
    self.free = threading.Event()

  def read(self) -> tuple[Reading]:
    if self.hang.is_set():
      self.free.wait(20)
    return super().read()


def test_a_hung_driver_neither_blocks_nor_lies():
  source = Hanging()
  begun = time.monotonic()
  with Monitor([source]) as monitor:

    def work():
      source.hang.set()
      time.sleep(0.15)

    monitor.measure("train", work)
    assert time.monotonic() - begun < 5
    (window,) = monitor.windows()
  assert window.joules is None and window.partial
  assert time.monotonic() - begun < 10
  assert any("left behind" in warning for warning in monitor.warnings)
  source.free.set()


def test_a_step_of_the_wall_clock_changes_nothing(monkeypatch):
  gpu = Gpu()
  with installed(gpu), Monitor("nvml") as monitor:
    real = time.time

    def work():
      time.sleep(0.15)
      monkeypatch.setattr(time, "time", lambda: real() - 3600)
      time.sleep(0.15)

    monitor.measure("train", work)
    (window,) = monitor.windows()
  assert window.joules == pytest.approx(200 * window.seconds, rel=0.06)
  assert window.seconds == pytest.approx(0.3, abs=0.1)


def test_states_at_both_ends_and_changes_between(monkeypatch):
  monkeypatch.setattr("jaxpower.power.board_state.is_visible", lambda pid: True)
  gpu = Gpu(limit_watts=500.0)
  with installed(gpu), Monitor("nvml") as monitor:
    gpu.throttle = 0x40
    gpu.pids = (4121,)
  told = monitor.describe()["gpus"]
  assert told["start"][0]["uuid"] == UUIDS[0]
  assert told["end"][0]["throttle_reasons"] == ["thermal slowdown (hardware)"]
  changed = {change["name"] for change in told["changes"]}
  assert changed == {"throttle_reasons", "foreign_processes"}
  text = " ".join(monitor.warnings)
  assert "was throttled: thermal slowdown" in text
  assert "shared with other processes (pid 4121)" in text
  assert "power limit of 500 W, not 700 W" in text


def test_our_own_process_is_not_foreign():
  gpu = Gpu(pids=(os.getpid(), os.getppid()))
  with installed(gpu), Monitor("nvml") as monitor:
    pass
  assert not any("shared" in warning for warning in monitor.warnings)


def test_idle_watts_are_kept_and_active_energy_stands_beside_gross():
  with Monitor([SimulatedSource(100.0)]) as monitor:
    idle = monitor.measure_idle(0.05)
    monitor.measure("train", time.sleep, 0.02)
  train = monitor.windows()[-1]
  (watts,) = monitor.idle_watts.values()
  assert idle.name == "idle" and watts == pytest.approx(100.0)
  assert train.active_joules(60.0) == pytest.approx(40 * train.seconds)
  assert train.active_joules(None) is None
  assert monitor.describe()["domains"][0]["idle_watts"] == watts


def test_the_rhythm_of_the_work_is_told_or_read_from_the_windows():
  with Monitor([SimulatedSource(100.0)]) as monitor:
    with monitor.window("epoch", steps=4) as told:
      time.sleep(0.02)
    for _ in range(3):
      monitor.measure("step", int)
    step = monitor._handles[-1]
    step.start, step.end = 51.1, 51.15
    monitor._starts["step"] = [50.0 + 0.1 * i for i in range(12)]
    with monitor.window("alone") as alone:
      pass
  assert told.end is not None
  expected = (told.end - told.start) / 4
  assert monitor._rhythm(told, told.end) == pytest.approx(expected)
  assert monitor._rhythm(step, 51.15) == pytest.approx(0.1)
  assert alone.end is not None
  assert monitor._rhythm(alone, alone.end) is None


def test_sensors_are_characterised_at_will():
  sensor = SensorModel(energy_period=0.02)
  with Monitor([SimulatedSource(100.0, sensor=sensor)]) as monitor:
    (told,) = monitor.characterise().values()
  assert told["counter_period_seconds"] == pytest.approx(0.02, rel=0.05)
  reads = told["reads"]
  assert isinstance(reads, int) and reads > 20


def test_a_fixed_interval_is_kept():
  source = SimulatedSource(100.0, sensor=SensorModel(energy_period=0.02))
  with Monitor([source], interval_seconds=0.05) as monitor:
    time.sleep(0.5)
    reads = len(monitor.timeline())
  assert 5 <= reads <= 14


def test_a_lost_gpu_does_not_hide_the_others():
  gpus = Gpu(), Gpu(power=80.0, uuid=UUIDS[1], pci="00000000:65:00.0")
  with installed(*gpus), Monitor("nvml") as monitor:

    def lose():
      lost = pynvml.NVML_ERROR_GPU_IS_LOST
      gpus[0].call_errors["nvmlDeviceGetFieldValues"] = lost
      time.sleep(0.2)

    monitor.measure("train", lose)
    (window,) = monitor.windows()
  first, second = window.energies
  assert window.joules is None and first.joules is None
  assert second.joules == pytest.approx(80 * window.seconds, rel=0.06)
