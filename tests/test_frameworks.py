"""Which frameworks can use the GPUs, from what is installed."""

import importlib.metadata

import pytest

from jaxpower import frameworks
from jaxpower.frameworks import Framework, torch_cuda, why_no_gpu

CPU_JAX = Framework("JAX", "0.10.2")
CUDA_13 = Framework("JAX", "0.10.2", 13, "0.10.2", "0.10.2")
TORCH = Framework("PyTorch", "2.13.0", 13)


@pytest.mark.parametrize(
  ("framework", "driver", "environ", "reason", "fix"),
  [
    (CPU_JAX, 13, {}, "without CUDA", "pip install 'jax[cuda13]==0.10.2'"),
    (CPU_JAX, 12, {}, "without CUDA", "pip install 'jax[cuda12]==0.10.2'"),
    (CPU_JAX, 14, {}, "without CUDA", "pip install 'jax[cuda13]==0.10.2'"),
    (CPU_JAX, None, {}, "without CUDA", "pip install 'jax[cuda12]==0.10.2'"),
    (CPU_JAX, 11, {}, "without CUDA", "update the driver: JAX needs CUDA 12"),
    (CUDA_13, 12, {}, "needs CUDA 13, the driver knows CUDA 12", "jax[cuda12]"),
    (TORCH, 12, {}, "needs CUDA 13, the driver knows CUDA 12", "for CUDA 12"),
    (Framework("PyTorch", "2.13"), 12, {}, "without CUDA", "for CUDA 12"),
    (
      CUDA_13,
      13,
      {"JAX_PLATFORMS": "cpu"},
      "JAX_PLATFORMS='cpu' hides them",
      "unset JAX_PLATFORMS",
    ),
    (
      Framework("JAX", "0.10.2", 12, "0.10.1", "0.10.2"),
      13,
      {},
      "plugin 0.10.1 does not fit jaxlib 0.10.2",
      "pip install 'jax[cuda12]==0.10.2'",
    ),
  ],
)
def test_each_reason_has_its_command(framework, driver, environ, reason, fix):
  problem = why_no_gpu(framework, driver, environ)
  assert problem is not None
  assert reason in problem.reason and fix in problem.fix


@pytest.mark.parametrize("platforms", ["", "cuda", "gpu,cpu", "cpu, cuda"])
def test_a_framework_that_fits_has_none(platforms):
  environ = {"JAX_PLATFORMS": platforms}
  assert why_no_gpu(CUDA_13, 13, environ) is None
  assert why_no_gpu(TORCH, None, {"JAX_PLATFORMS": "cpu"}) is None


@pytest.mark.parametrize(
  ("line", "cuda"),
  [
    ("cuda: Optional[str] = None", None),
    ("cuda: Optional[str] = '12.8'", 12),
    ('cuda = "13.0"', 13),
    ("hip: Optional[str] = '7.0'", None),
    ("", None),
  ],
)
def test_pytorch_says_for_which_cuda_it_was_built(line, cuda):
  text = f"__version__ = '2.13.0'\ndebug = False\n{line}\nxpu = None\n"
  assert torch_cuda(text) == cuda


def test_what_is_installed_is_found_without_loading_it(monkeypatch):
  found = {framework.name: framework for framework in frameworks.installed()}
  jax = importlib.metadata.version("jax")
  assert found["JAX"].version == jax
  versions = {
    "jax": "0.10.2",
    "jaxlib": "0.10.2",
    "jax-cuda12-plugin": "0.10.1",
  }
  monkeypatch.setattr(frameworks, "_version", versions.get)
  assert frameworks.installed() == (
    Framework("JAX", "0.10.2", 12, "0.10.1", "0.10.2"),
  )
