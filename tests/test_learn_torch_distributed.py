import dataclasses
import functools

import numpy as np
import pytest

from jaxpower import data
from jaxpower.config import Model, Optimizer, Trial

torch = pytest.importorskip("torch")

from jaxpower.learn_torch import distributed, feed, optimizer
from jaxpower.learn_torch.programs import build, state_of
from jaxpower.learn_torch.segment import run
from jaxpower.learn_torch.spec import spec_of
from jaxpower.learn_torch.step import loss_of

TRIAL = Trial(
  model=Model(width=0.25),
  optimizer=Optimizer(name="adam", learning_rate=0.01),
  batch_size=32,
  framework="torch",
)


def test_two_processes_train_as_one() -> None:
  sets = data.load(TRIAL.data)
  spec = spec_of(TRIAL, sets)
  network = build(spec)
  generator = torch.Generator().manual_seed(0)
  for weights in network.parameters():
    torch.nn.init.normal_(weights, std=0.05, generator=generator)
  first = state_of(network)
  first = dataclasses.replace(
    first, weights={name: w.clone() for name, w in first.weights.items()}
  )
  arrays = {name: sets.train[name][:256] for name in ("input", "label")}
  arrays |= {"mean": sets.mean, "std": sets.std}
  places = np.random.default_rng(0).permutation(256)[:128].reshape(4, 32)
  rates = np.full(4, 0.01, np.float32)

  there, loss = distributed.train(
    spec, TRIAL.optimizer, first, arrays, places, rates, processes=2
  )

  here = feed.to_device(arrays, torch.device("cpu"))
  alone = run(
    functools.partial(loss_of, spec, network.train()),
    optimizer.build(TRIAL.optimizer, network),
    feed.from_device(here, places, None),
    rates,
    1,
    here,
  )
  assert there.step == 4
  torch.testing.assert_close(loss, alone, rtol=1e-6, atol=0)
  for name, weights in network.named_parameters():
    moved = (weights - first.weights[name]).abs().max()
    assert moved > 1e-3, name
    torch.testing.assert_close(
      there.weights[name], weights.detach(), rtol=1e-4, atol=1e-6
    )
