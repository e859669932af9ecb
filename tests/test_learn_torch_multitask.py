"""Several tasks in one network: both wings weigh, learn and look the same."""

import contextlib
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpower import config, data
from jaxpower.config import Model, Optimizer, Trial
from jaxpower.learn import heads as in_jax
from jaxpower.learn import optimizer as optimizer_in_jax
from jaxpower.wings import wing_of
from tests.twins import names_in, windows

torch = pytest.importorskip("torch")

from jaxpower.learn_torch import flax_weights, heads, optimizer, programs
from jaxpower.learn_torch.evaluation import evaluate

CLASSES = (3, 4)
RANDOM = np.random.default_rng(0)
LOGITS = 2 * RANDOM.standard_normal((12, 7)).astype(np.float32)
LABELS = np.stack([RANDOM.integers(-1, n, 12) for n in CLASSES], 1).astype("i4")
LABELS[3] = -1  # none at all
BOTH = Trial(
  data="imu",
  tasks=("label", "subject"),
  model=Model(width=0.25),
  optimizer=Optimizer(name="adam", learning_rate=0.01),
  batch_size=32,
  evaluate_every_examples=128,
  budget_examples=1_024,
  devices=1,
  framework="torch",
)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_and_hits_are_those_of_jax(smoothing: float) -> None:
  logits, labels = torch.tensor(LOGITS), torch.tensor(LABELS)
  there = jnp.asarray(LOGITS), jnp.asarray(LABELS), CLASSES
  expected = jax.jit(in_jax.losses, static_argnums=(2, 3))(*there, smoothing)
  losses = heads.losses(logits, labels, CLASSES, smoothing)
  np.testing.assert_allclose(losses, expected, rtol=1e-6, atol=1e-6)
  assert not losses.numpy()[LABELS < 0].any()
  hits = heads.correct(logits, labels, CLASSES)
  expected = jax.jit(in_jax.correct, static_argnums=2)(*there)
  np.testing.assert_array_equal(hits, expected)
  assert 0 < hits.sum() < hits.numel() / 2


@pytest.mark.parametrize("uncertainty", [False, True])
@pytest.mark.parametrize(
  ("accumulation", "processes"), [(1, 1), (3, 1), (2, 3)]
)
def test_gradients_are_those_of_jax(
  accumulation: int, processes: int, uncertainty: bool
) -> None:
  trial = dataclasses.replace(
    BOTH,
    task_weights={"subject": 3.0},
    task_weighting="uncertainty" if uncertainty else "fixed",
  )
  noises = np.array([0.3, -0.7], np.float32)

  @functools.partial(jax.value_and_grad, argnums=(0, 1))
  def whole(logits: jax.Array, noises: jax.Array) -> jax.Array:
    labels = jnp.asarray(LABELS)
    losses = in_jax.losses(logits, labels, CLASSES, 0.1)
    means = losses.sum(axis=0) / in_jax.counts(labels)
    if uncertainty:
      return in_jax.by_uncertainty(means, noises)
    return in_jax.weighted_sum(means, jnp.array([1.0, 3.0]))

  expected, slopes = jax.jit(whole)(LOGITS, noises)
  # The same loss as micro-batches with unequal numbers of labels give it.
  logits = torch.tensor(LOGITS, requires_grad=True)
  logs = torch.tensor(noises, requires_grad=True)
  shares = torch.tensor(
    heads.shares(LABELS[None], trial, accumulation, processes)
  )
  assert shares.shape == (accumulation, 2)
  total, pieces = 0.0, accumulation * processes
  for piece in range(pieces):
    own = logits[piece::pieces], torch.tensor(LABELS[piece::pieces])
    means = (
      heads.losses(*own, CLASSES, 0.1) * shares[piece % accumulation]
    ).sum(0)
    loss = heads.by_uncertainty(means, logs) if uncertainty else means.sum()
    (loss / pieces).backward()
    total += loss.item() / pieces
  assert total == pytest.approx(float(expected), rel=1e-6)
  np.testing.assert_allclose(logits.grad, slopes[0], rtol=1e-6, atol=1e-6)
  if uncertainty:
    np.testing.assert_allclose(logs.grad, slopes[1], rtol=1e-6)


def test_a_task_no_example_has_is_not_divided_by_zero() -> None:
  absent = np.full((2, 4, 2), -1)
  np.testing.assert_array_equal(
    heads.shares(absent, BOTH, 2), np.full((4, 2), 2)
  )


@pytest.mark.parametrize("name", names_in(config.OPTIMIZERS, "jax", "torch"))
def test_log_variances_follow_the_rules_of_jax(name: str) -> None:
  params_before = {
    "hidden": {"kernel": RANDOM.standard_normal((4, 3)).astype("f4")},
    "head": {
      "kernel": RANDOM.standard_normal((3, 2)).astype("f4"),
      in_jax.LOG_VARIANCES: np.array([0.5, -0.25], np.float32),
    },
  }
  slopes = jax.tree.map(
    lambda x: RANDOM.standard_normal((3, *x.shape)).astype("f4"), params_before
  )
  rule = Optimizer(name=name, learning_rate=0.1, weight_decay=0.5)

  @jax.jit
  def moved(params: Any, slopes: Any) -> Any:
    trial = Trial(optimizer=rule)
    numbers = optimizer_in_jax.hyperparameters(trial, np.array(0.1, "f4"))
    update = optimizer_in_jax.build(name, numbers, uncertainty=True)
    state = update.init(params)
    for step in range(3):
      now = jax.tree.map(lambda g: g[step], slopes)  # noqa: B023
      with jax.numpy_dtype_promotion("standard"):
        found, state = update.update(now, state, params)
      params = optax.apply_updates(params, found)
    return params

  network = torch.nn.ModuleDict(
    {
      "hidden": torch.nn.Linear(4, 3, bias=False),
      "head": torch.nn.Linear(3, 2, bias=False),
    }
  )
  heads.add_log_variances(network, 2)
  network.load_state_dict(flax_weights.from_jax(network, params_before, {}))
  update = optimizer.build(rule, network)
  for step in range(3):
    now = jax.tree.map(lambda g: g[step], slopes)  # noqa: B023
    for n, slope in flax_weights.from_jax(network, now, {}).items():
      network.get_parameter(n).grad = slope
    optimizer.set_rate(update, 0.1)
    update.step()
    # A state may come from elsewhere between two updates.
    state = update.state_dict()
    update = optimizer.build(rule, network)
    update.load_state_dict(state)
  found, _ = flax_weights.to_jax(network, network.state_dict())
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    found,
    jax.device_get(moved(params_before, slopes)),
  )


