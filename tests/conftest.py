"""What all tests share: strict arithmetic and eight devices on the CPU.

With `-m gpu` the tests that need a card see it, and the others are not run.
"""

import os
import shutil
import sys

import pytest

# Most of a test's time is compiling; unoptimised it takes a third of it.
UNOPTIMISED = "--xla_backend_optimization_level=0"
if sys.version_info < (3, 12):  # with jax 0.10; newer ones know no such flag
  UNOPTIMISED += " --xla_cpu_use_fusion_emitters=false"
# Before any backend starts: tests of sharding need more than one device, and
# PyTorch's threads would wait for one another where tests run side by side.
ON_CPU = {
  "JAX_NUM_CPU_DEVICES": "8",
  "JAX_PLATFORMS": "cpu",
  "XLA_FLAGS": UNOPTIMISED,
  "OMP_NUM_THREADS": "1",
  "JAX_NUMPY_DTYPE_PROMOTION": "strict",  # which Flax's norms of bfloat16 break
}
OURS = {name: text for name, text in ON_CPU.items() if name not in os.environ}
os.environ.update(OURS)
# No test changes the settings of a real card (jaxpower/power/board_settings).
os.environ["JAXPOWER_NEVER_SET_GPUS"] = "1"


def pytest_configure(config: pytest.Config) -> None:
  """Lets the tests of a GPU see it, if it is they that are asked for."""
  if _asked_for_gpu(config):
    for name in OURS:
      os.environ.pop(name, None)
    # Else this process takes three quarters of the card from its workers.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


@pytest.fixture(autouse=True)
def without_pdf(
  request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Draws no PDF but where a test is of it: fonts take 0.3 s a figure."""
  figures = sys.modules.get("jaxpower.report.render.figures")
  if figures and not request.node.get_closest_marker("pdf"):
    monkeypatch.setattr(figures, "KINDS", ("png", "svg"))


def pytest_collection_modifyitems(
  config: pytest.Config, items: list[pytest.Item]
) -> None:
  """Skips what needs a GPU where none can be used, with the reason."""
  needing = [item for item in items if item.get_closest_marker("gpu")]
  if needing and (reason := _why_no_gpu(_asked_for_gpu(config))):
    for item in needing:
      item.add_marker(pytest.mark.skip(reason=reason))


def _asked_for_gpu(config: pytest.Config) -> bool:
  return (config.getoption("markexpr") or "").strip() == "gpu"


def _why_no_gpu(asked_for: bool) -> str:
  """Says why no GPU can be used; "" where one can."""
  if not shutil.which("nvidia-smi"):
    return "no NVIDIA GPU here"
  from jaxpower import machine

  here = machine.look()
  if not here.gpus:
    return "no NVIDIA GPU answers here"
  why = machine.unused_gpus("cpu", "jax", 0, here, {})
  if why is not None and why.fix.startswith("pip"):
    return str(why)
  return "" if asked_for else "run them by themselves: pytest -n0 -m gpu"
