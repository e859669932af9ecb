"""The size of an experiment on a GPU: what its energy counter can measure.

The bundled sets and small networks train for milliseconds on a GPU whose
counter moves every 100 ms. So configs have a form `:gpu`, sized by this
arithmetic. An H100 does 989e12 bfloat16 operations a second (NVIDIA's data
sheet, dense), of which images of 28 x 28 are assumed to reach 15 %: an
estimate, nothing of it was measured yet. ResNet-18 needs 2.75e9 operations for
an example, forward and backward (counted, `wing.flops_per_step`), and ViT-Ti
1.68e9 at an assumed 9 %: 54,000 examples a second for both. `EXAMPLES` then
take 31 s and `EVERY` 3.4 s, 34 periods of the counter: few looks, so that the
target is interpolated between them. A trial has about 6 s
around its training, and a spec takes 20 s to compile (both assumed), so six
trials of three specs take 6 * (31 + 6) + 3 * 20 = 282 s.
"""

import dataclasses
import os
from typing import Any

from jaxpower import data, machine
from jaxpower.config import Model, Sweep

EVERY = 184_320  # examples between evaluations; 90 * 2,048
EXAMPLES = 9 * EVERY
FULL, BUNDLED = "fashion_mnist", "fashion_mnist_6k"

# At width and depth 1 a ViT is small enough for two cores; ViT-Ti is not.
VIT_TINY = Model(name="vit", width=3.0, depth=6.0, heads=3)


def asked_for(arguments: Any, framework: str = "jax") -> bool:
  """Whether a config's `gpu` or `auto` asks for the size of a GPU.

  `auto` does where the framework would train on one.
  """
  if arguments.gpu or not arguments.auto:
    return arguments.gpu
  return machine.trains_on_gpu(framework, machine.look(), os.environ)


def sized(sweep: Sweep, network: str, **fields: Any) -> Sweep:
  """Gives a sweep the size of a GPU: every trial trains for 30 s.

  Args:
    sweep: What is as it is on a CPU.
    network: The name of the network, as in `model`.
    fields: What else is not, or what differs from the size of most.
  """
  size: dict[str, Any] = {
    "model": model(network),
    "precision": "bfloat16",
    "seeds": 2,
    "stop_at_target": False,  # so that every trial trains for 30 s
    "budget_examples": EXAMPLES,
    "evaluate_every_examples": EVERY,
    "crossing": "interpolated",
    "devices": 1,
  }
  return dataclasses.replace(sweep, **size | fields)


def dataset(arguments: Any, chosen: str = "") -> str:
  """Returns the set to train on: the one `chosen`, or the full Fashion-MNIST.

  The bundled part of that is what configs name by default, and no choice. With
  `auto`, which is to run anywhere, the bundled part of it where the full
  set is not prepared; it is seen in as many more passes.
  """
  if chosen not in ("", BUNDLED):
    return chosen
  if arguments.gpu:
    return FULL
  try:
    data.describe(FULL)
  except data.DataError:
    return BUNDLED
  return FULL


def model(name: str) -> Model:
  """Returns a network in the size of a GPU: ResNet-18, or the one named."""
  if name in ("", "cnn"):
    return Model(name="resnet18")
  return VIT_TINY if name == "vit" else Model(name=name)
