"""CUDA is asked through a library that is loaded as the driver's is."""

import fake_cuda
import pytest

from jaxpower.power import MeterError
from jaxpower.power.cuda import cuda_devices
from jaxpower.power.simulated_nvml import MIG_UUID, UUIDS

PCI = ("0000:17:00.0", "0000:65:00.0")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
  return fake_cuda.build(tmp_path_factory.mktemp("cuda"))


def test_cuda_names_its_devices_in_its_own_order(library, monkeypatch):
  devices = fake_cuda.environment((UUIDS[1], PCI[1]), (UUIDS[0], PCI[0]))
  monkeypatch.setenv("FAKE_CUDA", devices)
  first, second = cuda_devices(library)
  assert (first.index, second.index) == (0, 1)
  assert f"GPU-{first.uuid}" == UUIDS[1] and first.pci == PCI[1]
  assert f"GPU-{second.uuid}" == UUIDS[0] and second.pci == PCI[0]


def test_a_mig_part_has_its_own_uuid_and_its_boards_address(
  library, monkeypatch
):
  monkeypatch.setenv("FAKE_CUDA", fake_cuda.environment((MIG_UUID, PCI[0])))
  (device,) = cuda_devices(library)
  assert f"MIG-{device.uuid}" == MIG_UUID and device.pci == PCI[0]


def test_an_older_driver_is_asked_by_its_older_name(tmp_path, monkeypatch):
  library = fake_cuda.build(tmp_path, "cuDeviceGetUuid")
  monkeypatch.setenv("FAKE_CUDA", fake_cuda.environment((UUIDS[0], PCI[0])))
  assert f"GPU-{cuda_devices(library)[0].uuid}" == UUIDS[0]


def test_a_driver_that_names_no_uuid_still_has_addresses(tmp_path, monkeypatch):
  library = fake_cuda.build(tmp_path, "another")
  monkeypatch.setenv("FAKE_CUDA", fake_cuda.environment((UUIDS[0], PCI[0])))
  (device,) = cuda_devices(library)
  assert (device.uuid, device.pci) == (None, PCI[0])


def test_no_device_is_none(library, monkeypatch):
  monkeypatch.setenv("FAKE_CUDA", "")
  assert cuda_devices(library) == ()


def test_cuda_that_does_not_start_is_an_error(library, monkeypatch):
  monkeypatch.setenv("FAKE_CUDA_ERROR", "3")
  with pytest.raises(MeterError, match="cuInit with error 3"):
    cuda_devices(library)


def test_no_library_is_an_error(tmp_path):
  with pytest.raises(MeterError, match="cannot be loaded"):
    cuda_devices(str(tmp_path / "libcuda.so.1"))
