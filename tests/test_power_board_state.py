"""What GPUs are set to and do, and who else uses them."""

import os
from dataclasses import replace

import pytest

from jaxpower.power import Monitor, Use, gpu_state, gpu_uses, gpu_uuid
from jaxpower.power.board_state import state_warnings
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed

OTHER_SLOT = "00000000:65:00.0"


@pytest.fixture(autouse=True)
def no_visible_devices(monkeypatch):
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_the_state_is_that_of_the_visible_gpus(monkeypatch):
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", UUIDS[1])
  with installed(Gpu(), Gpu(uuid=UUIDS[1], pci=OTHER_SLOT)):
    assert [state["uuid"] for state in gpu_state()] == [UUIDS[1]]


def test_without_nvml_there_is_no_state_and_no_uuid():
  with installed(init_error=12):
    assert gpu_state() == []
    assert gpu_uuid(0) is None


def test_how_busy_every_gpu_is():
  gpus = (Gpu(used_bytes=5 << 30), Gpu(uuid=UUIDS[1], pci=OTHER_SLOT))
  refuses = {"nvmlDeviceGetUtilizationRates": 3}  # not supported, as under MIG
  other = replace(gpus[1], call_errors=refuses)
  with installed(gpus[0], other), gpu_uses() as ask:
    assert ask() == {
      UUIDS[0]: Use(0.97, 5 << 30),
      UUIDS[1]: Use(None, 500 << 20),
    }
  with installed(init_error=12), gpu_uses() as ask:
    assert ask() == {}


def test_the_state_has_what_a_joule_must_be_read_with(monkeypatch):
  monkeypatch.setattr("jaxpower.power.board_state.is_visible", lambda pid: True)
  gpu = Gpu(pids=(4121,), throttle=0x4, limit_watts=500.0, persistence=0)
  with installed(gpu):
    (state,) = gpu_state(["0"])
  assert state["uuid"] == UUIDS[0] and state["driver"] == "580.95.05"
  assert state["power_limit_watts"] == 500.0
  assert state["power_limit_default_watts"] == 700.0
  assert state["throttle_reasons"] == ["power cap"]
  assert state["persistence"] is False and state["ecc"] is True
  assert state["foreign_processes"] == [4121]
  assert state["hidden_processes"] == 0


def test_processes_of_the_host_are_hidden_not_foreign():
  with installed(Gpu(pids=(2**31 - 5, 2**31 - 6))):
    (state,) = gpu_state(["0"])
  assert state["foreign_processes"] == []
  assert state["hidden_processes"] == 2
  assert any("cannot be seen" in p.reason for p in state_warnings(state))


def test_states_at_both_ends_and_changes_between(monkeypatch):
  monkeypatch.setattr("jaxpower.power.board_state.is_visible", lambda pid: True)
  gpu = Gpu(limit_watts=500.0)
  with installed(gpu), Monitor("nvml") as monitor:
    gpu.throttle = 0x40
    gpu.pids = (4121,)
  gpus = monitor.describe()["gpus"]
  assert gpus["start"][0]["uuid"] == UUIDS[0]
  assert gpus["end"][0]["throttle_reasons"] == ["thermal slowdown (hardware)"]
  changed = {change["name"] for change in gpus["changes"]}
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
