"""Does XLA's whole chain work here: cuDNN, libdevice, ptxas, a scan's gradient?

Prints a line for each check; exit code 1 where one fails.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxpower.learn.layers import convolve, convolve_xla
from jaxpower.learn.transformer import fused_attention

failed: list[str] = []


def check(name: str, call: Callable[[], Any]) -> None:
  began = time.monotonic()
  try:
    said = jax.block_until_ready(call())
    print(f"ok    {name}: {said}, {time.monotonic() - began:.1f} s", flush=True)
  except Exception as error:  # noqa: BLE001, the next check matters too
    failed.append(name)
    print(f"FAIL  {name}: {str(error).splitlines()[0][:200]}", flush=True)


def trained(dtype: str) -> jax.Array:
  kernel = jnp.full((3, 3, 8, 16), 0.01, dtype)
  images = jnp.ones((64, 28, 28, 8), dtype)

  def loss(kernel: jax.Array) -> jax.Array:
    outputs = convolve(images, kernel, (2, 2))
    return jnp.tanh(outputs).astype(jnp.float32).sum()

  def step(kernel: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
    value, grad = jax.value_and_grad(loss)(kernel)
    return kernel - jnp.asarray(1e-6, dtype) * grad, value

  return jax.jit(lambda k: jax.lax.scan(step, k, None, 50))(kernel)[1][-1]


def attention(padded: bool) -> jax.Array:
  qkv = jnp.ones((2, 64, 3, 4, 32), jnp.bfloat16)
  name = "cudnn" if jax.default_backend() == "gpu" else "xla"
  seen = jnp.arange(64)[None, None, None] < 48 if padded else None

  def loss(qkv: jax.Array) -> jax.Array:
    mixed = fused_attention(qkv, seen, not padded, name)
    return jnp.sin(mixed.astype(jnp.float32)).sum()

  value, gradient = jax.jit(jax.value_and_grad(loss))(qkv)
  return value + gradient.astype(jnp.float32).sum()


def difference() -> jax.Array:
  images, kernel = jnp.ones((4, 9, 9, 3)), jnp.ones((3, 3, 3, 5))
  return jnp.abs(
    convolve(images, kernel) - convolve_xla(images, kernel, (1, 1))
  ).max()


half = jnp.ones((512, 512), jnp.bfloat16)
print(jax.default_backend(), jax.devices()[0].device_kind, jax.__version__)
check("tanh (libdevice)", lambda: jax.jit(jnp.tanh)(jnp.ones(8)).sum())
check("a product in bfloat16", lambda: (half @ half).sum())
check("convolutions in a scan, float32", lambda: trained("float32"))
check("convolutions in a scan, bfloat16", lambda: trained("bfloat16"))
check("attention of cuDNN, causal", lambda: attention(padded=False))
check("attention of cuDNN, padded", lambda: attention(padded=True))
check("convolve against XLA's own", difference)
sys.exit(bool(failed))
