"""The boards that a trial pays for: CUDA's word, else a guess, else unknown."""

import time

import fake_cuda
import pytest

from jaxpower import billing
from jaxpower.billing import cautions_of, gpus_of, located
from jaxpower.config import Trial
from jaxpower.power import Monitor
from jaxpower.power.cuda import CudaDevice
from jaxpower.power.devices import Board
from jaxpower.power.simulated_nvml import MIG_UUID, UUIDS, Gpu, installed

PCI = ("00000000:17:00.0", "00000000:65:00.0", "00000000:CA:00.0")
BOARDS = tuple(Board(i, UUIDS[i], "NVIDIA H200", PCI[i]) for i in range(3))


def fact(index, platform="gpu", **more):
  return {"platform": platform, "kind": "NVIDIA H200", "index": index, **more}


def told(*uuids):
  return {
    i: CudaDevice(i, uuid and uuid[4:], None) for i, uuid in enumerate(uuids)
  }


def test_cuda_and_environment_that_agree_are_not_worth_a_word():
  devices = located([fact(0), fact(1)], BOARDS, told(*UUIDS), {})
  assert gpus_of(devices) == list(UUIDS[:2])
  assert cautions_of(devices) == ()
  assert [d.describe()["uuid_by"] for d in devices] == ["cuda", "cuda"]


def test_cudas_word_counts_where_the_environment_was_changed():
  # Set after CUDA began, it would bill the neighbour's board.
  changed = {"CUDA_VISIBLE_DEVICES": UUIDS[2]}
  devices = located([fact(0)], BOARDS, told(UUIDS[1]), changed)
  assert gpus_of(devices) == [UUIDS[1]]
  (caution,) = cautions_of(devices)
  assert UUIDS[1] in caution.reason and UUIDS[2] in caution.reason
  assert "UUID in CUDA_VISIBLE_DEVICES" in caution.fix


def test_unlike_boards_are_those_that_cuda_names():
  unlike = tuple(
    Board(i, UUIDS[i], name, PCI[i], speed=(i,))
    for i, name in enumerate(("NVIDIA T4", "NVIDIA L4", "NVIDIA H200"))
  )
  devices = located([fact(0)], unlike, told(UUIDS[0]), {})
  assert gpus_of(devices) == [UUIDS[0]]
  assert "by the environment of now it would be" in str(cautions_of(devices)[0])


def test_a_mig_part_is_billed_as_its_board_and_named():
  # With MIG on, CUDA's device 0 may lie on a board that is not NVML's first.
  boards = (
    BOARDS[0],
    Board(1, UUIDS[1], "NVIDIA H200", PCI[1], None, True, (MIG_UUID,)),
  )
  devices = located([fact(0)], boards, told(MIG_UUID), {})
  assert gpus_of(devices) == [UUIDS[1]]
  assert devices[0].describe()["mig_uuid"] == MIG_UUID
  assert len(cautions_of(devices)) == 1


def test_a_part_that_nvml_does_not_name_lies_on_the_board_at_its_address():
  answer = {0: CudaDevice(0, MIG_UUID[4:], "0000:65:00.0")}
  assert gpus_of(located([fact(0)], BOARDS, answer, {})) == [UUIDS[1]]


def test_where_cuda_does_not_tell_the_environment_is_a_guess_and_says_so():
  environ = {"CUDA_VISIBLE_DEVICES": "2,0"}
  devices = located([fact(0), fact(1)], BOARDS, {}, environ)
  assert gpus_of(devices) == [UUIDS[2], UUIDS[0]]
  assert devices[0].describe()["uuid_by"] == "environment"
  assert "CUDA does not tell" in str(cautions_of(devices)[0])


def test_one_unknown_board_does_not_bill_every_gpu():
  lost = told(UUIDS[0], "GPU-ffffffff-ffff-ffff-ffff-ffffffffffff")
  devices = located([fact(0), fact(1)], BOARDS, lost, {})
  assert gpus_of(devices) == [UUIDS[0], "cuda:1"]
  (caution,) = cautions_of(devices)
  assert "device 1" in caution.reason and "unknown" in caution.reason
  assert devices[1].describe()["uuid"] is None


