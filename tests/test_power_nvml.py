"""The NVML source through the real nvidia-ml-py and a simulated library."""

import threading
import time

import pynvml
import pytest

from jaxpower.power import MeterError, Monitor
from jaxpower.power.nvml import FIELD, NvmlSource, field_value
from jaxpower.power.simulated import SensorModel
from jaxpower.power.simulated_nvml import (
  AVERAGE,
  ENERGY,
  INSTANT,
  MIG_UUID,
  UNSUPPORTED,
  UUIDS,
  Gpu,
  installed,
)
from jaxpower.power.waveform import Square


@pytest.fixture(autouse=True)
def no_visible_devices(monkeypatch):
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def two_gpus(**kwargs):
  first = Gpu(power=200.0, **kwargs)
  second = Gpu(power=80.0, uuid=UUIDS[1], pci="00000000:65:00.0")
  return first, second


def test_the_counter_gives_the_energy_of_a_square_wave():
  gpu = Gpu(power=Square(100.0, 500.0, 0.09))
  with installed(gpu), Monitor("nvml") as monitor:
    monitor.measure("train", time.sleep, 0.6)
    (window,) = monitor.windows()
  truth = gpu.truth(window.start_seconds, window.start_seconds + window.seconds)
  assert window.energies[0].domain == UUIDS[0]
  assert window.energies[0].method == "counter"
  assert window.joules == pytest.approx(truth, rel=0.05)
  assert window.joules_bound is not None and window.joules_bound > 0
  assert window.energies[0].ticks > 5


def test_each_sample_is_one_batched_query():
  gpu = Gpu()
  with installed(gpu) as library, Monitor("nvml") as monitor:
    time.sleep(0.1)
    reads = monitor._sampler.channels[0].reads
  calls = library.calls["nvmlDeviceGetFieldValues"]
  assert 0 < calls - reads < 20  # a few more to find out what the card offers
  assert "nvmlDeviceGetPowerUsage" not in library.calls


def source_of(gpu):
  pynvml.nvmlInit()
  return NvmlSource(pynvml.nvmlDeviceGetHandleByIndex(0), gpu.uuid)


def test_an_answer_that_is_digested_later_is_that_of_its_own_read():
  gpu = Gpu(counter=SensorModel(quantum=1e-3))
  with installed(gpu):
    source = source_of(gpu)
    before, gpu.counter_offset = source.ask(), gpu.counter_offset + 5000.0
    after = source.ask()
    (second,), (first,) = after(), before()
  assert first.end <= second.begin
  assert first.joules is not None and second.joules is not None
  assert second.joules - first.joules == pytest.approx(5000.0, abs=100.0)


def test_fields_are_laid_out_as_nvidia_ml_py_has_them():
  field = pynvml.c_nvmlFieldValue_t(fieldId=ENERGY, scopeId=1, timestamp=2)
  field.latencyUsec, field.nvmlReturn = 3, 4
  for member, kind, value in (
    ("dVal", pynvml.NVML_VALUE_TYPE_DOUBLE, 1.5),
    ("uiVal", pynvml.NVML_VALUE_TYPE_UNSIGNED_INT, 2**32 - 2),
    ("ulVal", pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG, 2**62),
    ("ullVal", pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, 2**62),
    ("sllVal", pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG, -(2**40)),
    ("siVal", pynvml.NVML_VALUE_TYPE_SIGNED_INT, -5),
    ("usVal", pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT, 65_000),
  ):
    field.valueType = kind
    setattr(field.value, member, value)
    ((*facts, union),) = FIELD.iter_unpack(bytes(field))
    assert facts == [ENERGY, 1, 2, 3, kind, 4]
    assert field_value(kind, union) == value
  assert field_value(99, b"12345678") is None


def test_a_step_of_the_wall_clock_after_a_read_moves_no_stamp(monkeypatch):
  gpu = Gpu()
  with installed(gpu):
    source = source_of(gpu)
    answer = source.ask()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    (reading,) = answer()
  assert reading.stamp_seconds == pytest.approx(reading.end, abs=0.02)


def test_all_gpus_of_the_job_are_summed_not_averaged():
  with installed(*two_gpus()), Monitor("nvml") as monitor:
    monitor.measure("train", time.sleep, 0.2)
    (window,) = monitor.windows()
  assert window.joules == pytest.approx(280 * window.seconds, rel=0.06)
  assert len(window.energies) == 2


