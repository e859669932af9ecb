"""Whether the installed JAX and PyTorch can use NVIDIA GPUs, and if not, why.

Found from what is installed and from the environment, without loading a
framework: that would take seconds, and a GPU.
"""

import importlib.util
import pathlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from jaxpower.power import Problem

# The plugins by which JAX computes with CUDA (jaxlib/plugin_support.py), as
# packages are named; the newest is taken first.
JAX_PLUGINS = {13: "jax-cuda13-plugin", 12: "jax-cuda12-plugin"}
# Words of JAX_PLATFORMS with which JAX takes GPUs of NVIDIA.
CUDA_PLATFORMS = ("cuda", "gpu")


@dataclass(frozen=True)
class Framework:
  """An installed framework.

  `cuda` is the major version of CUDA that it was built for; None: it computes
  without. `plugin` is the version of the package that has CUDA, where that is
  one apart; it has to be `library`, the version of what it is plugged into.
  """

  name: str
  version: str
  cuda: int | None = None
  plugin: str | None = None
  library: str | None = None


def installed() -> tuple[Framework, ...]:
  """Finds JAX and PyTorch, where they are installed."""
  found = (_jax(), _torch())
  return tuple(framework for framework in found if framework is not None)


def _version(package: str) -> str | None:
  try:
    return version(package)
  except PackageNotFoundError:
    return None


def _jax() -> Framework | None:
  jax = _version("jax")
  if jax is None:
    return None
  for cuda, package in JAX_PLUGINS.items():
    if plugin := _version(package):
      return Framework("JAX", jax, cuda, plugin, _version("jaxlib"))
    if importlib.util.find_spec(package.replace("-", "_")):  # as Conda's
      return Framework("JAX", jax, cuda)
  return Framework("JAX", jax)


def _torch() -> Framework | None:
  spec = importlib.util.find_spec("torch")
  number = _version("torch")
  if spec is None or spec.origin is None or number is None:
    return None
  path = pathlib.Path(spec.origin).with_name("version.py")
  return Framework("PyTorch", number, torch_cuda(_read(path)))


def _read(path: pathlib.Path) -> str:
  try:
    return path.read_text()
  except OSError:
    return ""


def torch_cuda(text: str) -> int | None:
  """Reads from torch/version.py for which CUDA it was built: its major."""
  match = re.search(r"^cuda\b.*=\s*['\"](\d+)", text, re.MULTILINE)
  return int(match[1]) if match else None


def why_no_gpu(
  framework: Framework, driver_cuda: int | None, environ: Mapping[str, str]
) -> Problem | None:
  """Says why a framework cannot use the NVIDIA GPUs that are here, or None.

  Args:
    framework: What is installed.
    driver_cuda: The newest major version of CUDA that the driver knows; None
      if it does not tell.
    environ: The environment of the run.
  """
  name = f"{framework.name} {framework.version}"
  if framework.cuda is None:
    fix = _install(framework, driver_cuda)
    return Problem(f"this {name} was built without CUDA", fix)
  if driver_cuda is not None and framework.cuda > driver_cuda:
    return Problem(
      f"this {name} needs CUDA {framework.cuda}, the driver knows CUDA"
      f" {driver_cuda} at most",
      f"{_install(framework, driver_cuda)}, or update the driver",
    )
  if framework.plugin != framework.library:
    return Problem(
      f"the CUDA plugin {framework.plugin} does not fit jaxlib"
      f" {framework.library}, so JAX leaves it out",
      _install(framework, framework.cuda),
    )
  platforms = environ.get("JAX_PLATFORMS", "")
  words = [word.strip() for word in platforms.split(",")]
  if framework.name != "JAX" or not platforms:
    return None
  if not any(word in CUDA_PLATFORMS for word in words):
    reason = f"JAX_PLATFORMS={platforms!r} hides them from JAX"
    return Problem(reason, "unset JAX_PLATFORMS")
  return None


def _install(framework: Framework, cuda: int | None) -> str:
  """Writes the command that installs a framework for this driver."""
  if framework.name != "JAX":
    return (
      "pip install --force-reinstall torch, in the build for CUDA"
      f" {cuda or 'of this driver'} (the selector on pytorch.org)"
    )
  if cuda is not None and cuda < min(JAX_PLUGINS):
    return f"update the driver: JAX needs CUDA {min(JAX_PLUGINS)}"
  known = min(cuda or min(JAX_PLUGINS), max(JAX_PLUGINS))
  return f"pip install 'jax[cuda{known}]=={framework.version}'"