def test_cpus_are_billed_to_no_gpu():
  devices = located([fact(0, "cpu")], BOARDS, {}, {})
  assert gpus_of(devices) == [] and cautions_of(devices) == ()
  assert devices[0].describe() == fact(0, "cpu") | {"uuid": None}


def test_two_parts_of_a_board_bill_it_once():
  devices = located([fact(0), fact(1)], BOARDS, told(UUIDS[1], UUIDS[1]), {})
  assert gpus_of(devices) == [UUIDS[1]]


class Wing:
  """A framework on GPUs, as far as boards are asked for."""

  def __init__(self, facts):
    self.facts = facts

  def devices(self, _):
    return self.facts


@pytest.fixture
def cuda(tmp_path, monkeypatch):
  """Lets CUDA show a process the third board, then the first."""
  library = fake_cuda.build(tmp_path)
  devices = fake_cuda.environment((UUIDS[2], PCI[2]), (UUIDS[0], PCI[0]))
  monkeypatch.setenv("FAKE_CUDA", devices)
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  devices_of_cuda = billing.cuda_devices
  monkeypatch.setattr(billing, "cuda_devices", lambda: devices_of_cuda(library))


def four():
  return (
    Gpu(power=100.0 * (i + 1), uuid=UUIDS[i], pci=PCI[i]) for i in range(3)
  )


def used(monkeypatch, *facts):
  monkeypatch.setattr(billing, "wing_of", lambda _: Wing(facts))
  return billing.devices_of(Trial())


def test_the_board_that_cuda_computes_on_is_metered(cuda, monkeypatch):
  with installed(*four()):
    devices = used(monkeypatch, fact(0))
    assert gpus_of(devices) == [UUIDS[2]]
    with (
      Monitor("nvml", gpus=gpus_of(devices)) as monitor,
      monitor.window("w") as handle,
    ):
      time.sleep(0.3)
  window = handle.result()
  assert window.watts == pytest.approx(300, rel=0.1)
  assert [energy.domain for energy in window.apart] == list(UUIDS[:2])


def test_a_frameworks_own_uuid_goes_before_cudas(cuda, monkeypatch):
  with installed(*four()):
    devices = used(monkeypatch, fact(0, uuid=UUIDS[1][4:]))
  assert gpus_of(devices) == [UUIDS[1]]


@pytest.mark.parametrize("meter", ["auto", "nvml"])
def test_an_unknown_board_makes_the_sum_unknown_and_bills_the_known(
  cuda, monkeypatch, meter
):
  with installed(*four()):
    devices = used(monkeypatch, fact(1), fact(5))
    gpus = gpus_of(devices)
    assert gpus == [UUIDS[0], "cuda:5"]
    with (
      Monitor(meter, gpus=gpus) as monitor,
      monitor.window("w") as handle,
    ):
      time.sleep(0.3)
  window = handle.result()
  known = {energy.domain: energy.joules for energy in window.energies}
  assert known[UUIDS[0]] == pytest.approx(100 * window.seconds, rel=0.1)
  assert known["cuda:5"] is None and window.joules is None and window.partial
  assert any("cuda:5: which board it is" in r for r in window.reasons)
  assert UUIDS[1] not in known and UUIDS[2] not in known


def test_a_gpu_without_nvml_is_no_cpu_job(cuda, monkeypatch):
  devices = used(monkeypatch, fact(0))
  assert gpus_of(devices) == ["cuda:0"]
  assert "NVIDIA_DRIVER_CAPABILITIES" in str(cautions_of(devices)[0])
  with Monitor("auto", gpus=gpus_of(devices)) as monitor:
    with monitor.window("w") as handle:
      pass
    assert monitor.failures
  assert handle.result().joules is None
