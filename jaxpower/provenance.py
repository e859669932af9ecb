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
from collections.abc import Mapping
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
  # What computes on a GPU, and what its kernels are compiled with.
  "jax-cuda12-plugin",
  "jax-cuda13-plugin",
  "nvidia-cublas",
  "nvidia-cublas-cu12",
  "nvidia-cudnn-cu12",
  "nvidia-cudnn-cu13",
  "nvidia-nccl-cu12",
  "nvidia-nccl-cu13",
  "triton",
)

# Those of a GPU: JAX's plugin for it, the libraries that compute, compile and
# send there, and PyTorch's compiler. As they are called for CUDA 12 and 13.
GPU_PACKAGES = (
  *("jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cudnn-cu12"),
  *("jax-cuda13-plugin", "jax-cuda13-pjrt", "nvidia-cudnn-cu13"),
  *("nvidia-nccl-cu12", "nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12"),
  *("nvidia-nccl-cu13", "nvidia-cublas", "nvidia-cuda-runtime"),
  *("nvidia-cuda-nvcc-cu12", "nvidia-cuda-nvcc", "triton"),
)

# Prefixes of environment variables that say how or where frameworks compute:
# JAX and XLA, CUDA and its libraries, PyTorch and its compiler, CPU threads.
ENVIRONMENT = (
  *("JAX_", "XLA_", "CUDA_", "CUBLAS", "CUDNN_", "NCCL_", "TRITON_"),
  *("NVIDIA_TF32_OVERRIDE", "TORCH_", "TORCHDYNAMO_", "TORCHINDUCTOR_"),
  *("PYTORCH_", "ATEN_", "OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_"),
  *("OPENBLAS_", "GOTO_", "MALLOC_"),
)

# Prefixes of the variables by which a cluster or a launcher says which job this
# is and which part of it, and such variables without one. Two trials may differ
# in all of them.
JOB = ("SLURM_", "SLURMD_", "OMPI_COMM_WORLD_", "PMI_", "TORCHELASTIC_")
JOB_NAMES = (
  *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK"),
  *("MASTER_ADDR", "MASTER_PORT", "JOB_COMPLETION_INDEX"),
)
# No variable is recorded whose name has one of these (SLURM_JWT is a password).
SECRET_PARTS = ("AUTH", "CREDENTIAL", "JWT", "KEY", "PASS", "SECRET", "TOKEN")

# Variables of a debugger. They make trials fail that would not (a loss that is
# not finite is a result here), or run what is measured uncompiled, unfused or
# one kernel at a time; so no worker is started with them.
DEBUG_SWITCHES = (
  "JAX_ARRAY_GARBAGE_COLLECTION_GUARD",
  "JAX_CHECK_TRACER_LEAKS",
  "JAX_DEBUG_INFS",
  "JAX_DEBUG_KEY_REUSE",
  "JAX_DEBUG_NANS",
  "JAX_DISABLE_JIT",
  "JAX_DISABLE_MOST_OPTIMIZATIONS",
  "JAX_ENABLE_CHECKS",
  "JAX_NO_EXECUTION",
  "JAX_NO_TRACING",
  "JAX_NUMPY_RANK_PROMOTION",
  "JAX_THREAD_GUARD",
  "JAX_TRANSFER_GUARD",
  "JAX_TRANSFER_GUARD_DEVICE_TO_DEVICE",
  "JAX_TRANSFER_GUARD_DEVICE_TO_HOST",
  "JAX_TRANSFER_GUARD_HOST_TO_DEVICE",
  "CUDA_LAUNCH_BLOCKING",
  "TORCHDYNAMO_DISABLE",
  "TORCH_COMPILE_DISABLE",
)

# Of the variables recorded, those that change nothing that is measured: which
# devices there are (a record has them apart), how much memory is reserved
# before it is needed, where files lie, what is logged. Any other may change
# arithmetic, random numbers, what is compiled or the time that it takes.
NEUTRAL = (
  "CUDA_DEVICE_ORDER",
  "CUDA_VERSION",
  "JAX_COORDINATOR_ADDRESS",
  "JAX_PLATFORMS",
  "JAX_PLATFORM_NAME",
  "XLA_CLIENT_MEM_FRACTION",
  "XLA_PYTHON_CLIENT_MEM_FRACTION",  # its older name
  "XLA_PYTHON_CLIENT_PREALLOCATE",
)
NEUTRAL_ENDS = (
  "_DIR",
  "_DIRECTORY",
  "_HOME",
  "_PATH",
  "_ROOT",
  "_VISIBLE_DEVICES",
)
# MALLOC_ is the same in all workers since they set it.
NEUTRAL_PARTS = (
  "MALLOC_",
  "_CACHE",
  "DUMP",
  "_LOG",
  "NCCL_DEBUG",
  "TRACEBACK",
  "VERBOSE",
)
NEUTRAL_XLA_FLAGS = "--xla_dump"  # the beginning of their names
# As jax reads a truth value or a guard.
OFF = ("", "0", "f", "false", "n", "no", "off", "allow")
OFF_BY_DEFAULT = ("JAX_ENABLE_X64",)

