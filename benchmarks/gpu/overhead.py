"""What the running sampler costs a busy GPU: steps a second without and with.

Blocks alternate, so that a drift falls on both. Writes JSON.
"""

import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxpower.power import Monitor

GPU = jax.default_backend() == "gpu"
PAIRS, SECONDS = (4, 1.5) if GPU else (2, 1.0)
SIDE = 4096 if GPU else 256


def rate(work: Callable[[Any], Any], value: Any) -> dict[str, float]:
  """Returns steps a second and the share of a core that they took."""
  began, cpu, count = time.perf_counter(), time.process_time(), 0
  while time.perf_counter() - began < SECONDS:
    for _ in range(20):
      value = work(value)
    jax.block_until_ready(value)
    count += 20
  seconds = time.perf_counter() - began
  return {
    "steps_a_second": count / seconds,
    "cores": (time.process_time() - cpu) / seconds,
  }


def compared(work: Callable[[Any], Any], value: Any) -> dict[str, Any]:
  jax.block_until_ready(work(value))
  without, beside = [], []
  for _ in range(PAIRS):
    without.append(rate(work, value))
    with Monitor("nvml") as monitor, monitor.window("block"):
      beside.append(rate(work, value))
  ratios = [
    b["steps_a_second"] / w["steps_a_second"]
    for w, b in zip(without, beside, strict=True)
  ]
  return {
    "without": without,
    "with": beside,
    "ratio_median": statistics.median(ratios),
  }


large = jnp.full((SIDE, SIDE), 1e-3, jnp.bfloat16 if GPU else jnp.float32)
told = {
  "backend": jax.default_backend(),
  "large kernels": compared(jax.jit(lambda x: jnp.tanh(x @ x) * 1e-2), large),
  "tiny kernels": compared(jax.jit(lambda x: x + 1), jnp.float32(0)),
}
text = json.dumps(told, indent=1)
print(text)
pathlib.Path(sys.argv[1]).write_text(f"{text}\n")
