"""What a config alone shows to be wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Transfer,
  Trial,
)
from jaxpower.plan import checks, grid

BOTH = ("label", "subject")
FIRST = Trial(data="mnist_5k")
SECOND = Trial(data="mnist_5k", transfer=Transfer(init_from=FIRST))
THIRD = Trial(
  data="digits_28", transfer=Transfer(init_from=SECOND, freeze=True)
)
ALONE = Trial(data="digits_28")

ONCE = Transfer(init_from=Trial(), freeze=True, features="once")


@pytest.mark.parametrize(
  "asked",
  [
    {"devices": 2},
    {"devices": 2, "sharding": "fsdp", "optimizer": Optimizer(name="muon")},
    {
      "devices": 2,
      "model": Model(name="resnet18"),
      "batch_norm": "global",
      "sharding": "fsdp",
    },
    {"streaming": "always"},
    {"devices": 2, "processes": "device"},
    {"data": "imu", "tasks": ("label", "subject")},
  ],
)
@pytest.mark.parametrize("framework", ["jax", "torch", "torch_compile"])
def test_every_framework_takes_it(
  framework: str, asked: dict[str, Any]
) -> None:
  grid.expand(Sweep(framework=framework, **asked))


def make(**fields: Any) -> Callable[[], Sweep]:
  return lambda: Sweep(**fields)


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (
      make(framework="torch", data_sharding="divided"),
      "data_sharding divided: not in torch; take replicated, or framework jax",
    ),
    (
      make(streaming="always", data_sharding="divided"),
      "data_sharding divided: streaming always leaves the set on the host",
    ),
    (
      make(transfer=ONCE, data_sharding="divided"),
      "data_sharding divided: features are kept whole on each device; take",
    ),
    (make(seeds=0), "seeds 0: must be at least 1"),
    (make(vary={"batchsize": (1,)}), "vary: unknown field 'batchsize'; did"),
    (make(vary={"seed": (1, 2)}), "vary: unknown field 'seed'"),
    (make(vary={"batch_size": ()}), "vary.batch_size: give at least one"),
    (make(vary={"batch_size": (4, 4)}), "vary.batch_size: a value is given"),
    (make(vary={"batch_size": 4}), "vary: every value must be a tuple"),
    (make(seeds=10**7), "seeds 10000000: 10000000 trials are more than"),
    (make(name="../up"), "name '../up': must be usable as a folder's name"),
    (make(name=".."), "name '..': must be"),
    (make(name="."), "name '.': must be"),
    (make(name="-rf"), "name '-rf': must be"),
    (make(name="a\nb"), "name 'a\\nb': must be"),
    (make(name="a\x1b[2J"), "name 'a\\x1b[2J': must be"),
    (make(name="a" * 101), "name 'aaaaaaaaaaaa..."),
    (make(vary={"batch_size": ("a",)}), "batch_size = 'a': must be an int"),
    (make(vary={"model.name": ("cn",)}), "unknown model 'cn'"),
    (make(vary={"target_accuracy": (2.0,)}), "target_accuracy 2.0"),
    (
      make(model=Model(depth=0.5)),
      "model.depth 0.5: cnn cannot be so deep; take a multiple of 1",
    ),
    (
      make(model=Model(name="resnet18", depth=0.3)),
      "model.depth 0.3: resnet18 cannot be so deep; take a multiple of 0.5",
    ),
    (
      make(model=Model(name="resnet18"), dropout=0.1),
      "dropout 0.1: resnet18 has no dropout; models that have: cnn, decoder,",
    ),
    (
      make(model=Model(name="resnet18"), vary={"dropout": (0.0, 0.1)}),
      "dropout 0.1: resnet18 has no dropout",
    ),
    (
      make(model=Model(name="decoder"), augmentation="crop"),
      "augmentation crop: decoder reads no images",
    ),
    (
      make(optimizer=Optimizer(schedule="one_cycle", warmup_examples=100)),
      "optimizer.warmup_examples: one_cycle has its own warm-up",
    ),
    (
      make(accumulation=3),
      "accumulation 3: must divide batch_size 128",
    ),
    (
      make(transfer=Transfer(init_from=Trial(batch_size=0))),
      "transfer.init_from.batch_size 0: must be at least 1",
    ),
    (
      make(transfer=Transfer(init_from=Trial(precision="float"))),
      "transfer.init_from: unknown precision 'float'; did you mean",
    ),
    (
      make(transfer=Transfer(init_from=Trial(dropout="0"))),  # type: ignore
      "transfer.init_from.dropout = '0': must be a float",
    ),
    (
      make(transfer=Transfer(init_from=Sweep())),  # type: ignore
      "transfer.init_from = Sweep(",
    ),
    (
      make(transfer=Transfer(init_from=Trial(), features="once")),
      "transfer.features once: only a frozen backbone's features stay; set"
      " transfer.freeze",
    ),
    (
      make(transfer=ONCE, augmentation="crop"),
      "transfer.features once: augmentation moves images; take none",
    ),
    (
      make(transfer=ONCE, dropout=0.1),
      "transfer.features once: dropout draws anew in each update; take 0",
    ),
    (
      make(transfer=ONCE, streaming="always"),
      "transfer.features once: they are kept on the devices; take streaming",
    ),
    (
      make(vary={"transfer": (Transfer(), Transfer(freeze=True))}),
      "transfer.freeze: without init_from or weights",
    ),
    (
      make(
        transfer=Transfer(init_from=Trial()), vary={"model.width": (1.0, 0.5)}
      ),
      "transfer.init_from: its backbone does not fit the trial's (model.width:"
      " 1.0 -> 0.5)",
    ),
    (
      make(vary={"transfer": (Transfer(), Transfer())}),
      "vary.transfer: a value is given twice in ('scratch', 'scratch')",
    ),
    (
      make(framework="torch", processes="one"),
      "processes one: PyTorch has a process for each device; take auto",
    ),
    (make(name="a/b"), "name 'a/b': must be usable as a folder's name"),
  ],
)
def test_bad_sweeps_are_refused(
  make: Callable[[], Sweep], message: str
) -> None:
  with pytest.raises(ConfigError) as error:
    grid.expand(make())
  assert str(error.value).startswith(message)
  assert "\n" not in str(error.value)


@given(every=st.integers(1, 10_000), batch=st.integers(1, 10_000))
def test_the_suggested_cadence_holds(every: int, batch: int) -> None:
  (trial,) = grid.expand(
    Sweep(
      seeds=1,
      evaluate_every_examples=every,
      batch_size=batch,
      budget_examples=10_000,
    )
  )
  try:
    checks.check_cadence(trial)
    assert every % batch == 0
  except ConfigError as error:
    trial.evaluate_every_examples = int(str(error).split()[-1])
    checks.check_cadence(trial)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"tasks": ()}, "tasks: name at least one label"),
    ({"tasks": ("label", "label")}, "tasks: one is named twice"),
    ({"tasks": "label"}, "tasks = 'label': must be a tuple"),
    ({"tasks": (1,)}, "tasks = (1,): must be a tuple of strings"),
    ({"vary": {"tasks": ("label",)}}, "tasks = 'label': must be a tuple"),
    ({"vary": {"tasks": (3,)}}, "tasks = 3: must be a tuple"),
    (
      {"vary": {"tasks": ("label",)}, "targets": {"label": 0.9}},
      "tasks = 'label': must be a tuple",
    ),
    ({"targets": {"label": 0.0}}, "targets.label 0.0: must lie between"),
    ({"targets": {"label": 80}}, "targets.label 80.0: must lie between"),
    ({"targets": {"label": "80"}}, "targets.label = '80': must be a finite"),
    ({"targets": {"lable": 0.8}}, "targets: unknown task 'lable'; did you"),
    ({"targets": {"subject": 0.8}}, "targets: unknown task 'subject'"),
    (
      {"vary": {"tasks": (BOTH,)}, "targets": {"side": 0.8}},
      "targets: unknown task 'side'",
    ),
    (
      {"tasks": BOTH, "task_weights": {"label": -1.0}},
      "task_weights.label -1.0: must be above 0",
    ),
    (
      {"tasks": BOTH, "task_weights": {"labels": 1.0}},
      "task_weights: unknown task 'labels'; did you mean label?",
    ),
    (
      {"tasks": BOTH, "vary": {"task_weights": (2.0, 3.0)}},
      "task_weights = 2.0: must be a dict",
    ),
    ({"task_weights": {"label": 1.0}}, "with one task there is nothing to"),
    ({"task_weighting": "uncertainty"}, "with one task there is nothing to"),
    (
      {
        "tasks": BOTH,
        "task_weighting": "uncertainty",
        "task_weights": {"label": 1.0},
      },
      "task_weights: task_weighting uncertainty learns them",
    ),
    (
      {"tasks": BOTH, "task_weighting": "uncertain"},
      "unknown task_weighting 'uncertain'; did you mean uncertainty?",
    ),
  ],
)
def test_wrong_words_of_tasks_are_one_line(
  fields: dict[str, Any], message: str
) -> None:
  with pytest.raises(ConfigError) as refused:
    grid.expand(Sweep(**{"data": "imu", "seeds": 1, **fields}))
  assert message in str(refused.value)
  assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    (None, None),
    (
      ConfigError("too few", field="batch_size", value="3"),
      "transfer.init_from.batch_size 3: too few",
    ),
    (
      ConfigError("unknown model 'cn'"),
      "transfer.init_from: unknown model 'cn'",
    ),
  ],
)
def test_what_is_wrong_with_a_pretraining_has_its_path(
  wrong: ConfigError | None, message: str | None
) -> None:
  def check(trial: Trial) -> None:
    if trial is FIRST and wrong is not None:
      raise wrong

  checks.check_with_sources(ALONE, check)
  if message is None:
    checks.check_with_sources(SECOND, check)
    return
  with pytest.raises(ConfigError) as error:
    checks.check_with_sources(SECOND, check)
  assert str(error.value) == message
  with pytest.raises(ConfigError) as error:
    checks.check_with_sources(THIRD, check)
  assert str(error.value).startswith("transfer.init_from.transfer.init_from")


@pytest.mark.parametrize(
  ("trial", "message"),
  [
    (
      Trial(transfer=Transfer(freeze=True)),
      "transfer.freeze: without init_from or weights the backbone would stay",
    ),
    (
      Trial(transfer=Transfer(init_from=FIRST, weights="resnet18")),
      "transfer: init_from and weights are both given",
    ),
    (
      Trial(transfer=Transfer(backbone_rate=0.0)),
      "transfer.backbone_rate 0: must be above 0; to train the head alone",
    ),
    (
      Trial(transfer=Transfer(weights="x", freeze=True, backbone_rate=0.1)),
      "transfer.backbone_rate 0.1: a frozen backbone has no rate",
    ),
    (
      Trial(model=Model(width=0.5), transfer=Transfer(init_from=FIRST)),
      "transfer.init_from: its backbone does not fit the trial's (model.width:"
      " 1.0 -> 0.5); both must be the same",
    ),
    (
      Trial(framework="torch", transfer=Transfer(init_from=FIRST)),
      "transfer.init_from: its backbone does not fit the trial's (framework:"
      " jax -> torch); both must be the same",
    ),
    (
      Trial(
        framework="torch_compile",
        transfer=Transfer(init_from=Trial(framework="torch")),
      ),
      "transfer.init_from: its backbone does not fit the trial's (framework:"
      " torch -> torch_compile); both must be the same",
    ),
  ],
)
def test_a_backbone_that_cannot_be_had_is_refused(
  trial: Trial, message: str
) -> None:
  with pytest.raises(ConfigError) as error:
    checks.check_transfer(trial)
  assert str(error.value).startswith(message)
  assert "\n" not in str(error.value)