def test_visible_devices_by_uuid_leave_the_other_gpu_apart(monkeypatch):
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", UUIDS[1])
  with installed(*two_gpus()), Monitor("nvml") as monitor:
    monitor.measure("train", time.sleep, 0.2)
    (window,) = monitor.windows()
  assert [energy.domain for energy in window.energies] == [UUIDS[1]]
  assert window.joules == pytest.approx(80 * window.seconds, rel=0.06)
  assert window.apart[0].domain == UUIDS[0]


def test_gpus_can_be_named():
  with installed(*two_gpus()), Monitor("nvml", gpus=["GPU-91bc"]) as monitor:
    counted = [d.name for d in monitor.domains if d.counted]
  assert counted == [UUIDS[1]]


@pytest.mark.parametrize(
  ("missing", "method"),
  [
    ({ENERGY: UNSUPPORTED}, "power_instant"),
    ({ENERGY: UNSUPPORTED, INSTANT: UNSUPPORTED}, "power_average"),
  ],
)
def test_without_counter_power_is_integrated_and_labelled(missing, method):
  gpu = Gpu(
    field_errors=missing,
    call_errors={"nvmlDeviceGetTotalEnergyConsumption": UNSUPPORTED},
  )
  with installed(gpu), Monitor("nvml") as monitor:
    time.sleep(1.2 if method == "power_average" else 0.0)
    monitor.measure("train", time.sleep, 0.3)
    (window,) = monitor.windows()
  (energy,) = window.energies
  assert energy.method == method
  assert energy.joules == pytest.approx(200 * window.seconds, rel=0.06)
  assert "no energy counter" in monitor.domains[0].notes[0]


def test_a_card_that_tells_nothing_is_an_error_not_zero_joules():
  errors: dict[int, int] = {}
  for number in (ENERGY, INSTANT, AVERAGE):
    errors[number] = UNSUPPORTED
  gpu = Gpu(
    field_errors=errors,
    call_errors={
      "nvmlDeviceGetTotalEnergyConsumption": UNSUPPORTED,
      "nvmlDeviceGetPowerUsage": UNSUPPORTED,
    },
  )
  with installed(gpu):
    with pytest.raises(MeterError, match="neither energy nor power"):
      Monitor("nvml")
    with Monitor("auto") as monitor:
      monitor.measure("train", time.sleep, 0.05)
      (window,) = monitor.windows()
  assert [energy.domain for energy in window.energies] == [UUIDS[0]]
  assert (window.joules, window.partial, window.estimated) == (
    None,
    True,
    False,
  )
  assert any("neither energy nor power" in line for line in window.reasons)


def test_an_old_driver_without_field_queries_uses_the_older_calls():
  missing = frozenset({"nvmlDeviceGetFieldValues"})
  with installed(Gpu(), missing=missing), Monitor("nvml") as monitor:
    monitor.measure("train", time.sleep, 0.2)
    (window,) = monitor.windows()
    offers = monitor.describe()["domains"][0]["older_calls"]
  assert offers == ["counter", "power_average"]
  assert window.joules == pytest.approx(200 * window.seconds, rel=0.06)


def test_power_of_the_module_is_taken_only_with_a_note():
  scope = pynvml.NVML_POWER_SCOPE_GPU
  gpu = Gpu(scope_errors={scope: UNSUPPORTED})
  with installed(gpu), Monitor("nvml") as monitor:
    assert any("whole module" in note for note in monitor.domains[0].notes)
    assert any("whole module" in line for line in monitor.warnings)


def test_mig_is_the_whole_board_and_says_so(monkeypatch):
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", MIG_UUID)
  gpu = Gpu(mig=True, mig_uuids=(MIG_UUID,))
  with installed(gpu), Monitor("nvml") as monitor:
    (domain,) = monitor.domains
  assert domain.counted and domain.name == UUIDS[0]
  assert any("whole board" in note for note in domain.notes)


@pytest.mark.parametrize(
  ("code", "fix"),
  [
    (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "modprobe nvidia"),
    (pynvml.NVML_ERROR_NO_PERMISSION, "chmod a\\+rw /dev/nvidia"),
    (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "install the NVIDIA driver"),
    (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "reboot"),
  ],
)
def test_a_driver_that_does_not_start_names_the_fix(code, fix):
  with (
    installed(Gpu(), init_error=code),
    pytest.raises(MeterError, match=fix),
  ):
    Monitor("nvml")


