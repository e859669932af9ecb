"""Which sensors a meter opens, and what it says of those it cannot read."""

import threading
import time

import pytest

from jaxpower.power import MeterError, Monitor
from jaxpower.power.simulated_nvml import (
  AVERAGE,
  INSTANT,
  UNSUPPORTED,
  UUIDS,
  Gpu,
  installed,
)
from jaxpower.power.sources import open_meter


@pytest.fixture(autouse=True)
def no_visible_devices(monkeypatch):
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


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


def test_an_estimate_is_of_a_process_or_of_the_machine():
  names = [
    open_meter("estimate", estimate_of=whose).sources[0].domains[0].name
    for whose in ("process", "machine")
  ]
  assert names == ["cpu-estimate", "cpu-machine"]


def _no_rapl(_):
  raise MeterError("no RAPL counter", "modprobe")


def _no_nvml():
  raise MeterError("NVML: not there", "install it")


@pytest.mark.parametrize("meter", ["nvml", "rapl"])
def test_a_meter_asked_for_by_name_must_be_there(meter, monkeypatch):
  monkeypatch.setattr("jaxpower.power.sources.start_nvml", _no_nvml)
  monkeypatch.setattr("jaxpower.power.sources.RaplSource", _no_rapl)
  with pytest.raises(MeterError, match="fix: "):
    Monitor(meter)


def test_a_mistyped_meter_is_answered_with_the_nearest():
  with pytest.raises(MeterError, match="did you mean 'nvml'"):
    Monitor("nvlm")


def test_a_measured_gpu_is_not_added_to_a_modelled_cpu(tmp_path):
  with installed(Gpu()):
    meter = open_meter("auto", powercap=tmp_path)
    apart = open_meter("auto", gpus=[], powercap=tmp_path)
  domains = [[d for s in m.sources for d in s.domains] for m in (meter, apart)]
  assert [(d.name, d.estimated) for d in domains[0]] == [(UUIDS[0], False)]
  # A job on the CPU alone: the board stands apart, and the CPU is modelled.
  assert [(d.counted, d.estimated) for d in domains[1]] == [
    (False, False),
    (True, True),
  ]
  for source in (*meter.sources, *apart.sources):
    source.close()


def test_no_board_at_all_is_said():
  with installed(), pytest.raises(MeterError, match="sees no GPU"):
    Monitor("nvml")


def zone(root, folder, name, microjoules):
  path = root / folder
  path.mkdir()
  (path / "name").write_text(name + "\n")
  (path / "energy_uj").write_text(f"{microjoules}\n")
  (path / "max_energy_range_uj").write_text("262143328850\n")
  return path / "energy_uj"


@pytest.fixture
def quick(monkeypatch):
  monkeypatch.setattr("jaxpower.power.sources.MOVES_SECONDS", 0.1)
  monkeypatch.setattr("jaxpower.power.sources.start_nvml", _no_nvml)


@pytest.fixture
def turn():
  """Makes counters move until the test is over, 100 W each."""
  stop, threads = threading.Event(), []

  def begin(*files):
    def run():
      before = time.monotonic()
      while not stop.wait(2e-3):
        joules = 100 * (time.monotonic() - before)
        for file in files:
          # As a file of sysfs: never empty in between.
          with open(file, "r+") as out:
            out.write(f"{round(joules * 1e6) + 10**9}\n")

    threads.append(threading.Thread(target=run, daemon=True))
    threads[-1].start()

  yield begin
  stop.set()
  for thread in threads:
    thread.join()


@pytest.mark.parametrize("value", [0, 7777])
def test_a_rapl_counter_that_never_moves_gives_way_to_the_estimate(
  value, tmp_path, quick
):
  zone(tmp_path, "intel-rapl:0", "package-0", value)
  zone(tmp_path, "intel-rapl:0:1", "dram", value)
  meter = open_meter("auto", powercap=tmp_path)
  assert [d.name for s in meter.sources for d in s.domains] == ["cpu-estimate"]
  assert any("does not move" in str(problem) for problem in meter.failures)
  told = "; ".join(str(problem) for problem in meter.failures)
  assert "--meter=estimate" not in told, "that is what it does"
  with pytest.raises(MeterError, match=r"cpu-0.*does not move") as error:
    open_meter("rapl", powercap=tmp_path)
  assert str(error.value).endswith("itself, or use --meter=estimate")


def test_a_dram_that_never_moves_is_left_out_and_said(tmp_path, quick, turn):
  package = zone(tmp_path, "intel-rapl:0", "package-0", 10**9)
  zone(tmp_path, "intel-rapl:0:1", "dram", 0)
  turn(package)
  meter = open_meter("auto", powercap=tmp_path)
  (source,) = meter.sources
  assert [domain.name for domain in source.domains] == ["cpu-0"]
  assert [str(problem) for problem in meter.failures][1:] == [
    "RAPL dram-0: the counter does not move; fix: measure on the machine itself"
  ]
  assert [reading.domain for reading in source.read()] == ["cpu-0"]
  source.close()


def test_one_of_two_packages_that_never_moves_makes_the_sum_unknown(
  tmp_path, quick, turn
):
  turn(zone(tmp_path, "intel-rapl:0", "package-0", 10**9))
  zone(tmp_path, "intel-rapl:1", "package-1", 10**9)
  meter = open_meter("auto", powercap=tmp_path)
  with Monitor(meter.sources) as monitor:
    monitor.measure("train", time.sleep, 0.1)
  (window,) = monitor.windows()
  assert window.joules is None and window.partial
  alive, dead = window.energies
  assert alive.joules == pytest.approx(100 * window.seconds, rel=0.2)
  assert dead.joules is None and "has not moved" in dead.reasons[0]


def test_a_board_whose_counter_is_dead_and_tells_no_power_is_unknown(
  monkeypatch, tmp_path
):
  monkeypatch.setattr("jaxpower.power.sources.MOVES_SECONDS", 0.1)
  gpu = Gpu(
    field_errors={INSTANT: UNSUPPORTED, AVERAGE: UNSUPPORTED},
    call_errors={"nvmlDeviceGetPowerUsage": UNSUPPORTED},
    counter_stops=0.0,
  )
  with installed(gpu):
    meter = open_meter("auto", powercap=tmp_path)
    (source,) = meter.sources
    (reading,) = source.read()
  assert reading.failure and "does not move" in reading.failure
  with installed(gpu), pytest.raises(MeterError, match="does not move"):
    open_meter("nvml")
