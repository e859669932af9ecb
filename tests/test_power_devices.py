"""Which GPU is which."""

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.power import MeterError, gpu_uuid
from jaxpower.power.devices import (
  Board,
  choose_boards,
  list_boards,
  lost_problem,
  visible_devices,
)
from jaxpower.power.pci import same_pci
from jaxpower.power.simulated_nvml import MIG_UUID, UUIDS, Gpu, installed

PCI = ("00000000:17:00.0", "00000000:65:00.0", "00000000:CA:00.0")


def boards(names=("NVIDIA H200",) * 3, speeds=((1,), (2,), (3,))):
  return tuple(
    Board(i, UUIDS[i], names[i], PCI[i], speed=speeds[i]) for i in range(3)
  )


def seen(value, order="PCI_BUS_ID", which=None):
  environ = {"CUDA_DEVICE_ORDER": order}
  if value is not None:
    environ["CUDA_VISIBLE_DEVICES"] = value
  devices, warnings = visible_devices(which or boards(), environ)
  return [UUIDS.index(device.board.uuid) for device in devices], warnings


@pytest.mark.parametrize(
  ("value", "expected"),
  [
    (None, [0, 1, 2]),
    ("", []),
    ("-1", []),
    ("2,0", [2, 0]),
    ("1", [1]),
    (" 1 , 2 ", [1, 2]),
    (UUIDS[2], [2]),
    (f"{UUIDS[1]},{UUIDS[0]}", [1, 0]),
    ("GPU-91bc", [1]),
    ("0,-1,2", [0]),
  ],
)
def test_visible_devices(value, expected):
  assert seen(value) == (expected, ())


@pytest.mark.parametrize(
  ("value", "expected", "warning"),
  [
    ("0,7,1", [0], "no device 7"),
    ("GPU-", [], "fits 3 devices"),
    ("GPU-ffff", [], "names no device"),
    ("0,0", [], "twice"),
    ("cuda:0", [], "names no device"),
  ],
)
def test_what_cuda_ignores_is_said(value, expected, warning):
  devices, warnings = seen(value)
  assert devices == expected
  assert warning in warnings[0]


def test_fastest_first_is_a_guess_between_unlike_boards():
  mixed = boards(names=("NVIDIA T4", "NVIDIA H200", "NVIDIA L4"))
  devices, warnings = seen("0", "FASTEST_FIRST", mixed)
  assert devices == [2]
  assert "set CUDA_DEVICE_ORDER=PCI_BUS_ID" in warnings[0]
  assert seen("0", "PCI_BUS_ID", mixed) == ([0], ())


def test_equal_boards_keep_their_order():
  assert seen("0,1", "FASTEST_FIRST") == ([0, 1], ())


@pytest.mark.parametrize("name", [MIG_UUID, "MIG-7d9e", f"MIG-{UUIDS[0]}/1/0"])
def test_a_mig_part_maps_to_its_board(name):
  part = Board(0, UUIDS[0], "NVIDIA H200", PCI[0], None, True, (MIG_UUID,))
  (device,), warnings = visible_devices((part,), {"CUDA_VISIBLE_DEVICES": name})
  assert device.board.uuid == UUIDS[0] and device.mig_uuid and not warnings


@given(st.text(max_size=40))
def test_no_text_in_the_environment_breaks_the_reading(text):
  devices, _ = visible_devices(boards(), {"CUDA_VISIBLE_DEVICES": text})
  assert len(devices) <= 3


@given(st.permutations([0, 1, 2]))
def test_any_order_of_uuids_is_kept(order):
  value = ",".join(UUIDS[i] for i in order)
  assert seen(value)[0] == order


@pytest.mark.parametrize(
  ("first", "second", "same"),
  [
    ("00000000:17:00.0", "0000:17:00.0", True),
    ("00000000:17:00.0", "17:00.0", True),
    ("00000000:CA:00.0", "0000:ca:00", True),
    ("00000000:17:00.0", "0001:17:00.0", False),
    ("00000000:17:00.0", "GPU-5c1d", False),
  ],
)
def test_pci_addresses_in_their_spellings(first, second, same):
  assert same_pci(first, second) is same


def test_boards_are_chosen_by_uuid_prefix_pci_or_index():
  chosen = choose_boards(boards(), ["GPU-91bc", "0000:ca:00.0", "0"])
  assert [board.index for board in chosen] == [1, 2, 0]


def test_an_unknown_gpu_is_refused_with_the_known_ones():
  with pytest.raises(MeterError, match=UUIDS[0]):
    choose_boards(boards(), ["GPU-nothere"])


def test_frameworks_devices_map_to_uuids(monkeypatch):
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{UUIDS[1]},{UUIDS[0]}")
  second = Gpu(uuid=UUIDS[1], pci=PCI[1])
  with installed(Gpu(pci=PCI[0]), second):
    assert gpu_uuid(0) == UUIDS[1]
    assert gpu_uuid("0000:17:00.0") == UUIDS[0]
    assert gpu_uuid(5) is None


LOST = pynvml.NVML_ERROR_GPU_IS_LOST
DENIED = pynvml.NVML_ERROR_NO_PERMISSION


def three(**errors):
  """Three boards; `gpu1=15` makes NVML answer for one with that code."""
  return [
    Gpu(
      uuid=UUIDS[i],
      pci=PCI[i],
      call_errors={"nvmlDeviceGetHandleByIndex": errors.get(f"gpu{i}", 0)},
    )
    for i in range(3)
  ]


def slots(folder, addresses=PCI):
  for address in addresses:
    card = folder / address[4:].lower()
    card.mkdir()
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030200\n")
  return folder


def listed(gpus, folder):
  with installed(*gpus):
    pynvml.nvmlInit()
    return list_boards(folder)


def test_a_lost_board_keeps_its_place_and_has_its_address(tmp_path):
  first, second, third = listed(three(gpu0=LOST), slots(tmp_path))
  assert first.lost == "GPU is lost" and same_pci(first.pci, PCI[0])
  devices, _ = visible_devices((first, second, third), {})
  assert [(d.index, d.board.uuid) for d in devices] == [
    (1, UUIDS[1]),
    (2, UUIDS[2]),
  ]
  problem = lost_problem(first)
  assert "0000:17:00.0 is lost" in problem.reason
  assert "--gpu-reset -i 0000:17:00.0" in problem.fix


def test_a_lost_board_that_is_named_is_said_to_be_lost(tmp_path):
  all_three = listed(three(gpu1=LOST), slots(tmp_path))
  devices, warnings = visible_devices(
    all_three, {"CUDA_VISIBLE_DEVICES": "0,1,2"}
  )
  assert [d.board.uuid for d in devices] == [UUIDS[0]]
  assert "the GPU 1 is lost" in warnings[0]
  with pytest.raises(MeterError, match="is lost"):
    choose_boards(all_three, ["1"])


def test_an_address_is_not_guessed_among_more_slots(tmp_path):
  # A container sees the slots of boards that it was not given.
  boards = listed(three(gpu0=LOST)[:2], slots(tmp_path))
  assert boards[0].lost and boards[0].pci == ""
  assert "of index 0 is lost" in lost_problem(boards[0]).reason


def test_a_board_that_is_denied_has_no_number_in_cuda(tmp_path):
  boards = listed(three(gpu0=DENIED), slots(tmp_path))
  devices, _ = visible_devices(boards, {})
  assert [(d.index, d.board.uuid) for d in devices] == [
    (0, UUIDS[1]),
    (1, UUIDS[2]),
  ]
