"""The examples of a forward pass on a GPU: one number for both wings."""

import pytest

from jaxpower.config import Execution, Model, Trial
from jaxpower.passes import chunk_of

RESNET, VIT = Model(name="resnet18"), Model(name="vit")


@pytest.mark.parametrize(
  ("model", "precision", "shape", "chunk"),
  [
    (RESNET, "bfloat16", (32, 32, 3), 1024),  # 4 * 65,536 values of 2 bytes
    (RESNET, "float32", (32, 32, 3), 512),
    (RESNET, "float32", (224, 224, 3), 256),  # never less
    (Model(), "bfloat16", (28, 28, 1), 8192),  # never more
    (VIT, "bfloat16", (32, 32, 3), 1024),  # scores of 65 places, 4 heads
  ],
)
def test_memory_decides(model, precision, shape, chunk):
  trial = Trial(model=model, precision=precision)
  assert chunk_of(trial, shape, on_cpu=False) == chunk


def test_cpus_keep_their_own_and_a_trial_its_choice():
  assert chunk_of(Trial(), (28, 28, 1), on_cpu=True) == 0
  chosen = Trial(execution=Execution(evaluation_chunk=77))
  assert chunk_of(chosen, (28, 28, 1), on_cpu=True) == 77
  assert chunk_of(chosen, (28, 28, 1), on_cpu=False) == 77
