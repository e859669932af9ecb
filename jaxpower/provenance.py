"""Where a number comes from: versions, revision, host and command line."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

PACKAGES = (
  "jaxpower",
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "numpy",
  "nvidia-ml-py",
  "torch",
)


def collect() -> dict[str, Any]:
  """What can be known without opening a device, ready for JSON."""
  return {
    "versions": {"python": platform.python_version()} | _versions(),
    "git_revision": _git_revision(),
    "host": platform.node(),
    "system": platform.platform(),
    "cpu": _cpu_name(),
    "cpu_count": os.cpu_count(),
    "cpus_usable": len(os.sched_getaffinity(0))
    if hasattr(os, "sched_getaffinity")
    else None,
    "environment": {
      name: os.environ[name]
      for name in sorted(os.environ)
      if name.startswith(("CUDA_", "XLA_", "JAX_", "OMP_"))
    },
  }


def command_line() -> list[str]:
  """How this program was called."""
  return [*sys.orig_argv]


def _versions() -> dict[str, str]:
  found = {}
  for package in PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found


def _git_revision() -> str | None:
  """The commit of the source, with "+" when the tree has changes."""
  here = pathlib.Path(__file__).parent
  answers = []
  for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"]):
    try:
      done = subprocess.run(
        ["git", *command],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=5,
        check=True,
      )
    except (OSError, subprocess.SubprocessError):
      return None
    answers.append(done.stdout.strip())
  revision, changes = answers
  return revision + ("+" if changes else "")


def _cpu_name() -> str:
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    return platform.processor()
  names = [
    line.partition(":")[2].strip()
    for line in lines
    if line.startswith("model name")
  ]
  return names[0] if names else platform.processor()
