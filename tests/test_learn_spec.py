"""What a spec makes of a trial, by the machine that it is on."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from jaxpower import config
from jaxpower.learn.cnn import ResNet
from jaxpower.learn.spec import Spec, convolution_of, network_of, spec_of

RESNET = config.Trial(
  model=config.Model(name="resnet18", width=0.05, depth=0.5),
  batch_size=32,
  evaluate_every_examples=64,
)
SET = {
  "input": np.zeros((64, 8, 8, 1), np.uint8),
  "label": np.zeros(64, np.int32),
}


def spec(trial: config.Trial, **facts: Any) -> Spec:
  return spec_of(trial, SET, SET, classes=10, **facts)


def test_a_resnet_on_a_cpu_convolves_by_xla_in_a_call_a_step() -> None:
  found = spec(RESNET)
  assert (found.program, convolution_of(found)) == ("step", "xla")
  network = network_of(found)
  assert isinstance(network, ResNet)
  assert network.convolution == "xla"


@pytest.mark.parametrize(
  ("changes", "facts"),
  [
    ({"accumulation": 2}, {}),
    ({}, {"chunk": 1}),
    (
      {
        "transfer": config.Transfer(weights="w", freeze=True, features="once"),
      },
      {},
    ),
    ({"model": config.Model(name="cnn")}, {}),
  ],
)
def test_in_a_loop_it_does_not(changes: Any, facts: Any) -> None:
  found = spec(dataclasses.replace(RESNET, **changes), **facts)
  assert (found.program, convolution_of(found)) == ("segment", "auto")
