"""What only a GPU can show: `pytest -n0 -m gpu`. None of it sets the card.

Written without a GPU at hand, so that bounds are chosen; where one is too
narrow on a real card, its number is in the failure.
"""

import dataclasses
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pynvml
import pytest

from jaxpower import billing, sweep
from jaxpower.config import Execution, Model, Optimizer, Sweep, Trial
from jaxpower.learn import networks, wing
from jaxpower.learn.layers import convolve, convolve_patches
from jaxpower.power import Monitor
from jaxpower.power.cuda import cuda_devices
from jaxpower.power.devices import board_of, list_boards
from jaxpower.power.nvml import start_nvml, stop_nvml

pytestmark = pytest.mark.gpu

# Counters move every 20 or 100 ms (docs/meter.md); a window of 3 s is 30 ticks.
WINDOW_SECONDS = 3.0
SIDE = 4096  # of a product that keeps every unit of a card busy
MOST_IDLE_WATTS = 250.0  # chosen: 8 boards of the newest kind idle below it


@pytest.fixture(scope="module")
def board() -> Any:
  """The board that the first device of JAX computes on, by NVML."""
  assert jax.default_backend() == "gpu", "JAX has no GPU"
  start_nvml()
  (device, *_) = cuda_devices()
  found = board_of(device, list_boards())
  assert found is not None
  yield found
  stop_nvml()


@pytest.fixture(scope="module")
def load() -> Any:
  """Multiplies matrices for some steps; the same work at each call.

  A product with this one leaves every number as it is: to multiply zeros
  draws less.
  """
  x = jnp.full((SIDE, SIDE), 1 / SIDE, jnp.bfloat16)
  chain = jax.jit(
    lambda x, steps: jax.lax.fori_loop(0, steps, lambda _, y: y @ x, x)
  )
  jax.block_until_ready(chain(x, 1))

  def work(steps: int) -> jax.Array:
    return chain(x, steps)

  return work


@pytest.fixture(scope="module")
def steps(load: Any) -> int:
  """The steps that take `WINDOW_SECONDS`."""
  began = time.monotonic()
  jax.block_until_ready(load(1000))
  return round(1000 * WINDOW_SECONDS / (time.monotonic() - began))


def monitor(board: Any) -> Monitor:
  return Monitor("nvml", wait=jax.block_until_ready, gpus=[board.uuid])


def trial(**changes: Any) -> Trial:
  usual = Trial(
    model=Model(name="cnn"),
    optimizer=Optimizer(learning_rate=3e-3),
    batch_size=128,
    evaluate_every_examples=1024,
    budget_examples=4096,
    target_accuracy=0.6,
    idle_seconds=0.5,
    devices=1,
  )
  return dataclasses.replace(usual, **changes)


def test_the_billed_board_is_the_computing_one(board: Any) -> None:
  (device,) = billing.devices_of(trial())
  assert (device.uuid, device.uuid_by) == (board.uuid, "cuda")
  assert device.caution is None


def test_the_counter_moves(board: Any, load: Any, steps: int) -> None:
  before = pynvml.nvmlDeviceGetTotalEnergyConsumption(board.handle)
  jax.block_until_ready(load(steps))
  after = pynvml.nvmlDeviceGetTotalEnergyConsumption(board.handle)
  assert after - before > 50e3 * WINDOW_SECONDS  # above 50 W


def test_a_known_load_costs_the_same_twice(
  board: Any, load: Any, steps: int
) -> None:
  with monitor(board) as meter:
    meter.measure("warm", load, steps)
    for _ in range(2):
      meter.measure("load", load, steps)
  first, second = (w for w in meter.windows() if w.name == "load")
  assert first.joules and second.joules
  energies = [w.energies[0] for w in (first, second)]
  bounds = [e.joules_bound for e in energies]
  assert all(bound is not None for bound in bounds), energies
  apart = abs(first.joules - second.joules)
  # The bound is of the meter; a warm card draws a little more, 3 % chosen.
  assert apart <= sum(b or 0 for b in bounds) + 0.03 * first.joules
  differences = [e.disagreement for e in energies if e.disagreement is not None]
  assert all(abs(d) < 0.1 for d in differences), differences


def test_idle_watts_are_those_of_a_card_at_rest(
  board: Any, load: Any, steps: int
) -> None:
  with monitor(board) as meter:
    idle = meter.measure_idle(WINDOW_SECONDS)
    meter.measure("load", load, steps)
  (busy,) = (w for w in meter.windows() if w.name == "load")
  assert idle.watts is not None and 5 < idle.watts < MOST_IDLE_WATTS
  assert busy.watts is not None and busy.watts > 1.5 * idle.watts


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_convolve_is_cudnns_and_equals_the_patches(strides: Any) -> None:
  keys = jax.random.split(jax.random.key(0))
  images = jax.random.normal(keys[0], (8, 15, 15, 6))
  kernel = jax.random.normal(keys[1], (3, 3, 6, 10))
  with jax.default_matmul_precision("highest"):
    found, grad = jax.jit(
      jax.value_and_grad(lambda k: jnp.sin(convolve(images, k, strides)).sum())
    )(kernel)
    expected, other = jax.jit(
      jax.value_and_grad(
        lambda k: jnp.sin(convolve_patches(images, k, strides)).sum()
      )
    )(kernel)
    called = jax.jit(lambda k: convolve(images, k, strides)).lower(kernel)
  assert "__cudnn$conv" in (called.compile().as_text() or "")
  np.testing.assert_allclose(found, expected, rtol=1e-4)
  np.testing.assert_allclose(grad, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["vit", "decoder", "transformer"])
