"""Windows of hours, in virtual time: nothing is lost, and nothing piles up."""

import functools
import gc
import random
import sys
import types
from typing import Any

import pytest

from benchmarks.meter_accuracy import Clock
from jaxpower.power import Fault, SensorModel, SimulatedSource, window_log
from jaxpower.power.load import LoadLog
from jaxpower.power.sampler import Sampler
from jaxpower.power.waveform import Square
from jaxpower.power.window_log import WindowLog

COUNTER = SensorModel(energy_period=0.1, power_period=0.1, quantum=1e-3)
POWER = SensorModel(power_period=0.1, has_counter=False)


class NoTime:
  """A machine, and a process, that do not tell what they spent."""

  def read(self) -> None:
    return None


class Run:
  """A sampler on a clock that jumps, and the windows over it."""

  def __init__(self, *sensors, tidy=True, faults=()):
    self.clock = Clock()
    self.dice = random.Random(7)
    self.sources = [
      SimulatedSource(
        Square(100.0, 400.0, 0.737 + 0.013 * i),
        name=f"GPU-{i}",
        sensor=sensor,
        faults=faults,
        clock=self.clock,
      )
      for i, sensor in enumerate(sensors)
    ]
    self.sampler = Sampler(self.sources, clock=self.clock)
    nothing: Any = NoTime()
    self.log: Any = WindowLog(self.sampler, LoadLog(nothing, nothing))
    if tidy:
      self.sampler.add_chore(self.log.tidy, 1.0)
    self.go(10.0)

  def go(self, seconds):
    until = self.clock.now + seconds
    while self.clock.now < until:
      now = self.sampler.poll()
      self.clock.now = max(self.clock.now, now) + self.dice.expovariate(1e4)

  def close(self, handle) -> Any:
    handle.end = self.clock.now
    self.log.close(handle)
    return handle

  def finished(self, handle) -> Any:
    """Closes a window, and waits for the tick after its end."""
    self.close(handle)
    self.go(1.0)
    return handle.result()

  def window(self, name, seconds):
    handle = self.log.open(name)
    self.go(seconds)
    return self.close(handle)

  def truth(self, handle):
    return sum(s.truth(handle.start, handle.end) for s in self.sources)


def reachable_bytes(*roots: object) -> int:
  """The memory of all that these objects hold, however it is held."""
  seen, todo, size = set(), list(roots), 0
  code = (type, types.ModuleType, types.FunctionType, functools.partial)
  while todo:
    found = todo.pop()
    if id(found) in seen or isinstance(found, code):
      continue
    seen.add(id(found))
    size += sys.getsizeof(found)
    todo += gc.get_referents(found)
  return size


def test_memory_grows_by_windows_alone():
  """72 hours of 8 GPUs in 200 MB are 347 kB for each hour and GPU."""
  run = Run(COUNTER)
  whole = run.log.open("so far")
  sizes = []
  for _ in range(3):
    for _ in range(10):
      run.window("train", 60.0)
    run.log.joules_of("train")
    sizes.append(reachable_bytes(run.sampler, run.log))
  assert sizes[-1] < 800_000
  assert (sizes[2] - sizes[1]) * 6 < 100_000, sizes
  recording = run.sampler.histories[0].recording
  assert len(recording) == recording.count > 5_000
  assert len(recording.seconds) < recording.count / 2
  found = run.finished(whole)
  assert found.joules == pytest.approx(run.truth(whole), rel=0.01)


@pytest.mark.parametrize("sensor", [COUNTER, POWER])
def test_a_window_in_laps_is_that_of_all_points(sensor, monkeypatch):
  monkeypatch.setattr(window_log, "LAP_SECONDS", 20.0)
  monkeypatch.setattr(window_log, "MARGIN_SECONDS", 1e9)  # nothing is dropped
  run = Run(sensor)
  handle = run.log.open("command")
  run.go(111.0)
  window = run.finished(handle)
  assert handle.laps is not None and handle.laps.seconds > 60.0
  whole = run.log._measure("command", handle.start, handle.end)
  assert window.joules == pytest.approx(whole.joules, rel=1e-9)
  assert window.energies[0].peak_watts == whole.energies[0].peak_watts == 400.0
  assert window.seconds == whole.seconds
  assert whole.joules_bound <= window.joules_bound < 0.2 * window.joules


