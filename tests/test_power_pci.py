"""The GPUs in the machine's slots, from a folder like /sys/bus/pci/devices."""

import pytest

from jaxpower.power.pci import nvidia_gpus, same_pci


def add_card(folder, address, vendor="0x10de", kind="0x030200"):
  card = folder / address
  card.mkdir()
  (card / "vendor").write_text(vendor + "\n")
  (card / "class").write_text(kind + "\n")


def test_gpus_of_nvidia_are_found_in_order(tmp_path):
  add_card(tmp_path, "0000:65:00.0")
  add_card(tmp_path, "0000:17:00.0", kind="0x030000")
  add_card(tmp_path, "0000:17:00.1", kind="0x040300")  # its sound
  add_card(tmp_path, "0000:05:00.0", kind="0x068000")  # an NVSwitch
  add_card(tmp_path, "0000:03:00.0", vendor="0x1002", kind="0x030000")
  (tmp_path / "0000:99:00.0").mkdir()
  assert nvidia_gpus(tmp_path) == ("0000:17:00.0", "0000:65:00.0")


def test_a_machine_without_pci_has_none(tmp_path):
  assert nvidia_gpus(tmp_path / "not there") == ()


@pytest.mark.parametrize("text", ["", ":", "17", "a:b:c:d", "zz:00.0"])
def test_what_is_no_address_is_like_no_other(text):
  assert not same_pci(text, text)
