"""Training and evaluation of several tasks in one network."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpower import config, data
from jaxpower.learn import heads, wing
from jaxpower.learn.heads import LOG_VARIANCES
from jaxpower.learn.optimizer import Hyperparameters, hyperparameters
from jaxpower.learn.optimizer import build as build_rule
from jaxpower.learn.optimizer import init as init_optimizer
from jaxpower.learn.spec import network_of
from jaxpower.learn.step import train_step
from tests import twins

BOTH = config.Trial(
  data="imu",
  tasks=("label", "subject"),
  model=config.Model(width=0.25),
  optimizer=config.Optimizer(name="momentum", learning_rate=0.05),
  batch_size=32,
  evaluate_every_examples=128,
  devices=1,
)


@pytest.fixture(scope="module")
def windows() -> data.DataSet:
  return twins.windows()


compiled = functools.cache(wing.compile_programs)


@functools.cache
def step_of(spec: Any) -> Any:
  """One update as a program of its own."""
  return jax.jit(functools.partial(train_step, spec))


def place(trial: config.Trial, windows: data.DataSet) -> wing.Placed:
  return wing.place(trial, data.for_tasks(windows, trial.tasks))


def learn(trial: config.Trial, windows: data.DataSet, segments: int = 1) -> Any:
  """State, losses and the look after some segments."""
  placed = place(trial, windows)
  programs, state, losses = compiled(placed.spec), wing.start(placed), []
  for segment in range(segments):
    state, loss, _ = wing.train(programs, state, placed, segment)
    losses.append(float(loss))
  return state, losses, wing.evaluate(programs, state, placed)


def alike(one: Any, other: Any, rtol: float = 1e-3) -> None:
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-5),
    one,
    other,
  )


def test_four_devices_equal_one(windows: data.DataSet) -> None:
  assert len(jax.local_devices()) >= 4
  one, losses, metrics = learn(BOTH, windows)
  four = dataclasses.replace(BOTH, devices=4)
  other, other_losses, other_metrics = learn(four, windows)
  np.testing.assert_allclose(losses, other_losses, rtol=1e-4)
  alike(one.params, other.params)
  np.testing.assert_allclose(metrics["loss"], other_metrics["loss"], rtol=1e-3)
  assert (
    metrics["accuracies"].shape == other_metrics["accuracies"].shape == (2,)
  )


def test_micro_batches_give_the_gradient_of_the_batch(
  windows: data.DataSet,
) -> None:
  # Micro-batches hold unequal numbers of labels; each label counts the same.
  state, losses, _ = learn(BOTH, windows)
  divided = dataclasses.replace(BOTH, accumulation=4)
  other, gathered, _ = learn(divided, windows)
  np.testing.assert_allclose(losses, gathered, rtol=1e-5)
  alike(state.params, other.params)


def gradient(
  trial: config.Trial, windows: data.DataSet, labels: np.ndarray
) -> dict[str, Any]:
  """What one step of plain descent at rate 1 takes from the weights."""
  plain = config.Optimizer(name="sgd", learning_rate=1.0)
  trial = dataclasses.replace(trial, optimizer=plain)
  placed = place(trial, windows)
  batch = {
    "input": windows.train["input"][:32],
    "label": labels,
    "mean": windows.mean,
    "std": windows.std,
  }
  state = wing.start(placed)
  step = step_of(placed.spec)
  after, _ = step(
    state, batch, hyperparameters(trial, np.array(1.0, np.float32))
  )
  return jax.tree.map(lambda a, b: a - b, state.params, after.params)


def test_the_backbone_gets_the_weighted_sum_of_the_tasks_gradients(
  windows: data.DataSet,
) -> None:
  labels = np.stack(
    [windows.train[task][:32] for task in BOTH.tasks], axis=1
  ).astype(np.int32)
  weighed = dataclasses.replace(BOTH, task_weights={"subject": 3.0})
  together = gradient(weighed, windows, labels)
  gradients = []
  for task in range(2):
    only = np.full_like(labels, -1)
    only[:, task] = labels[:, task]
    gradients.append(gradient(BOTH, windows, only))
  classes = [windows.facts.labels[task] for task in BOTH.tasks]
  borders = [slice(0, classes[0]), slice(classes[0], None)]
  for task, other in ((0, 1), (1, 0)):
    kernel = gradients[task]["head"]["kernel"]
    assert np.abs(kernel[:, borders[task]]).max() > 0
    assert not np.any(kernel[:, borders[other]]), "a head of its own"
  alike(together, jax.tree.map(lambda a, b: a + 3 * b, *gradients))


def test_weights_are_data_and_compile_nothing(windows: data.DataSet) -> None:
  plain = place(BOTH, windows)
  losses = set()
  for weights in ({}, {"label": 2.0}, {"label": 2.0, "subject": 0.5}):
    trial = dataclasses.replace(BOTH, task_weights=weights)
    assert place(trial, windows).spec == plain.spec
    losses.add(learn(trial, windows)[1][0])
  assert len(losses) == 3, "each of them must have an effect"


def test_one_task_asks_for_nothing_of_several(windows: data.DataSet) -> None:
  one = dataclasses.replace(BOTH, tasks=("label",))
  learned = dataclasses.replace(one, task_weighting="uncertainty")
  spec = place(one, windows).spec
  assert place(learned, windows).spec == spec
  assert len(jax.tree.leaves(hyperparameters(one, np.ones(4, "float32")))) == 7
  state = wing.start(place(learned, windows))
  assert set(state.params["head"]) == {"kernel", "bias"}
  # Another label of as many classes shares the executable.
  same = dataclasses.replace(
    windows.facts, labels={**windows.facts.labels, "subject": 7}
  )
  part = {**windows.train, "subject": windows.train["label"]}
  other = dataclasses.replace(windows, facts=same, train=part)
  subject = dataclasses.replace(BOTH, tasks=("subject",))
  other = dataclasses.replace(
    other, test={**other.test, "subject": other.test["label"]}
  )
  assert place(subject, other).spec == spec


def test_evaluation_is_over_labelled_examples(windows: data.DataSet) -> None:
  state, _, metrics = learn(BOTH, windows)
  placed = place(BOTH, windows)
  network = network_of(placed.spec)
  inputs = (windows.test["input"] - windows.mean) / windows.std
  logits = network.apply({"params": state.params}, inputs, train=False)
  assert isinstance(logits, jax.Array)
  accuracies, losses = [], []
  for task, scores in enumerate(heads.split(logits, placed.spec.tasks)):
    label = windows.test[BOTH.tasks[task]]
    there = label >= 0
    logs = np.asarray(jax.nn.log_softmax(scores))[there]
    accuracies.append((logs.argmax(axis=1) == label[there]).mean())
    losses.append(-logs[np.arange(there.sum()), label[there]].mean())
  np.testing.assert_allclose(metrics["accuracies"], accuracies, rtol=1e-6)
  assert float(metrics["accuracy"]) == pytest.approx(np.mean(accuracies))
  assert float(metrics["loss"]) == pytest.approx(sum(losses), rel=1e-4)


def test_uncertainty_is_learned_and_begins_as_equal_weights(
  windows: data.DataSet,
) -> None:
  learned = dataclasses.replace(
    BOTH,
    task_weighting="uncertainty",
    optimizer=config.Optimizer(name="adam", learning_rate=0.01),
  )
  fixed = dataclasses.replace(learned, task_weighting="fixed")
  assert place(learned, windows).spec != place(fixed, windows).spec
  start = wing.start(place(learned, windows)).params["head"]
  np.testing.assert_array_equal(start[LOG_VARIANCES], [0, 0])
  state, losses, metrics = learn(learned, windows, segments=3)
  # Losses near log(classes) are above one half, so both noises grow.
  assert (np.asarray(state.params["head"][LOG_VARIANCES]) > 0.02).all()
  assert losses[-1] < losses[0]
  assert metrics["accuracies"].shape == (2,)
  assert wing.flops_per_step(place(learned, windows).spec)


@pytest.mark.parametrize("name", twins.names_in(config.OPTIMIZERS, "jax"))
def test_log_variances_are_learned_outside_weight_decay(name: str) -> None:
  params = {
    "Dense_0": {"kernel": jnp.linspace(-1, 1, 12).reshape(4, 3)},
    "head": {"kernel": jnp.ones((3, 2)), LOG_VARIANCES: jnp.full(2, 0.5)},
  }
  grads = jax.tree.map(lambda x: jnp.full_like(x, 0.1), params)

  @jax.jit
  def moved(decay: jax.Array) -> Any:
    zero = jnp.float32(0)
    rate = jnp.float32(0.1)
    numbers = Hyperparameters(rate, zero, decay, zero, zero, zero, zero)
    state = init_optimizer(name, params, uncertainty=True)
    with jax.numpy_dtype_promotion("standard"):
      updates, _ = build_rule(name, numbers, uncertainty=True).update(
        grads, state, params
      )
    return updates

  without, with_decay = moved(jnp.float32(0)), moved(jnp.float32(10))
  noises = [u["head"][LOG_VARIANCES] for u in (without, with_decay)]
  np.testing.assert_allclose(*noises)
  assert (np.asarray(noises[0]) < 0).all()
  kernels = [u["Dense_0"]["kernel"] for u in (without, with_decay)]
  assert not np.allclose(*kernels)


def test_a_share_keeps_every_combination(windows: data.DataSet) -> None:
  half = dataclasses.replace(BOTH, data_share=0.5)
  placed = place(half, windows)
  assert len(placed.chosen) == 128
  labels = np.stack([windows.train[task] for task in BOTH.tasks], axis=1)
  for kind in np.unique(labels, axis=0):
    here = (labels == kind).all(axis=1)
    assert abs(here[placed.chosen].sum() - here.sum() / 2) <= 1