def test_a_reset_in_one_lap_takes_the_power_for_that_lap_alone(monkeypatch):
  monkeypatch.setattr(window_log, "LAP_SECONDS", 20.0)
  run = Run(COUNTER, faults=[Fault("reset", 70.0)])
  handle = run.log.open("command")
  run.go(200.0)
  window = run.finished(handle)
  (gpu,) = window.energies
  assert gpu.method == "power_instant" and gpu.counter_joules is None
  assert "counter fell back" in gpu.reasons[0]
  assert gpu.joules == pytest.approx(run.truth(handle), rel=2e-3)
  rest = run.log.open("rest")
  run.go(10.0)
  assert run.finished(rest).energies[0].method == "counter"


def test_a_break_keeps_its_place_when_older_points_are_dropped():
  run = Run(COUNTER, tidy=False, faults=[Fault("reset", 130.0)])
  run.go(150.0)
  handle = run.window("over", 1.0)
  handle.start -= 40.0
  before = handle._compute(handle, handle.end, False)[0]
  (history,) = run.sampler.histories
  points = len(history.points)
  history.drop_before(handle.start - 60.0)
  assert len(history.points) < points
  after = handle._compute(handle, handle.end, False)[0]
  assert "counter fell back" in before.reasons[0]
  assert after == before


def test_an_open_window_keeps_what_it_needs_from_its_start():
  run = Run(COUNTER, COUNTER)
  early = run.log.open("early")
  run.go(1000.0)
  kept = run.sampler.histories[0].points[0]
  assert early.laps_end - 150.0 < kept < early.laps_end
  assert run.clock.now - kept < 700.0
  window = run.finished(early)
  assert abs(window.joules - run.truth(early)) <= window.joules_bound


def test_closed_windows_are_settled_before_their_points_go():
  run = Run(COUNTER)
  handles = [run.window("train", 0.35) for _ in range(20)]
  run.go(5.0)
  joules = [run.log.compute(h, h.end, wait=False)[0].joules for h in handles]
  assert not any(handle.is_final for handle in handles)
  run.go(700.0)
  assert run.sampler.histories[0].points[0] > handles[-1].end
  assert all(handle.is_final for handle in handles)
  assert [handle.result().joules for handle in handles] == joules
  assert run.log.joules_of("train") == pytest.approx(sum(joules))


@pytest.mark.parametrize("name", ["measure_window", "add_to_union"])
def test_joules_after_each_window_are_not_computed_anew(monkeypatch, name):
  calls = []
  work = getattr(window_log, name)

  def counting(*args, **kwargs):
    calls.append(args)
    return work(*args, **kwargs)

  monkeypatch.setattr(window_log, name, counting)
  run = Run(COUNTER)
  for _ in range(100):
    run.window("train", 0.2)
    assert run.log.joules_of("train") is not None
  assert 100 <= len(calls) <= 400  # and not 5,050


def test_windows_of_a_name_that_nest_or_overlap_count_once():
  run = Run(COUNTER)
  outer = run.log.open("work")
  run.go(3.0)
  inner = run.window("work", 3.0)
  between = run.log.joules_of("work")
  run.go(2.0)
  other = run.log.open("work")
  run.go(2.0)
  run.close(outer)
  run.go(4.0)
  run.close(other)
  run.go(5.0)
  start, end = outer.start, other.end
  truth = sum(source.truth(start, end) for source in run.sources)
  assert run.log.joules_of("work") == pytest.approx(truth, rel=0.02)
  assert between == pytest.approx(run.truth(inner), rel=0.2)
  run.go(700.0)  # settled, and its points dropped
  assert run.log.joules_of("work") == pytest.approx(truth, rel=0.02)
  assert run.log.joules_of("none of that name") == 0.0


