"""What a field alone shows to be wrong: its type, its word, its range."""

from collections.abc import Callable
from typing import Any

import pytest

from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Transfer,
)
from jaxpower.plan import grid


def make(**fields: Any) -> Callable[[], Sweep]:
  return lambda: Sweep(**fields)


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (make(target_accuracy=1.2), "target_accuracy 1.2: must lie between"),
    (make(sharding="fdsp"), "unknown sharding 'fdsp'; did you mean fsdp?"),
    (make(batch_norm="locl"), "unknown batch_norm 'locl'; did you mean global"),
    (make(target_accuracy=0.0), "target_accuracy 0.0: must lie between"),
    (make(seeds="3"), "seeds = '3': must be an int"),
    (make(seeds=True), "seeds = True: must be an int"),
    (make(batch_size=0), "batch_size 0: must be at least 1"),
    (make(batch_size=16.0), "batch_size = 16.0: must be an int"),
    (make(model=Model(name="cn")), "unknown model 'cn'; did you mean cnn?"),
    (make(model=Model(width=0.0)), "model.width 0.0: must be above 0"),
    (
      make(optimizer=Optimizer(name="adm")),
      "unknown optimizer 'adm'; did you mean adam?",
    ),
    (
      make(optimizer=Optimizer(schedule="cosin")),
      "unknown optimizer schedule 'cosin'; did you mean cosine?",
    ),
    (
      make(optimizer=Optimizer(learning_rate=float("nan"))),
      "optimizer.learning_rate = nan: must be a finite number",
    ),
    (make(precision="float16"), "unknown precision 'float16'"),
    (make(framework="torc"), "unknown framework 'torc'"),
    (make(budget_examples=10), "budget_examples 10: must be at least 2048"),
    (make(model=Model(width=1e9)), "model.width 1000000000.0: must be at most"),
    (make(idle_seconds=1e300), "idle_seconds 1e+300: must be at most 86400"),
    (make(model=Model(depth=0.0)), "model.depth 0.0: must be above 0"),
    (
      make(optimizer=Optimizer(scaling="cube")),
      "unknown optimizer scaling 'cube'",
    ),
    (
      make(optimizer=Optimizer(reference_batch_size=0)),
      "optimizer.reference_batch_size 0: must be at least 1",
    ),
    (
      make(optimizer=Optimizer(schedule_examples=-1)),
      "optimizer.schedule_examples -1: must be at least 0",
    ),
    (make(dropout=1.0), "dropout 1.0: must lie in [0, 1)"),
    (make(label_smoothing=-0.1), "label_smoothing -0.1: must lie in [0, 1)"),
    (make(data_share=0.0), "data_share 0.0: must lie between 0 and 1"),
    (make(data_share=1.5), "data_share 1.5: must lie between 0 and 1"),
    (make(patience=-1), "patience -1: must be at least 0"),
    (make(stop_at_target=1), "stop_at_target = 1: must be a bool"),
    (make(accumulation=-1), "accumulation -1: must be at least 0"),
    (
      make(augmentation="flip"),
      "unknown augmentation 'flip'; did you mean crop_flip?",
    ),
    (
      make(matmul_precision="hi"),
      "unknown matmul_precision 'hi'; did you mean high?",
    ),
    (make(program="steps"), "unknown program 'steps'; did you mean step?"),
    (make(transfer="scratch"), "transfer = 'scratch': must be a Transfer"),
    (
      make(transfer=Transfer(features="one")),
      "unknown transfer features 'one'; did you mean once?",
    ),
    (make(model=Model(heads=0)), "model.heads 0: must be at least 1"),
    (
      make(streaming="allways"),
      "unknown streaming 'allways'; did you mean always?",
    ),
    (
      make(processes="devices"),
      "unknown processes 'devices'; did you mean device?",
    ),
    (make(target_accuracy=10**400), "target_accuracy = 1"),
  ],
)
def test_a_wrong_value_is_one_line(
  make: Callable[[], Sweep], message: str
) -> None:
  with pytest.raises(ConfigError) as error:
    grid.expand(make())
  assert str(error.value).startswith(message)
  assert "\n" not in str(error.value)
