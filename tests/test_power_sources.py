"""Which sensors a meter opens, and what it says of those it cannot read."""

import pytest

from jaxpower.power import MeterError, Monitor
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed
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