def test_a_lost_gpu_does_not_let_the_joules_grow():
  run = Run(COUNTER, faults=[Fault("lost", 20.0)])
  whole = run.log.open("so far")
  run.go(8.0)
  handle = run.window("train", 0.5)
  assert run.log.so_far(whole) is not None
  assert run.log.joules_of("train") is not None
  run.go(3.0)
  assert run.log.so_far(whole) is None
  late = run.window("train", 0.5)
  assert late.result(wait=False).joules is None
  assert run.log.joules_of("train") is None
  assert handle.result().joules is not None


def test_a_sensor_that_fell_silent_is_not_carried_on():
  run = Run(COUNTER)
  whole = run.log.open("so far")
  run.go(5.0)
  run.clock.now += 0.5  # nobody reads
  assert run.log.so_far(whole) is not None
  run.clock.now += 10.0
  assert run.log.so_far(whole) is None


def test_the_end_is_final():
  run = Run(COUNTER)
  whole = run.log.open("so far")
  run.go(5.0)
  run.log.end(whole)
  then = run.log.so_far(whole)
  run.go(5.0)
  assert (
    then == run.log.so_far(whole) == pytest.approx(run.truth(whole), rel=0.05)
  )
  assert run.log.windows() == ()


def test_a_process_that_was_stopped_is_told_in_the_windows_over_it():
  run = Run(COUNTER)
  handle = run.log.open("train")
  run.go(3.0)
  run.clock.now += 20.0  # SIGSTOP and SIGCONT
  run.go(3.0)
  window = run.finished(handle)
  assert window.reasons == ("GPU-0: the meter did not run for 20 s",)
  after = run.window("train", 3.0)
  run.go(1.0)
  assert after.result().reasons == ()
  assert handle.result().joules == pytest.approx(run.truth(handle), rel=0.02)


def test_power_alone_knows_nothing_of_the_time_it_was_stopped():
  run = Run(POWER)
  handle = run.log.open("train")
  run.go(3.0)
  run.clock.now += 20.0
  run.go(3.0)
  window = run.finished(handle)
  assert window.joules is None and window.partial
  assert any("did not run for 20 s" in reason for reason in window.reasons)


def test_a_sensor_that_is_read_seldom_has_not_stopped():
  slow = SensorModel(energy_period=1.5, power_period=1.5)
  run = Run(slow)
  window = run.window("train", 60.0)
  run.go(5.0)
  assert not any("did not run" in reason for reason in window.result().reasons)


def test_forgetting_drops_windows_sums_and_readings_on_disk():
  run = Run(COUNTER)
  run.window("watch", 900.0)
  (history,) = run.sampler.histories
  assert len(history.recording) > len(history.seconds)
  run.log.forget()
  assert run.log.windows() == () and run.log.joules_of("watch") == 0.0
  assert len(history.recording) == len(history.seconds)


@pytest.mark.parametrize("sensor", [COUNTER, POWER])
def test_one_slow_read_at_the_end_loses_no_run(sensor):
  """The last power is carried on over what was not seen of a long window."""
  run = Run(sensor)
  handle = run.log.open("train")
  run.go(8.0)
  run.clock.now += 0.3  # a read that does not come back
  run.close(handle)
  found = handle.result()
  assert found.partial and found.joules is not None
  assert any("not seen to its end" in reason for reason in found.reasons)
  assert found.joules_bound is not None
  assert abs(found.joules - run.truth(handle)) < found.joules_bound
  run.go(1.0)
  later = handle.result()  # when more has been seen
  assert later.joules_bound is not None
  assert later.joules_bound < found.joules_bound
  assert not any("not seen to its end" in reason for reason in later.reasons)


def test_nothing_is_made_up_where_most_of_a_window_was_not_seen():
  run = Run(COUNTER)
  handle = run.log.open("train")
  run.clock.now += 0.4
  run.close(handle)
  assert handle.result().joules is None and handle.result().partial


def test_after_a_lost_gpu_nothing_grows():
  run = Run(COUNTER, faults=[Fault("lost", 12.0)])
  run.window("train", 1.0)
  whole = run.log.open("so far")
  assert run.log.so_far(whole) is not None
  run.go(3.0)
  lost = run.window("train", 1.0)
  assert run.log.so_far(whole) is None
  assert run.log.joules_of("train") is None
  assert lost.result().joules is None
