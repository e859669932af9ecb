"""The barrier on eight devices: real outputs hold, a dummy operation does not.

In a process of its own, because the number of CPU devices is set at start.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPT = """
import time
import jax
import jax.numpy as jnp
from jax.sharding import AxisType
from jaxpower.power import Monitor, SimulatedSource

assert jax.device_count() == 8
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
split = jax.NamedSharding(mesh, jax.P("data"))
whole = jax.NamedSharding(mesh, jax.P())

@jax.jit
def work(x):
  def body(_, x):
    return jnp.tanh(x @ x.T @ x) + 1e-3
  return jax.lax.fori_loop(0, 12, body, x)

x = jax.device_put(jnp.ones((768, 768)) * 1e-2, split)
compiled = work.lower(x).compile()
jax.block_until_ready(compiled(x))

def dummy(_):  # what other tools take for a barrier
  jax.block_until_ready(jax.device_put(0.0) + 1)

def seconds(wait):
  with Monitor([SimulatedSource(100.0)], wait=wait) as monitor:
    result = monitor.measure("train", compiled, x)
  jax.block_until_ready(result)
  return monitor.windows()[0].seconds

seconds(dummy)  # compiles the dummy operation
truth = min(seconds(jax.block_until_ready) for _ in range(3))
held = seconds(jax.block_until_ready)
slipped = min(seconds(dummy) for _ in range(3))
print(truth, held, slipped)
"""


def test_the_barrier_holds_and_a_dummy_operation_does_not():
  ran = subprocess.run(
    [sys.executable, "-c", SCRIPT],
    env={
      **os.environ,
      "PYTHONPATH": str(ROOT),
      "JAX_PLATFORMS": "cpu",
      "JAX_NUM_CPU_DEVICES": "8",
    },
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert ran.returncode == 0, ran.stderr
  truth, held, slipped = (float(part) for part in ran.stdout.split())
  assert held > 0.8 * truth
  assert slipped < 0.5 * truth
