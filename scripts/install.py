"""Installs jaxpower with the JAX that this machine's driver can run.

  python scripts/install.py --cuda=auto

  --cuda=auto   auto, 13, 12 or none: which CUDA JAX is built for
  --extra=NAME  an extra of pyproject.toml, such as dev; several times
  --torch=X.Y   installs that PyTorch too
  --dry-run     prints the commands and runs none
  --note=FILE   only writes the choice to FILE, where it is another one

Run by make, before anything is installed: the standard library alone.
"""

import argparse
import dataclasses
import importlib.metadata
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNEL_MODULE = pathlib.Path("/proc/driver/nvidia/version")
PCI_VENDORS = "/sys/bus/pci/devices/*/vendor"
NVIDIA = "0x10de"

# What JAX's builds ask for: the oldest driver, and the oldest compute
# capability (docs.jax.dev, "Installation", NVIDIA GPU); newest first.
BUILDS = {"13": (580, 7.5), "12": (525, 5.2)}
CHOICES = ("auto", *BUILDS, "none")
QUERIES = ("driver_version,compute_cap", "driver_version")  # older: the second
PATIENCE_SECONDS = 60.0  # chosen: nvidia-smi wakes eight boards in about 20 s


@dataclasses.dataclass(frozen=True)
class Cards:
  """The NVIDIA GPUs of a machine; what is not known is None.

  Attributes:
    count: How many.
    driver: The major version of their driver.
    capability: The least of their compute capabilities.
  """

  count: int = 0
  driver: int | None = None
  capability: float | None = None


@dataclasses.dataclass(frozen=True)
class Choice:
  """Which CUDA ("13", "12" or "none"), and the sentence that says why."""

  cuda: str
  why: str


def main(arguments: Sequence[str]) -> int:
  """Chooses, says which and why, installs; returns the exit code."""
  options = _parser().parse_args(arguments)
  choice = choose(options.cuda, look())
  if options.note:
    note(pathlib.Path(options.note), choice)
    return 0
  print(f"install: {choice.why}", flush=True)
  for command in commands(choice, options.extra, options.torch, _packages()):
    if options.dry_run:
      print(shlex.join(command))
    elif code := subprocess.run(command, cwd=ROOT, check=False).returncode:
      return code
  return 0


def choose(asked: str, cards: Cards) -> Choice:
  """Chooses the build of JAX for the cards of a machine, unless it is asked."""
  if asked != "auto":
    build = "the CPU build" if asked == "none" else f"CUDA {asked}"
    return Choice(asked, f"{build} of JAX, as asked for (CUDA={asked})")
  if not cards.count:
    return Choice("none", "no NVIDIA GPU here, so the CPU build of JAX")
  gpus = f"{cards.count} NVIDIA GPU" + "s" * (cards.count > 1)
  if cards.driver is None:
    return Choice(
      "none",
      f"{gpus} here without an NVIDIA driver, so the CPU build of JAX; install"
      " the driver (in a container: --gpus all), then make again, or say"
      " make CUDA=13",
    )
  for cuda, (driver, capability) in BUILDS.items():
    if cards.driver < driver:
      continue
    if cards.capability is not None and cards.capability < capability:
      gpus += f" of compute capability {cards.capability}"
      continue
    return Choice(
      cuda,
      f"{gpus} with driver {cards.driver}, so CUDA {cuda} of JAX (make"
      " CUDA=none: the CPU build)",
    )
  return Choice(
    "none",
    f"{gpus} with driver {cards.driver}, older than JAX's"
    f" {BUILDS['12'][0]}, so the CPU build of JAX; update the driver, then"
    " make again",
  )


def look() -> Cards:
  """Asks nvidia-smi for the cards, else the kernel's files."""
  for query in QUERIES:
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
      asked = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS
      )
    except (OSError, subprocess.TimeoutExpired):
      break
    if asked.returncode == 0 and (cards := parse(asked.stdout)).count:
      return cards
  return _by_kernel()


def parse(answer: str) -> Cards:
  """Reads nvidia-smi's lines, a card each: `580.95.05, 9.0`."""
  rows = [
    [cell.strip() for cell in line.split(",")]
    for line in answer.splitlines()
    if re.match(r"\d+\.", line)
  ]
  capabilities = [
    float(row[1])
    for row in rows
    if len(row) > 1 and re.fullmatch(r"\d+\.\d+", row[1])
  ]
  driver = int(rows[0][0].split(".")[0]) if rows else None
  return Cards(len(rows), driver, min(capabilities, default=None))


def _by_kernel() -> Cards:
  """Counts NVIDIA's cards in the slots; the driver is its module's."""
  vendors = pathlib.Path("/").glob(PCI_VENDORS.lstrip("/"))
  slots = [path.parent for path in vendors if _text(path).strip() == NVIDIA]
  # Display and 3D controllers, not a card's sound or bridges.
  gpus = [s for s in slots if _text(s / "class").startswith("0x03")]
  module = re.search(r"Module\s+.*?(\d+)\.\d+", _text(KERNEL_MODULE))
  count = len(gpus) or bool(module)
  return Cards(count, int(module[1]) if module else None)


def _text(path: pathlib.Path) -> str:
  try:
    return path.read_text()
  except (OSError, UnicodeDecodeError):
    return ""


def commands(
  choice: Choice, extras: Sequence[str], torch: str, installed: Sequence[str]
) -> list[list[str]]:
  """Lists the commands that install a choice.

  Args:
    choice: Which CUDA.
    extras: Of pyproject.toml.
    torch: The version of PyTorch, or "".
    installed: Names of the packages that are there: another CUDA's plugin
      would be loaded beside the one that is chosen.
  """
  pip = [sys.executable, "-m", "pip"]
  others = [
    name
    for name in installed
    if (match := re.fullmatch(r"jax-cuda(\d+)-(?:plugin|pjrt)", name))
    and match[1] != choice.cuda
  ]
  wanted = [*extras] + [f"cuda{choice.cuda}"] * (choice.cuda != "none")
  target = "." + (f"[{','.join(wanted)}]" if wanted else "")
  install = [*pip, "install", "--quiet", "--constraint", "constraints.txt"]
  return [
    *([[*pip, "uninstall", "--yes", "--quiet", *others]] if others else []),
    [*install, "--editable", target],
    *([[*pip, "install", "--quiet", f"torch=={torch}"]] if torch else []),
  ]


def note(path: pathlib.Path, choice: Choice) -> None:
  """Writes a choice to a file, which keeps its date where it is the same."""
  if _text(path) != choice.cuda:
    path.write_text(choice.cuda)


def _packages() -> list[str]:
  """Names the packages of this Python."""
  found = importlib.metadata.distributions()
  return sorted({d.metadata["Name"].lower().replace("_", "-") for d in found})


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="install",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--cuda", choices=CHOICES, default="auto")
  parser.add_argument("--extra", action="append", default=[])
  parser.add_argument("--torch", default="")
  parser.add_argument("--dry-run", action="store_true")
  parser.add_argument("--note", default="")
  return parser


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