def test_a_gpu_lost_in_the_window_makes_it_partial():
  gpu = Gpu()
  with installed(gpu), Monitor("nvml") as monitor:

    def lose():
      time.sleep(0.1)
      lost = pynvml.NVML_ERROR_GPU_IS_LOST
      gpu.call_errors["nvmlDeviceGetFieldValues"] = lost
      time.sleep(0.1)

    monitor.measure("train", lose)
    (window,) = monitor.windows()
  assert window.joules is None and window.partial
  assert any("lost" in reason.lower() for reason in window.reasons)


def test_a_transient_error_is_bridged_by_the_counter():
  gpu = Gpu()
  with installed(gpu), Monitor("nvml") as monitor:

    def stumble():
      time.sleep(0.1)
      gpu.call_errors["nvmlDeviceGetFieldValues"] = pynvml.NVML_ERROR_TIMEOUT
      time.sleep(0.3)
      gpu.call_errors.clear()
      time.sleep(0.1)

    monitor.measure("train", stumble)
    (window,) = monitor.windows()
  assert window.joules == pytest.approx(200 * window.seconds, rel=0.06)
  assert any("NVML" in reason for reason in window.reasons)


def test_a_reset_counter_never_gives_negative_joules():
  gpu = Gpu()
  with installed(gpu), Monitor("nvml") as monitor:

    def reset():
      time.sleep(0.15)
      gpu.counter_offset = -gpu.counter.joules(gpu.waveform, gpu.now)
      time.sleep(0.15)

    monitor.measure("train", reset)
    (window,) = monitor.windows()
  (energy,) = window.energies
  assert energy.counter_joules is None
  assert energy.method == "power_instant"
  assert energy.joules == pytest.approx(200 * window.seconds, rel=0.1)
  assert any("reset" in reason for reason in energy.reasons)


def test_a_stuck_counter_is_seen_through_the_power():
  gpu = Gpu()
  with installed(gpu), Monitor("nvml") as monitor:

    def stick():
      time.sleep(0.1)
      gpu.counter_stops = gpu.now
      time.sleep(0.4)

    monitor.measure("train", stick)
    (window,) = monitor.windows()
  (energy,) = window.energies
  assert energy.method == "power_instant"
  assert energy.joules == pytest.approx(200 * window.seconds, rel=0.1)
  assert energy.reasons


def test_a_counter_that_stuck_for_a_while_is_not_believed():
  gpu = Gpu()
  with installed(gpu), Monitor("nvml") as monitor:

    def stick():
      time.sleep(0.1)
      gpu.counter_stops = gpu.now
      time.sleep(1.0)
      shown = gpu.counter.joules(gpu.waveform, gpu.counter_stops)
      gpu.counter_offset -= gpu.counter.joules(gpu.waveform, gpu.now) - shown
      gpu.counter_stops = None
      time.sleep(0.2)

    monitor.measure("train", stick)
    (window,) = monitor.windows()
  (energy,) = window.energies
  assert energy.method == "power_instant"
  assert energy.joules == pytest.approx(200 * window.seconds, rel=0.1)


def test_slow_calls_do_not_hold_up_the_training():
  gpu = Gpu(read_seconds=0.02)
  with installed(gpu), Monitor("nvml") as monitor:
    before = time.monotonic()
    for _ in range(20):
      monitor.measure("train", lambda: None)
      monitor.joules_so_far()
    assert time.monotonic() - before < 0.35  # 20 reads would take 0.4


def test_stamps_of_the_tick_are_used_and_stamps_of_the_call_are_not():
  errors = {}
  for stamps in ("tick", "call"):
    gpu = Gpu(stamps=stamps, counter=SensorModel(energy_period=0.05))
    with installed(gpu), Monitor("nvml") as monitor:
      time.sleep(0.3)
      (history,) = monitor._sampler.channels[0].histories
      errors[stamps] = history.errors[-1]
      late = [(t - gpu.start) % 0.05 for t in list(history.points)[-4:]]
    assert all(min(x, 0.05 - x) < 1e-2 for x in late)
  assert errors["tick"] < 2e-4 < errors["call"]


def test_nvml_is_let_go_of_as_often_as_it_was_taken():
  before = threading.active_count()
  with installed(*two_gpus()) as library:
    with Monitor("nvml"):
      assert library.initialised == 2
    assert library.initialised == 0
  assert threading.active_count() == before
