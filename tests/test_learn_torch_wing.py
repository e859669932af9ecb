"""The same training in both wings, and what PyTorch's alone has to keep."""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jaxpower import data
from jaxpower.config import Model, Optimizer, Trial
from jaxpower.data import DataSet, cache
from jaxpower.data.validation import Rows, hold_back
from jaxpower.weights import TORCH_STATE, problem
from jaxpower.wings import Wing, wing_of

torch = pytest.importorskip("torch")
dynamo_utils = pytest.importorskip("torch._dynamo.utils")

from jaxpower.learn_torch import (
  devices,
  evaluation,
  feed,
  placement,
  programs,
  step,
)
from jaxpower.learn_torch.segment import dropout_seed, train_share
from jaxpower.learn_torch.spec import network_of
from jaxpower.learn_torch.wing import devices as described

CNN = Trial(
  model=Model(width=0.25),
  optimizer=Optimizer(learning_rate=0.003, schedule="cosine"),
  batch_size=32,
  evaluate_every_examples=128,
  budget_examples=1_024,
  devices=1,
  framework="torch",
)
TRANSFORMER = dataclasses.replace(
  CNN, data="imu", model=Model(name="transformer", width=0.25, depth=0.5)
)
Course = list[tuple[float, float, float]]


@functools.cache
def small(name: str) -> DataSet:
  """A set with few test examples."""
  whole = data.load(name)
  test = {key: values[:100] for key, values in whole.test.items()}
  return dataclasses.replace(whole, test=test)


def with_validation(sets: DataSet, examples: int = 70) -> DataSet:
  """A set whose first training examples are held back."""
  held = {key: values[:examples] for key, values in sets.train.items()}
  left = np.arange(examples, len(sets.train["label"]), dtype=np.int32)
  return dataclasses.replace(sets, validation=held, left=left)


def prepare(
  trial: Trial, sets: DataSet | None = None
) -> tuple[Wing, Any, Any, Any]:
  """Wing, placed data, programs and first state of a trial."""
  wing = wing_of(trial.framework)
  placed = wing.place(trial, sets or small(trial.data))
  compiled = wing.compile_programs(placed.spec)
  return wing, placed, compiled, wing.start(placed)


def course(
  trial: Trial, segments: int = 2, sets: DataSet | None = None
) -> Course:
  """Mean loss of each segment, then loss and accuracy on the test set."""
  wing, placed, compiled, state = prepare(trial, sets)
  points = []
  for segment in range(segments):
    state, loss, _ = wing.train(compiled, state, placed, segment)
    metrics = wing.evaluate(compiled, state, placed)
    points.append(
      (float(loss), float(metrics["loss"]), float(metrics["accuracy"]))
    )
  return points


def losses(points: Course) -> np.ndarray:
  return np.array([point[:2] for point in points])


# Eight updates; what is left is the order of sums in float32. The CNN is held
# to JAX in test_trial_torch.py.
def test_both_wings_train_a_transformer_the_same() -> None:
  ours = course(TRANSFORMER)
  theirs = course(dataclasses.replace(TRANSFORMER, framework="jax"))
  np.testing.assert_allclose(losses(ours), losses(theirs), rtol=2e-5)
  assert ours[0][0] > 1.02 * ours[1][0]  # it learned


def test_both_wings_say_the_same_things() -> None:
  facts = []
  for framework in ("jax", "torch"):
    trial = dataclasses.replace(CNN, framework=framework, dropout=0.1)
    wing = wing_of(framework)
    placed = wing.place(trial, small(trial.data))
    facts.append(
      (
        set(wing.numerics(placed)),
        placed.examples["test"],
        wing.peak_memory_bytes(None, placed),
        [set(device) for device in wing.devices(trial)],
      )
    )
  assert facts[0] == facts[1]


def test_both_wings_count_about_the_same_operations() -> None:
  counts = []
  for framework in ("jax", "torch"):
    trial = dataclasses.replace(CNN, framework=framework)
    wing = wing_of(framework)
    spec = wing.place(trial, small(trial.data)).spec
    counts.append(wing.flops_per_step(spec))
  # XLA counts every operation, PyTorch products and convolutions alone.
  assert counts[1] < counts[0] < 1.2 * counts[1]


