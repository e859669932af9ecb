"""What all tests share: strict arithmetic and eight devices on the CPU."""

import os
import shutil
import sys

import pytest

# Before any backend starts: tests of sharding need more than one device.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")
# Most of a test's time is compiling; unoptimised it takes a third of it.
UNOPTIMISED = "--xla_backend_optimization_level=0"
if sys.version_info < (3, 12):  # with jax 0.10; newer ones know no such flag
  UNOPTIMISED += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", UNOPTIMISED)
# Tests run side by side; PyTorch's threads would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """Skips what needs a GPU where none is."""
  if shutil.which("nvidia-smi"):
    return
  for item in items:
    if "gpu" in item.keywords:
      item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))
