"""Provenance of a record: versions, git revision, host, CPU, command line.

Whoever finds two records that differ looks here first. Only what can be read
without opening a device is collected here, and never the whole environment,
which may hold secrets: the state of the GPUs is the meter's to tell.
"""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

# Packages whose version may change a number, where they are installed.
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

# Prefixes of environment variables that say how or where frameworks compute.
ENVIRONMENT = ("CUDA_", "XLA_", "JAX_", "OMP_")

GIT_SECONDS = 5.0  # chosen: a repository that answers later has no revision


def collect() -> dict[str, Any]:
  """Collects versions, revision, host, CPU and environment, as JSON values."""
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
      if name.startswith(ENVIRONMENT)
    },
  }


def command_line() -> list[str]:
  """Returns the command line, with the interpreter and its options."""
  return [*sys.orig_argv]


def _versions() -> dict[str, str]:
  """Returns the version of each of PACKAGES that is installed."""
  versions = {}
  for package in PACKAGES:
    try:
      versions[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return versions


def _git_revision() -> str | None:
  """Returns the commit of the source, with "+" if tracked files differ.

  None without git or outside a repository, as when installed from a wheel.
  """
  here = pathlib.Path(__file__).parent
  outputs = []
  for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"]):
    try:
      done = subprocess.run(
        ["git", *command],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS,
        check=True,
      )
    except (OSError, subprocess.SubprocessError):
      return None
    outputs.append(done.stdout.strip())
  revision, changes = outputs
  return revision + ("+" if changes else "")


def _cpu_name() -> str:
  """Reads the CPU's model from Linux; else what Python calls the processor."""
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