GIT_SECONDS = 5.0  # chosen: a repository that answers later has no revision


def collect() -> dict[str, Any]:
  """Collects versions, revision, host, CPU and environment, as JSON values."""
  revision, unknown = _git_revision()
  return {
    "versions": package_versions(),
    "git_revision": revision,
    "git_revision_unknown": unknown,
    "host": platform.node(),
    "system": platform.platform(),
    "cpu": _cpu_name(),
    "cpu_count": os.cpu_count(),
    "cpus_usable": len(os.sched_getaffinity(0))
    if hasattr(os, "sched_getaffinity")
    else None,
    "environment": environment(os.environ),
    "job": job(os.environ),
  }


def environment(variables: Mapping[str, str]) -> dict[str, str]:
  """Picks the variables that say how or where frameworks compute, by name."""
  return {
    name: variables[name]
    for name in sorted(variables)
    if name.startswith(ENVIRONMENT) and not _is_secret(name)
  }


def job(variables: Mapping[str, str]) -> dict[str, str]:
  """Picks the variables of the cluster's job or of the launcher, by name."""
  return {
    name: variables[name]
    for name in sorted(variables)
    if (name.startswith(JOB) or name in JOB_NAMES) and not _is_secret(name)
  }


def _is_secret(name: str) -> bool:
  return any(part in name.upper() for part in SECRET_PARTS)


def of_worker(variables: Mapping[str, str]) -> dict[str, Any]:
  """Returns the "environment" that a worker started from these variables has.

  As in its provenance, so that it can be compared with that of a record.
  """
  return {"environment": environment(without_debug_switches(variables))}


def without_debug_switches(variables: Mapping[str, str]) -> dict[str, str]:
  """Leaves the variables of a debugger out of an environment."""
  return {n: v for n, v in variables.items() if n not in DEBUG_SWITCHES}


def debug_switches(variables: Mapping[str, str]) -> dict[str, str]:
  """Picks the variables of a debugger that are set and not to "off"."""
  return {
    name: variables[name]
    for name in DEBUG_SWITCHES
    if variables.get(name, "").lower() not in OFF
  }


def arithmetic_environment(provenance: Mapping[str, Any]) -> dict[str, str]:
  """Picks the environment variables on which joules or accuracies depend.

  Two trials whose variables differ are not repeats of each other: arithmetic,
  random numbers, the compiled program or its time may be others.

  Args:
    provenance: That of a record; of an older version it may have no
      "environment", which counts as an empty one.

  Returns:
    Value by name, sorted by name, so that equal settings are equal dicts.
    Words of XLA_FLAGS are sorted; flags and variables without effect on what
    is measured are left out.
  """
  recorded = provenance.get("environment") or {}
  picked = {}
  for name in sorted(recorded):
    value = str(recorded[name])
    if _is_neutral(name):
      continue
    if name in OFF_BY_DEFAULT and value.lower() in OFF:
      continue
    if name == "XLA_FLAGS":
      flags = value.split()
      kept = (f for f in flags if not f.startswith(NEUTRAL_XLA_FLAGS))
      value = " ".join(sorted(kept))
    if value:
      picked[name] = value
  return picked


def _is_neutral(name: str) -> bool:
  return (
    name in NEUTRAL
    or name.endswith(NEUTRAL_ENDS)
    or any(part in name for part in NEUTRAL_PARTS)
  )


def command_line() -> list[str]:
  """Returns the command line, with the interpreter and its options."""
  return [*sys.orig_argv]


def package_versions() -> dict[str, str]:
  """Returns the versions of Python and of the packages that are there."""
  versions = {"python": platform.python_version()}
  for package in (*PACKAGES, *GPU_PACKAGES):
    try:
      versions[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return versions


def _git_revision() -> tuple[str | None, str | None]:
  """Returns the commit of the source, with "+" if tracked files differ.

  None without git or outside a repository, as when installed from a wheel or
  copied into a container; and then the reason, which is None else.
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
    except subprocess.CalledProcessError as error:
      lines = error.stderr.strip().splitlines() or [f"exit {error.returncode}"]
      return None, f"git {command[0]}: {lines[0]}"
    except subprocess.TimeoutExpired:
      return None, f"git {command[0]}: no answer for {GIT_SECONDS:g} s"
    except OSError as error:
      return None, f"git: {error.strerror or error}"
    outputs.append(done.stdout.strip())
  revision, changes = outputs
  return revision + ("+" if changes else ""), None


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
