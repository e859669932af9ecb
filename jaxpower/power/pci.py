"""The GPUs that sit in the machine, as Linux lists them without any driver.

A board that its driver lost, or for which there is no driver, is still a card
in a slot. In a container these may be more than it was given.
"""

from pathlib import Path

PCI_DEVICES = Path("/sys/bus/pci/devices")
NVIDIA = "0x10de"  # the vendor, pcisig.com
# The classes of what computes: a VGA controller, and a 3D controller, which
# has no output for a screen (include/linux/pci_ids.h).
GPU_CLASSES = ("0x0300", "0x0302")


def nvidia_gpus(devices: Path = PCI_DEVICES) -> tuple[str, ...]:
  """Lists the PCI addresses of NVIDIA GPUs in order, as "0000:17:00.0"."""
  return tuple(
    folder.name
    for folder in sorted(devices.glob("*"))
    if _read(folder / "vendor") == NVIDIA
    and _read(folder / "class").startswith(GPU_CLASSES)
  )


def _read(path: Path) -> str:
  try:
    return path.read_text().strip().lower()
  except (OSError, UnicodeDecodeError):
    return ""


def same_pci(first: str, second: str) -> bool:
  """Tells whether two PCI addresses are one slot: 00000000:17:00.0, 17:00."""
  return _key(first) is not None and _key(first) == _key(second)


def _key(text: str) -> tuple[int, ...] | None:
  """Returns (domain, bus, device), or None for what is no PCI address."""
  digits = text.split(".")[0].split(":")
  try:
    numbers = tuple(int(part, 16) for part in digits)
  except ValueError:
    return None
  return (0, *numbers)[-3:] if len(numbers) in (2, 3) else None