def test_attention_of_cudnn_equals_the_plain_one(name: str) -> None:
  tokens = name != "vit"
  inputs = (
    jax.random.randint(jax.random.key(0), (4, 64), 0, 60)
    if tokens
    else jax.random.normal(jax.random.key(0), (4, 28, 28, 3))
  )
  logits = []
  for attention in ("plain", "cudnn"):
    network = networks.build(
      Model(name=name, width=4.0),
      60,
      60 if tokens else None,
      precision="bfloat16",
      attention=attention,
    )
    params = jax.jit(
      lambda n=network: n.init(jax.random.key(1), inputs, train=False)
    )()

    def loss(params: Any, network: Any = network) -> Any:
      out = network.apply(params, inputs, train=False).astype(jnp.float32)
      return jnp.sin(out).sum(), out

    (_, out), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    logits.append((out, jax.tree.leaves(grads)))
  (plain, plain_grads), (fused, fused_grads) = logits
  np.testing.assert_allclose(plain, fused, atol=0.1)
  for a, b in zip(plain_grads, fused_grads, strict=True):
    scale = float(jnp.abs(a).max()) or 1.0
    np.testing.assert_allclose(a, b, atol=0.1 * scale)


def first_loss(**changes: Any) -> float:
  asked = trial(model=Model(name="resnet18", width=0.25), **changes)
  found = sweep_place(asked)
  programs = wing.compile_programs(found.spec)
  _, loss, _ = wing.train(programs, wing.start(found), found, 0)
  return float(loss)


def sweep_place(asked: Trial) -> Any:
  from jaxpower import data

  sets = data.load(asked.data, validation_share=asked.validation_share)
  return wing.place(asked, data.for_tasks(sets, asked.tasks))


def test_bfloat16_is_close_to_float32() -> None:
  half, whole = (first_loss(precision=p) for p in ("bfloat16", "float32"))
  assert half != whole and abs(half - whole) < 0.05 * whole


@pytest.mark.parametrize(
  "switches",
  [
    Execution(command_buffers="none"),
    Execution(command_buffers="loops"),
    Execution(unroll=4),
    Execution(autotune_level=0),
    Execution(layout="nhwc"),
  ],
  ids=lambda s: ",".join(
    f"{k}={v}" for k, v in vars(s).items() if v != getattr(Execution(), k)
  ),
)
def test_a_switch_changes_no_update(switches: Execution) -> None:
  changed, usual = first_loss(execution=switches), first_loss()
  assert changed == pytest.approx(usual, rel=0.02)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Any:
  """A sweep of two trials on the card, through a worker of its own."""
  folder = tmp_path_factory.mktemp("sweep")
  asked = Sweep(
    **{n: getattr(trial(), n) for n in vars(trial()) if n != "seed"},
    name="two",
    vary={"batch_size": (128, 512)},
    seeds=1,
  )
  return folder, sweep.run(asked, folder, meter="nvml")


def test_a_sweep_of_two_trials_is_measured(records: Any, board: Any) -> None:
  for record in records[1]:
    assert record.status in ("reached", "missed"), record.error
    assert record.estimated is False and record.train_joules
    assert record.joules_by_domain.keys() == {board.uuid}
    assert record.idle_watts and record.idle_watts < MOST_IDLE_WATTS


def test_peak_memory_is_known_of_process_and_board(records: Any) -> None:
  for record in records[1]:
    assert record.peak_memory_bytes and record.peak_memory_bytes < 4 << 30
    peaks = record.meter["gpus"]["memory_peak_bytes"].values()
    assert all(peak >= record.peak_memory_bytes for peak in peaks)


def test_a_checkpoint_goes_from_the_gpu_to_a_cpu(records: Any) -> None:
  folder, (record, *_) = records
  found = sweep_place(trial())
  like = wing.start(found)
  restored = wing.restore(pathlib.Path(folder) / record.checkpoint, like)
  on_cpu = jax.device_put(restored, jax.devices("cpu")[0])
  assert int(on_cpu.step) == record.steps
  for a, b in zip(
    jax.tree.leaves(restored.params),
    jax.tree.leaves(on_cpu.params),
    strict=True,
  ):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_out_of_memory_is_one_failed_trial(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  # Of the card JAX may take so much that no array of the first network is too
  # large for it, and its weights and moments, 19 GB, are on any card to date.
  monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", "0.06")
  monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
  usual = {n: getattr(trial(), n) for n in vars(trial()) if n != "seed"}
  asked = Sweep(
    **usual,
    name="memory",
    vary={"model": (Model(name="vit", width=128.0), Model(name="cnn"))},
    seeds=1,
  )
  found = {r.config["model"]["name"]: r for r in sweep.run(asked, tmp_path)}
  assert found["vit"].status == "failed"
  assert "RESOURCE_EXHAUSTED" in (found["vit"].error or "")
  assert found["cnn"].status in ("reached", "missed"), found["cnn"].error


def test_jax_and_pytorch_take_turns(tmp_path: pathlib.Path) -> None:
  torch = pytest.importorskip("torch")
  if not torch.cuda.is_available():
    pytest.skip("this PyTorch was built without CUDA")
  usual = {n: getattr(trial(), n) for n in vars(trial()) if n != "seed"}
  asked = Sweep(
    **usual,
    name="turns",
    vary={"framework": ("jax", "torch")},
    seeds=2,
  )
  found = sweep.run(asked, tmp_path, meter="nvml")
  assert [r.error for r in found] == [None] * 4
  assert len({next(iter(r.joules_by_domain)) for r in found}) == 1
