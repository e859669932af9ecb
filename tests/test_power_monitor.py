"""The door of the meter wing: measure, windows, totals."""

import json
import threading
import time

import pytest

from jaxpower.power import (
  Fault,
  MeterError,
  Monitor,
  SensorModel,
  SimulatedSource,
)

OTHER = "GPU-91bc77e2-0d3f-4a55-b1c6-7e9a2f3d4c5b"


def test_constant_power_gives_exact_joules():
  with Monitor([SimulatedSource(100.0)]) as monitor:
    monitor.measure("train", time.sleep, 0.03)
    monitor.measure("eval", time.sleep, 0.01)
  train, evaluate = monitor.windows()
  assert (train.name, evaluate.name) == ("train", "eval")
  assert train.joules == pytest.approx(100 * train.seconds, rel=1e-9)
  assert evaluate.joules == pytest.approx(100 * evaluate.seconds, rel=1e-9)
  assert train.seconds == pytest.approx(0.03, abs=0.02)
  assert train.joules_bound == pytest.approx(0.0, abs=1e-6)
  assert not train.partial and not train.estimated


def test_measure_waits_for_arguments_and_result_inside_its_order():
  events = []
  monitor = Monitor(
    [SimulatedSource(10.0)], wait=lambda value: events.append(value)
  )
  with monitor:
    result = monitor.measure("train", lambda x, y: (x, y), 1, y=2)
  assert result == (1, 2)
  assert events == [((1,), {"y": 2}), (1, 2)]


def test_measure_returns_before_the_sensor_ticks():
  sensor = SensorModel(energy_period=0.3)
  with Monitor([SimulatedSource(50.0, sensor=sensor)]) as monitor:
    before = time.monotonic()
    monitor.measure("train", time.sleep, 0.01)
    assert time.monotonic() - before < 0.2


def test_an_exception_passes_through_and_its_window_is_kept():
  with (
    Monitor([SimulatedSource(10.0)]) as monitor,
    pytest.raises(ZeroDivisionError),
  ):
    monitor.measure("train", lambda: 1 / 0)
  (window,) = monitor.windows()
  assert window.name == "train" and window.joules is not None


def test_windows_nest_and_overlap_across_threads():
  with Monitor([SimulatedSource(100.0)]) as monitor:

    def work():
      with monitor.window("other"):
        time.sleep(0.02)

    thread = threading.Thread(target=work)
    with monitor.window("outer") as outer:
      thread.start()
      with monitor.window("inner") as inner:
        time.sleep(0.01)
      thread.join()
  assert len(monitor.windows()) == 3
  outside, inside = outer.result(), inner.result()
  assert outside.joules == pytest.approx(100 * outside.seconds, rel=1e-9)
  assert inside.joules == pytest.approx(100 * inside.seconds, rel=1e-9)
  assert inside.seconds < outside.seconds


def test_an_open_window_has_no_result():
  with (
    Monitor([SimulatedSource(1.0)]) as monitor,
    monitor.window("train") as handle,
    pytest.raises(RuntimeError, match="still open"),
  ):
    handle.result()


def test_the_sum_is_over_the_jobs_domains_and_others_stand_apart():
  sources = [
    SimulatedSource(100.0),
    SimulatedSource(30.0, name="cpu-0", kind="cpu"),
    SimulatedSource(60.0, name=OTHER, counted=False),
  ]
  with Monitor(sources) as monitor:
    monitor.measure("train", time.sleep, 0.01)
  (window,) = monitor.windows()
  assert window.joules == pytest.approx(130 * window.seconds, rel=1e-9)
  assert [energy.domain for energy in window.apart] == [OTHER]
  assert window.apart[0].joules == pytest.approx(60 * window.seconds, rel=1e-9)
  assert monitor.domains[-1].name == OTHER


def test_a_lost_gpu_makes_the_window_partial_and_never_zero():
  lost = SimulatedSource(100.0, faults=[Fault("lost", 0.05)])
  with Monitor([lost]) as monitor:
    monitor.measure("train", time.sleep, 0.2)
  (window,) = monitor.windows()
  assert window.joules is None and window.joules_bound is None
  assert window.partial
  assert any("the GPU is lost" in reason for reason in window.reasons)


def test_joules_so_far_counts_by_name_and_since_the_start():
  with Monitor([SimulatedSource(100.0)]) as monitor:
    for _ in range(2):
      monitor.measure("train", time.sleep, 0.01)
    by_name = monitor.joules_so_far("train")
    everything = monitor.joules_so_far()
    assert monitor.joules_so_far("eval") == 0
  seconds = sum(window.seconds for window in monitor.windows())
  assert by_name == pytest.approx(100 * seconds, rel=1e-6)
  assert everything is not None and by_name is not None
  assert everything >= by_name


def test_the_decorator_measures_each_call():
  with Monitor([SimulatedSource(100.0)]) as monitor:

    @monitor.measured("train")
    def step(x):
      """Doubles."""
      return 2 * x

    assert step(3) == 6 and step(4) == 8
  assert step.__doc__ == "Doubles."
  assert [window.name for window in monitor.windows()] == ["train"] * 2


def test_no_thread_is_left_behind():
  before = threading.active_count()
  with Monitor([SimulatedSource(1.0)]):
    assert threading.active_count() == before + 1
  assert threading.active_count() == before


def test_describe_and_timeline_are_ready_to_be_written():
  with Monitor([SimulatedSource(100.0)]) as monitor:
    monitor.measure("train", time.sleep, 0.01)
  told = json.loads(json.dumps(monitor.describe()))
  assert told["meter"] == "given"
  assert told["domains"][0]["method"] == "counter"
  rows = monitor.timeline()
  assert len(rows) >= 2
  assert rows[0].seconds < rows[-1].seconds
  assert rows[-1].watts == 100.0


def test_auto_says_estimated_where_nothing_can_be_read(monkeypatch, tmp_path):
  monkeypatch.setattr("jaxpower.power.sources.RaplSource", _no_rapl)
  monkeypatch.setattr("jaxpower.power.sources.start_nvml", _no_nvml)
  with Monitor() as monitor:
    monitor.measure("train", sum, range(100_000))
  (window,) = monitor.windows()
  assert window.estimated and window.joules is not None and window.joules > 0
  assert window.joules_bound is None
  assert monitor.domains[0].method == "model"
  assert any("mend" in failure for failure in monitor.describe()["failures"])


def _no_rapl(_):
  raise MeterError("no RAPL counter", "modprobe")


def _no_nvml():
  raise MeterError("NVML: not there", "install it")


@pytest.mark.parametrize("meter", ["nvml", "rapl"])
def test_a_meter_asked_for_by_name_must_be_there(meter, monkeypatch):
  monkeypatch.setattr("jaxpower.power.sources.start_nvml", _no_nvml)
  monkeypatch.setattr("jaxpower.power.sources.RaplSource", _no_rapl)
  with pytest.raises(MeterError, match="mend: "):
    Monitor(meter)


def test_a_mistyped_meter_is_answered_with_the_nearest():
  with pytest.raises(MeterError, match="did you mean 'nvml'"):
    Monitor("nvlm")


def test_a_negative_interval_is_refused():
  with pytest.raises(ValueError, match="above 0"):
    Monitor([SimulatedSource(1.0)], interval_seconds=-1.0)