@pytest.mark.parametrize(
  ("name", "older", "newer"),
  [("default", "high", "tf32"), ("highest", "highest", "ieee")],
)
def test_what_compiles_for_a_gpu_may_ask_in_either_way(
  name: str, older: str, newer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  products = torch.backends.cuda.matmul
  cpu = torch.backends.mkldnn.matmul.fp32_precision
  before = torch.get_float32_matmul_precision(), products.fp32_precision
  monkeypatch.setattr(step, "device_of", lambda: torch.device("cuda"))
  try:
    with step.matmul_precision(name):
      assert torch.get_float32_matmul_precision() == older
      assert products.allow_tf32 == (older == "high")
      assert products.fp32_precision == newer
    after = torch.get_float32_matmul_precision(), products.fp32_precision
    assert after == before
  finally:
    torch.backends.mkldnn.matmul.fp32_precision = cpu


def test_on_a_cpu_the_precision_of_its_products_stays() -> None:
  cpu = torch.backends.mkldnn.matmul.fp32_precision
  with step.matmul_precision("default"):
    assert torch.backends.mkldnn.matmul.fp32_precision == cpu


def test_operations_of_attention_are_counted() -> None:
  wing = wing_of("torch")
  spec: Any = wing.place(TRANSFORMER, small(TRANSFORMER.data)).spec
  network = network_of(spec)
  weights = sum(w.numel() for w in network.parameters() if w.ndim == 2)
  positions = spec.input_shape[0] * spec.batch_size
  linear = 6 * weights * positions  # each weight thrice, twice an operation
  flops = wing.flops_per_step(spec)
  # The head sees no positions; attention's own products come to it.
  assert flops is not None
  assert 1.1 * linear < flops < 3 * linear


def test_numerics_name_what_differs() -> None:
  resnet = dataclasses.replace(
    CNN, model=Model(name="resnet18", width=0.1), dropout=0.0, accumulation=2
  )
  wing = wing_of("torch")
  numerics = wing.numerics(wing.place(resnet, small(CNN.data)))
  assert numerics["batch_norm"] == "micro-batch"
  assert numerics["running_variance"] == "unbiased"
  assert numerics["tf32"] is False


@pytest.mark.parametrize(
  ("change", "tolerance"),
  [
    ({"accumulation": 4}, 1e-5),
    ({"program": "step"}, 0),
    # One update: CPUs without bfloat16 take seconds for it.
    (
      {
        "precision": "bfloat16",
        "batch_size": 16,
        "evaluate_every_examples": 16,
      },
      2e-2,
    ),
  ],
  ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_way_of_computing_changes_no_loss(
  change: dict[str, Any], tolerance: float
) -> None:
  changed = dataclasses.replace(CNN, **change)
  segments = 1 if changed.precision == "bfloat16" else 2
  plain = dataclasses.replace(
    CNN,
    batch_size=changed.batch_size,
    evaluate_every_examples=changed.evaluate_every_examples,
  )
  np.testing.assert_allclose(
    losses(course(changed, segments)),
    losses(course(plain, segments)),
    rtol=tolerance,
  )


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
  """Compiles without the last stage; counts the graphs of this process."""
  # Inductor's C++ compiler takes half a minute; all before it is the same.
  compile_ = functools.partial(torch.compile, backend="aot_eager")
  monkeypatch.setattr(torch, "compile", compile_)
  monkeypatch.setattr(programs, "no_disk_cache", contextlib.nullcontext)
  return lambda: dynamo_utils.counters["stats"]["unique_graphs"]


def test_a_spec_is_compiled_anew_each_time(graphs: Callable[[], int]) -> None:
  trial = dataclasses.replace(CNN, framework="torch_compile")
  counts = [graphs()]
  wing, placed, *_ = prepare(trial)
  counts.append(graphs())
  wing.compile_programs(placed.spec)
  counts.append(graphs())
  assert counts[2] - counts[1] == counts[1] - counts[0] > 0


def test_the_compiler_is_prepared_where_it_is_used(
  graphs: Callable[[], int],
) -> None:
  wing = wing_of("torch")
  before = graphs()
  wing.prepare_compiler("torch")
  assert graphs() == before
  wing.prepare_compiler("torch_compile")
  assert graphs() == before + 1


def test_nothing_is_compiled_while_it_trains(
  graphs: Callable[[], int],
) -> None:
  trial = dataclasses.replace(
    CNN, framework="torch_compile", augmentation="crop_flip"
  )
  sets = with_validation(small(trial.data))
  wing, placed, compiled, state = prepare(trial, sets)
  before = graphs()
  assert before > 0
  state, loss, _ = wing.train(compiled, state, placed, 0)
  wing.evaluate(compiled, state, placed, "validation")
  metrics = wing.evaluate(compiled, state, placed, "test")
  assert graphs() == before
  (plain,) = course(dataclasses.replace(trial, framework="torch"), 1, sets)
  np.testing.assert_allclose(
    [float(loss), float(metrics["loss"])], plain[:2], rtol=1e-5
  )


@pytest.mark.parametrize("framework", ["jax", "torch"])
@pytest.mark.parametrize("streaming", ["never", "always"])
def test_each_split_is_looked_at_alone(
  framework: str, streaming: str, tmp_path: pathlib.Path
) -> None:
  """As a set is that has this split alone, also where rows are on disk."""
  trial = dataclasses.replace(CNN, framework=framework, streaming=streaming)
  cache.write(tmp_path / "train", "key", small(trial.data).train)
  mapped = cache.map_arrays(tmp_path / "train", "key")
  assert mapped is not None
  whole = dataclasses.replace(small(trial.data), train=mapped)
  sets = hold_back(whole, 0.05)
  assert sets.validation is not None
  assert isinstance(sets.validation["input"], Rows)
  wing, placed, compiled, state = prepare(trial, sets)
  assert placed.examples == {"validation": 300, "test": 100}
  assert set(placed.chosen) == set(sets.left if sets.left is not None else ())
  found = {
    split: wing.evaluate(compiled, state, placed, split)
    for split in placed.examples
  }
  held = {name: values[:] for name, values in sets.validation.items()}
  for split, arrays in (("validation", held), ("test", sets.test)):
    alone = dataclasses.replace(whole, test=arrays)
    expected = wing_evaluation(trial, alone)
    assert float(found[split]["accuracy"]) == pytest.approx(expected[1])
    assert float(found[split]["loss"]) == pytest.approx(expected[0], rel=1e-5)
  assert float(found["test"]["loss"]) != float(found["validation"]["loss"])


def wing_evaluation(trial: Trial, sets: DataSet) -> tuple[float, float]:
  """Loss and accuracy of first weights on the test set, streamed or not."""
  never = dataclasses.replace(trial, streaming="never")
  wing, placed, compiled, state = prepare(never, sets)
  metrics = wing.evaluate(compiled, state, placed)
  return float(metrics["loss"]), float(metrics["accuracy"])


def masks(trial: Trial, rank: int = 0, segment: int = 0) -> np.ndarray:
  """What dropout would drop in each micro-batch of a segment."""
  _, placed, compiled, state = prepare(trial)
  placed = dataclasses.replace(
    placed, rank=rank, spec=dataclasses.replace(placed.spec, devices=2)
  )
  compiled.hold(state, trial)
  seen = []

  def loss_of(*batch: Any) -> Any:
    seen.append(torch.nn.functional.dropout(torch.ones(256), 0.5).numpy())
    return compiled.loss_of(*batch)

  train_share(compiled, placed, segment, loss_of)
  return np.concatenate(seen)


def test_seeds_processes_and_segments_drop_other_units() -> None:
  trial = dataclasses.replace(CNN, dropout=0.5)
  first = masks(trial)
  np.testing.assert_array_equal(masks(trial), first)
  others = [
    masks(dataclasses.replace(trial, seed=1)),
    masks(trial, rank=1),
    masks(trial, segment=1),
  ]
  for one, other in itertools.combinations((first, *others), 2):
    assert 0.4 < (one != other).mean() < 0.6  # as by chance
  seeds = {
    dropout_seed(seed, rank, step) % 2**32  # what a CPU's generator keeps
    for seed in range(20)
    for rank in range(8)
    for step in (0, 8, 2**33)
  }
  assert len(seeds) == 20 * 8 * 3


def test_a_streamed_set_trains_the_same_from_disk(
  monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
  monkeypatch.setattr(
    evaluation, "CHUNK", 40
  )  # three passes, one of them short
  trial = dataclasses.replace(CNN, accumulation=2, data_share=0.5)
  sets, mapped = small(trial.data), {}
  for split in ("train", "test"):
    cache.write(tmp_path / split, "key", getattr(sets, split))
    mapped[split] = cache.map_arrays(tmp_path / split, "key")
  on_disk = dataclasses.replace(sets, **mapped)
  streamed = dataclasses.replace(trial, streaming="always")
  assert course(streamed, sets=on_disk) == course(trial, sets=on_disk)
  wing, placed, compiled, state = prepare(streamed, on_disk)
  assert wing.train(compiled, state, placed, 0)[2] > 0


@pytest.mark.parametrize("streaming", ["auto", "never", "always"])
@pytest.mark.parametrize("room", [1, 1 << 40])
def test_what_is_asked_or_memory_decides_where_a_set_lies(
  streaming: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(placement, "memory_bytes", lambda device, devices: room)
  trial = dataclasses.replace(CNN, streaming=streaming)
  placed: Any = wing_of("torch").place(trial, small(trial.data))
  expected = streaming == "always" or (streaming == "auto" and room == 1)
  assert bool(placed.host) == expected
  assert bool(placed.train) != expected


def test_the_memory_of_a_device_is_all_that_it_has(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(devices, "host_bytes", lambda: 24 << 30)
  facts = types.SimpleNamespace(total_memory=80 << 30)
  monkeypatch.setattr(
    torch.cuda, "get_device_properties", {torch.device("cuda", 1): facts}.get
  )
  assert devices.memory_bytes(torch.device("cpu"), 1) == 24 << 30
  assert devices.memory_bytes(torch.device("cpu"), 4) == 6 << 30
  assert devices.memory_bytes(torch.device("cuda", 1), 4) == 80 << 30


@pytest.mark.parametrize(
  "change",
  [
    {"dropout": 0.5},
    {"label_smoothing": 0.1},
    {"data_share": 0.05},
    {"seed": 1},
    {"optimizer": Optimizer(learning_rate=0.03)},
  ],
  ids=lambda change: next(iter(change)),
)
def test_what_a_trial_asks_for_has_its_effect(change: dict[str, Any]) -> None:
  trial = dataclasses.replace(CNN, **change)
  changed = course(trial, 1)
  assert changed == course(trial, 1)
  assert changed[0][0] != pytest.approx(course(CNN, 1)[0][0], rel=1e-3)


def test_states_come_and_go() -> None:
  wing, placed, compiled, first = prepare(CNN)
  other = wing.copy(first)
  trained, loss, _ = wing.train(compiled, first, placed, 0)
  kept = wing.copy(trained)  # its moments, too
  once, _, _ = wing.train(compiled, trained, placed, 1)
  expected = wing.copy(once).weights
  # Another training in between, from the first weights.
  _, loss_again, _ = wing.train(compiled, other, placed, 0)
  assert loss_again.item() == loss.item()
  twice, _, _ = wing.train(compiled, kept, placed, 1)
  assert twice.step == 8
  for name, values in expected.items():
    torch.testing.assert_close(twice.weights[name], values, rtol=0, atol=0)


def test_a_state_is_saved_in_place_of_any_other(
  tmp_path: pathlib.Path,
) -> None:
  wing, placed, compiled, state = prepare(CNN)
  folder = tmp_path / "checkpoint"
  wing.save(folder, state)
  (folder / "torn").write_text("of an attempt that died")
  state, _, _ = wing.train(compiled, state, placed, 0)
  wing.save(folder, state)
  assert problem(folder) == ""
  held = torch.load(folder / TORCH_STATE, weights_only=True)
  assert held["step"] == 4
  assert held["weights"].keys() == state.weights.keys()
  for name, values in held["weights"].items():
    assert torch.equal(values, state.weights[name])
  assert held["moments"]["state"]


def test_waiting_needs_no_gpu() -> None:
  values = torch.ones(3)
  wing = wing_of("torch")
  assert wing.wait(values) is values


def test_micro_batches_take_every_so_many_th_example() -> None:
  places = np.arange(8).reshape(2, 4)
  divided = feed.in_micro_batches(places, 2)
  assert divided.tolist() == [[0, 2], [1, 3], [4, 6], [5, 7]]


def test_a_process_compiles_more_specs_than_dynamo_lets_share_code() -> None:
  def scaled(factor: int, inputs: Any) -> Any:
    return factor * inputs

  compile_ = functools.partial(torch.compile, backend="eager", fullgraph=True)
  inputs = torch.ones(2)
  for factor in range(torch._dynamo.config.recompile_limit + 2):
    compiled = compile_(programs._fresh(scaled, factor), dynamic=False)
    assert compiled(inputs).tolist() == [factor, factor]


@pytest.mark.parametrize("uuid", ["5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f", None])
def test_a_gpu_has_the_uuid_that_pytorch_tells(
  monkeypatch: pytest.MonkeyPatch, uuid: str | None
) -> None:
  properties = types.SimpleNamespace(**({} if uuid is None else {"uuid": uuid}))
  gpu, cuda = torch.device("cuda", 1), torch.cuda
  monkeypatch.setitem(described.__globals__, "devices_of", lambda _: [gpu])
  monkeypatch.setattr(cuda, "get_device_name", lambda _: "NVIDIA H200")
  monkeypatch.setattr(cuda, "get_device_properties", lambda _: properties)
  (device,) = described(Trial(framework="torch"))
  assert (device["index"], device["uuid"]) == (1, uuid)
