"""What XLA is told for a GPU; this jaxlib has to know each option."""

import importlib
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpower.config import Execution, Model, Trial
from jaxpower.learn import spec as spec_module
from jaxpower.learn.compiler import options
from jaxpower.learn.numerics import numerics_of
from jaxpower.learn.programs import flops_per_step
from jaxpower.learn.spec import Spec
from jaxpower.learn.step import train_step
from jaxpower.learn.transformer import fused_attention


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
    (Execution(autotune_level=3), "9.0", {"xla_gpu_autotune_level": 3}),
    (
      Execution(autotune_level=0),
      "9.0",
      {"xla_gpu_autotune_level": 0, "xla_gpu_enable_triton_gemm": False},
    ),
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
        command_buffers=buffers, autotune_level=0, layout=layout
      )
      told = options(switches, card("8.0"))
      assert len(told) == 4
      add.compile(told)


CPU = None


def on(capability: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
  """Has specs find such a card, or the CPU that is here."""
  device: Any = jax.devices("cpu")[0]
  if capability is not None:
    device = card(capability)
  mesh = types.SimpleNamespace(devices=np.array([device]), size=1)
  monkeypatch.setattr(spec_module, "make_mesh", lambda devices: mesh)


def spec_of(
  asked: str = "auto",
  name: str = "transformer",
  head: int = 16,
  length: int = 48,
  precision: str = "bfloat16",
) -> Spec:
  """Makes the spec of a network with heads of such a size."""
  side = {50: 28, 65: 32}.get(length, 28)
  shape = (8, side, side, 1) if name in ("vit", "cnn") else (8, length)
  sets = {"input": np.ones(shape, np.uint8), "label": np.ones(8, np.int32)}
  sets |= {name: np.ones(1, np.float32) for name in ("mean", "std")}
  trial = Trial(
    model=Model(name=name, width=head / 16),
    batch_size=8,
    evaluate_every_examples=8,
    precision=precision,
    execution=Execution(attention=asked),
  )
  vocabulary = None if name in ("vit", "cnn") else 60
  return spec_module.spec_of(
    trial, sets, sets, classes=10, vocabulary=vocabulary
  )


@pytest.mark.parametrize(
  ("asked", "precision", "capability", "who", "why"),
  [
    ("auto", "bfloat16", "9.0", "cudnn", ""),
    ("auto", "bfloat16", "7.5", "plain", "it needs compute capability 8"),
    ("auto", "float32", "9.0", "plain", "it takes no float32"),
    ("plain", "bfloat16", "9.0", "plain", ""),
    ("fused", "bfloat16", "8.0", "cudnn", ""),
    ("fused", "float32", "9.0", "xla", "it takes no float32"),
    ("auto", "bfloat16", CPU, "plain", None),
    ("fused", "bfloat16", CPU, "xla", None),
  ],
)
def test_who_computes_attention(
  asked: str,
  precision: str,
  capability: str | None,
  who: str,
  why: str | None,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  on(capability, monkeypatch)
  spec = spec_of(asked, precision=precision)
  assert spec_module.attention_of(spec) == who
  if why is not None:
    assert spec_module.why_not_cudnn(spec) == why


@pytest.mark.parametrize(
  ("asked", "told"),
  [
    (
      "auto",
      {
        "attention": "plain",
        "attention_not_by_cudnn": "it takes heads of a multiple of 8 up to 256"
        " features, not 12",
      },
    ),
    ("plain", {"attention": "plain"}),
  ],
)
def test_a_record_says_why_it_is_not_cudnns(
  asked: str, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
  on("9.0", monkeypatch)
  spec = spec_of(asked, head=12)
  trial = Trial(
    model=spec.model, precision=spec.precision, execution=spec.execution
  )
  found = numerics_of(trial, spec, card("9.0"))
  assert {n: v for n, v in found.items() if n.startswith("attention")} == told


# By JAX's own word, which it gives before a GPU is asked for anything.
@pytest.mark.parametrize("capability", ["8.0", "9.0"])
@pytest.mark.parametrize(
  ("name", "head", "length"),
  [
    ("transformer", 16, 48),
    ("transformer", 16, 47),
    ("transformer", 12, 48),
    ("decoder", 16, 47),
    ("vit", 16, 50),  # 28 x 28
    ("vit", 16, 65),  # 32 x 32
    ("vit", 4, 50),
    ("vit", 128, 50),
    ("vit", 136, 50),
    ("vit", 264, 50),
  ],
)
def test_cudnn_is_called_where_jax_lets_it_be(
  capability: str,
  name: str,
  head: int,
  length: int,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  on(capability, monkeypatch)
  spec = spec_of(name=name, head=head, length=length)
  called = importlib.import_module("jax._src.cudnn.fused_attention_stablehlo")
  monkeypatch.setattr(called, "check_cudnn_version", lambda: 92000)
  monkeypatch.setattr(
    called,
    "check_compute_capability",
    lambda least: float(least) <= float(capability),
  )
  monkeypatch.setattr(
    called, "is_cuda_compute_capability_equal", lambda asked: False
  )
  qkv = jax.ShapeDtypeStruct((2, length, 3, 4, head), jnp.bfloat16)
  seen = jnp.ones((2, 1, 1, length), bool) if name == "transformer" else None

  def mixed(qkv: jax.Array) -> jax.Array:
    causal = name == "decoder"
    return fused_attention(qkv, seen, causal, "cudnn").sum()

  try:
    jax.eval_shape(jax.grad(mixed), qkv)
    takes = True
  except NotImplementedError:
    takes = False
  assert (spec_module.why_not_cudnn(spec) == "") == takes


def test_a_network_without_attention_asks_for_none(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  on("9.0", monkeypatch)
  assert spec_module.attention_of(spec_of(name="cnn")) == "plain"


def test_operations_are_counted_where_a_gpu_trains(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  # JAX counts nothing for a GPU, and cuDNN's attention cannot be lowered here.
  spec = spec_of(name="vit", length=50)
  with jax.numpy_dtype_promotion("standard"):  # Flax's norms of bfloat16
    expected = flops_per_step(spec)
  on("9.0", monkeypatch)
  assert spec_module.attention_of(spec) == "cudnn"
  config: Any = jax.config
  counted = []

  def look(*given: Any) -> Any:
    counted.append(config.jax_default_device)
    return train_step(*given)

  monkeypatch.setattr("jaxpower.learn.programs.train_step", look)
  with jax.numpy_dtype_promotion("standard"):
    assert flops_per_step(spec) == expected is not None
  assert [device.platform for device in counted] == ["cpu"]
