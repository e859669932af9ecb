"""The doctor before a machine whose board was lost."""

import json

import pynvml
import pytest

from jaxpower import machine
from jaxpower.cli import doctor
from jaxpower.power import devices
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed


@pytest.fixture
def slots(tmp_path, monkeypatch):
  for address in ("0000:17:00.0", "0000:65:00.0"):
    card = tmp_path / address
    card.mkdir()
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030200\n")
  for function in (devices.list_boards, machine.look):
    monkeypatch.setattr(function, "__defaults__", (tmp_path,))


def test_a_lost_board_fails_by_its_address_and_moves_no_other(
  slots, monkeypatch, capsys
):
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  lost = {"nvmlDeviceGetHandleByIndex": pynvml.NVML_ERROR_GPU_IS_LOST}
  second = Gpu(power=70.0, uuid=UUIDS[1], pci="00000000:65:00.0")
  with installed(Gpu(call_errors=lost), second):
    code = doctor.run(json_wanted=True)
  document = json.loads(capsys.readouterr().out)
  assert code == 0 and document["measured"]
  (told,) = [c for c in document["checks"] if "is lost" in c["finding"]]
  assert told["level"] == "fail" and "PCI 0000:17:00.0" in told["finding"]
  assert "--gpu-reset -i 0000:17:00.0" in told["mend"]
  first, other = document["devices"]
  assert (first["uuid"], first["lost"], first["visible_as"]) == (None, True, [])
  assert (other["uuid"], other["visible_as"]) == (UUIDS[1], [1])
  levels = {c["what"]: c["level"] for c in document["checks"]}
  assert levels["versions"] == "ok" and {"disk", "load"} <= levels.keys()
  assert document["versions"]["NVIDIA driver"] == "580.95.05"


def test_without_any_board_nothing_is_measured(slots, monkeypatch, capsys):
  lost = {"nvmlDeviceGetUUID": pynvml.NVML_ERROR_UNKNOWN}
  with installed(Gpu(call_errors=lost)):
    doctor.run()
  out = capsys.readouterr().out
  # Its handle still tells where it is.
  assert "[fail]  not readable  the GPU at PCI 00000000:17:00.0 is lost" in out
