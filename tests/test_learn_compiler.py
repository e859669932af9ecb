"""What XLA is told for a GPU; this jaxlib has to know each option."""

import types
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxpower.config import Execution
from jaxpower.learn import spec as spec_module
from jaxpower.learn.compiler import options


def card(capability: str) -> types.SimpleNamespace:
  return types.SimpleNamespace(platform="gpu", compute_capability=capability)


@pytest.mark.parametrize(
  ("execution", "capability", "told"),
  [
    (Execution(), "9.0", {}),
    (Execution(), "8.0", {"xla_gpu_force_conv_nhwc": True}),
    (Execution(), "6.1", {}),
    (Execution(), "gfx90a", {}),  # of an AMD GPU
    (Execution(layout="nchw"), "9.0", {"xla_gpu_force_conv_nchw": True}),
    (Execution(layout="nhwc"), "9.0", {"xla_gpu_force_conv_nhwc": True}),
    (Execution(autotune_level=0), "9.0", {"xla_gpu_autotune_level": 0}),
    (
      Execution(command_buffers="none"),
      "9.0",
      {"xla_gpu_enable_command_buffer": ""},
    ),
  ],
)
def test_each_switch_has_its_option(execution, capability, told):
  assert options(execution, card(capability)) == told


def test_on_a_cpu_there_are_none():
  everything = Execution(command_buffers="loops", autotune_level=4)
  assert options(everything, jax.devices("cpu")[0]) == {}


def test_xla_knows_every_option():
  add = jax.jit(lambda x: x + 1).lower(jnp.ones(4))
  for layout in ("nhwc", "nchw"):
    for buffers in ("none", "loops"):
      switches = Execution(
        command_buffers=buffers, autotune_level=2, layout=layout
      )
      told = options(switches, card("8.0"))
      assert len(told) == 3
      add.compile(told)


@pytest.mark.parametrize(
  ("asked", "precision", "capability", "who"),
  [
    ("auto", "bfloat16", "9.0", "cudnn"),
    ("auto", "bfloat16", "7.5", "plain"),
    ("auto", "float32", "9.0", "plain"),
    ("plain", "bfloat16", "9.0", "plain"),
    ("fused", "bfloat16", "8.0", "cudnn"),
    ("fused", "float32", "9.0", "xla"),
    ("auto", "bfloat16", None, "plain"),  # a CPU
    ("fused", "bfloat16", None, "xla"),
  ],
)
def test_who_computes_attention(
  asked: str,
  precision: str,
  capability: str | None,
  who: str,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  device = jax.devices("cpu")[0] if capability is None else card(capability)
  flat = types.SimpleNamespace(flat=[device])
  mesh = types.SimpleNamespace(devices=flat)
  monkeypatch.setattr(spec_module, "make_mesh", lambda devices: mesh)
  spec: Any = types.SimpleNamespace(
    devices=1, precision=precision, execution=Execution(attention=asked)
  )
  assert spec_module.attention_of(spec) == who