def course(trial: Trial, segments: int = 2) -> Any:
  """Losses and looks of some segments, and the number of parameters."""
  wing = wing_of(trial.framework)
  placed = wing.place(trial, data.for_tasks(windows(), trial.tasks))
  compiled, state = wing.compile_programs(placed.spec), wing.start(placed)
  points = []
  for segment in range(segments):
    state, loss, _ = wing.train(compiled, state, placed, segment)
    metrics = wing.evaluate(compiled, state, placed)
    points.append({"train": float(loss)})
    points[-1] |= {name: np.asarray(values) for name, values in metrics.items()}
  return points, wing.count_parameters(state)


@pytest.mark.parametrize(
  "change",
  [
    {"task_weights": {"subject": 3.0}, "data_share": 0.5},
    {"task_weighting": "uncertainty", "accumulation": 2},
    {"tasks": ("subject",)},
  ],
  ids=["fixed", "uncertainty", "one"],
)
def test_both_wings_learn_the_same(change: dict[str, Any]) -> None:
  trial = dataclasses.replace(BOTH, **change)
  ours, counted = course(trial)
  theirs, expected = course(dataclasses.replace(trial, framework="jax"))
  assert counted == expected
  for one, other in zip(ours, theirs, strict=True):
    assert one.keys() == other.keys()
    for name in one:
      close = 1e-6 if name.startswith("accurac") else 2e-5
      np.testing.assert_allclose(one[name], other[name], rtol=close)
  assert ours[1]["train"] < ours[0]["train"]  # it learned
  assert ("accuracies" in ours[0]) == (len(trial.tasks) > 1)


def test_noises_are_learned() -> None:
  trial = dataclasses.replace(BOTH, task_weighting="uncertainty")
  wing = wing_of("torch")
  placed = wing.place(trial, data.for_tasks(windows(), trial.tasks))
  compiled, state = wing.compile_programs(placed.spec), wing.start(placed)
  name = f"head.{heads.LOG_VARIANCES}"
  np.testing.assert_array_equal(state.weights[name], [0, 0])
  state, _, _ = wing.train(compiled, state, placed, 0)
  # Losses near log(classes) are above one half, so both noises grow.
  assert (state.weights[name] > 0.01).all()
  fixed = dataclasses.replace(BOTH, task_weights={"label": 2.0})
  spec = wing.place(fixed, data.for_tasks(windows(), trial.tasks)).spec
  assert spec != placed.spec
  plain = wing.place(BOTH, data.for_tasks(windows(), trial.tasks)).spec
  assert spec == plain, "weights compile nothing"
  assert wing.flops_per_step(placed.spec) == wing.flops_per_step(spec)


def test_a_streamed_set_trains_the_same() -> None:
  trial = dataclasses.replace(BOTH, accumulation=2, data_share=0.5)
  streamed = dataclasses.replace(trial, streaming="always")
  np.testing.assert_equal(course(streamed, 1), course(trial, 1))


def test_what_is_compiled_is_not_compiled_again(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  graphs = []

  def keep(graph: Any, _: Any) -> Any:
    graphs.append(graph)
    return graph.forward

  compile_ = functools.partial(torch.compile, backend=keep)
  monkeypatch.setattr(torch, "compile", compile_)
  monkeypatch.setattr(programs, "no_disk_cache", contextlib.nullcontext)
  trial = dataclasses.replace(BOTH, task_weighting="uncertainty")
  eager, _ = course(trial, 1)
  compiled, _ = course(dataclasses.replace(trial, framework="torch_compile"), 1)
  assert len(graphs) == 2  # of the loss, and of the logits
  np.testing.assert_allclose(compiled[0]["train"], eager[0]["train"], rtol=1e-5)


@pytest.mark.parametrize("examples", [7, 251, 490])
def test_evaluation_is_over_labelled_examples(examples: int) -> None:
  logits = RANDOM.standard_normal((examples, 7)).astype("f4")
  labels = np.stack([RANDOM.integers(-1, n, examples) for n in CLASSES], 1)
  test = {"input": torch.tensor(logits), "label": torch.tensor(labels)}
  metrics = evaluate(lambda values: values, test, CLASSES)
  losses, accuracies = [], []
  for task, scores in enumerate(np.split(logits, [3], axis=1)):
    there = labels[:, task] >= 0
    chosen, label = scores[there], labels[there, task]
    accuracies.append((chosen.argmax(axis=1) == label).mean())
    logs = chosen - np.log(np.exp(chosen).sum(axis=1, keepdims=True))
    losses.append(-logs[np.arange(len(label)), label].mean())
  np.testing.assert_allclose(metrics["accuracies"], accuracies, rtol=1e-6)
  assert float(metrics["accuracy"]) == pytest.approx(np.mean(accuracies))
  assert float(metrics["loss"]) == pytest.approx(sum(losses), rel=1e-5)
