"""What XLA is told about compiling for a GPU, by the switches of a trial.

Options go to one compilation and not into XLA_FLAGS, which hold for a process:
so trials that differ in them share a worker, and the record's config has them.
On other platforms there are none.
"""

from typing import Any

from jaxpower.config import Execution
from jaxpower.learn.devices import HOPPER, capability_of, make_mesh
from jaxpower.learn.spec import Spec

# Compute capability of Volta; before it NHWC is nothing to gain from.
TENSOR_CORES = 7.0
# What XLA captures into CUDA graphs where it is told to capture loops: the
# default's kinds, and loops and convolutions, which it leaves out by default
# (openxla/xla pull request 34572).
WITH_LOOPS = (
  "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,WHILE,CONDITIONAL,CONVOLUTION"
)


def options(execution: Execution, device: Any) -> dict[str, Any]:
  """Returns the compiler's options for a device of JAX.

  From Hopper on XLA lays out convolutions as NHWC by itself; on older cards
  with tensor cores it transposes around each of them unless it is told.
  """
  if device.platform != "gpu":
    return {}
  capability = capability_of(device)
  chosen: dict[str, Any] = {}
  if execution.command_buffers != "default":
    loops = execution.command_buffers == "loops"
    chosen["xla_gpu_enable_command_buffer"] = WITH_LOOPS if loops else ""
  if execution.autotune_level >= 0:
    chosen["xla_gpu_autotune_level"] = execution.autotune_level
  if execution.autotune_level == 0:
    # Which of Triton's products to take is only known by trying; cuBLAS has a
    # first choice. XLA gave some up instead ("No supported config found",
    # jax 0.11.2, a ViT with layout nchw, compiled for an H100).
    chosen["xla_gpu_enable_triton_gemm"] = False
  old = TENSOR_CORES <= capability < HOPPER
  if execution.layout == "nhwc" or (execution.layout == "auto" and old):
    chosen["xla_gpu_force_conv_nhwc"] = True
  if execution.layout == "nchw":
    chosen["xla_gpu_force_conv_nchw"] = True
  return chosen


def options_of(spec: Spec) -> dict[str, Any]:
  """Returns the compiler's options for the programs of a spec."""
  return options(spec.execution, make_mesh(spec.devices).devices.flat[0])
