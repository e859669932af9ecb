# pyright: reportIncompatibleVariableOverride=false
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower import config
from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Transfer,
  Trial,
  stored,
)


def test_arguments_are_typed_by_their_defaults() -> None:
  read = config.arguments(
    "data=mnist,seeds=5,rate=1e-2,quick",
    data="x",
    seeds=1,
    rate=0.1,
    quick=False,
  )
  assert (read.data, read.seeds, read.rate, read.quick) == (
    "mnist",
    5,
    0.01,
    True,
  )


def test_arguments_may_be_left_out() -> None:
  read = config.arguments("", data="mnist", quick=False)
  assert (read.data, read.quick) == ("mnist", False)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("dta=mnist", "unknown config argument 'dta'; did you mean data?"),
    ("seeds=many", "config argument seeds=many: not an int"),
    ("data", "config argument data: write data=VALUE"),
    ("quick=maybe", "config argument quick=maybe: not a bool"),
    ("xyz", "unknown config argument 'xyz'; known: data, quick, seeds"),
  ],
)
def test_wrong_arguments_are_named(text: str, message: str) -> None:
  with pytest.raises(ConfigError) as error:
    config.arguments(text, data="mnist", seeds=3, quick=False)
  assert str(error.value) == message


@given(st.text())
def test_arguments_read_or_refuse_any_text(text: str) -> None:
  try:
    read = config.arguments(text, data="mnist", seeds=3, quick=False)
  except ConfigError as error:
    assert "\n" not in str(error) or "\n" in text
  else:
    assert (type(read.data), type(read.seeds)) == (str, int)


def test_trial_id_is_stable() -> None:
  # A change here makes every record on every disk unknown: old trials would
  # be run again. Change it only with the schema version.
  before = Trial(validation_share=0.0, crossing="first", devices=0)
  assert config.trial_id(before) == "11ac9e60a62f"


def test_another_seed_is_a_copy_of_all_parts_and_pretrainings() -> None:
  first = Trial(targets={"label": 0.5})
  trial = Trial(transfer=Transfer(init_from=first), targets={"label": 0.7})
  again = config.with_seed(trial, 3)
  assert again.transfer.init_from == dataclasses.replace(first, seed=3)
  assert config.with_seed(again, 0) == trial
  mine = (again, again.transfer.init_from)
  for ours, theirs in zip(mine, (trial, first), strict=True):
    assert ours is not theirs
    for name in ("model", "optimizer", "transfer", "targets", "task_weights"):
      assert getattr(ours, name) is not getattr(theirs, name)


def test_trial_id_changes_with_every_field() -> None:
  trials = [
    Trial(),
    Trial(seed=1),
    Trial(batch_size=64),
    Trial(model=Model(width=0.5)),
    Trial(optimizer=Optimizer(learning_rate=0.1)),
    Trial(target_accuracy=0.81),
  ]
  assert len({config.trial_id(trial) for trial in trials}) == len(trials)


@dataclasses.dataclass(kw_only=True)
class LaterOptimizer(Optimizer):
  decay: str = config.later("weights", before="all")


@dataclasses.dataclass(kw_only=True)
class LaterTransfer(Transfer):
  init_from: "LaterTrial | None" = None
  cached: bool = config.later(False, before=False)


@dataclasses.dataclass(kw_only=True)
class LaterTrial(Trial):
  """A trial of a later version, with new fields in it and in its parts."""

  optimizer: LaterOptimizer = dataclasses.field(default_factory=LaterOptimizer)
  transfer: LaterTransfer = dataclasses.field(default_factory=LaterTransfer)
  share: float = config.later(0.1, before=0.0)


def later_trial(**fields: Any) -> LaterTrial:
  """A later trial whose new fields stand as they were before they existed."""
  before = LaterOptimizer(decay="all")
  return LaterTrial(**{"share": 0.0, "optimizer": before} | fields)


@pytest.mark.parametrize(
  ("old", "new"),
  [
    (Trial(seed=2), later_trial(seed=2)),
    (
      Trial(transfer=Transfer(init_from=Trial(data="mnist_5k"))),
      later_trial(
        transfer=LaterTransfer(init_from=later_trial(data="mnist_5k"))
      ),
    ),
  ],
)
def test_a_later_field_leaves_old_ids_and_completes_old_configs(
  old: Trial, new: LaterTrial
) -> None:
  assert config.trial_id(new) == config.trial_id(old)
  held = config.to_dict(old)
  assert config.completed(LaterTrial, held) == config.to_dict(new)
  assert held == config.to_dict(old)


def test_a_later_field_of_another_value_makes_another_trial() -> None:
  nested = LaterTransfer(init_from=later_trial())
  trials = [
    later_trial(),
    later_trial(share=0.1),
    later_trial(optimizer=LaterOptimizer(decay="weights")),
    later_trial(transfer=LaterTransfer(cached=True)),
    later_trial(transfer=nested),
    later_trial(transfer=LaterTransfer(init_from=later_trial(share=0.1))),
    later_trial(transfer=dataclasses.replace(nested, cached=True)),
  ]
  assert len({config.trial_id(trial) for trial in trials}) == len(trials)


def test_a_complete_config_stays_as_it_is() -> None:
  held = config.to_dict(LaterTrial())
  assert config.completed(LaterTrial, held) == held
  partly = {"share": 0.3, "optimizer": {"name": "sgd"}}
  made = config.completed(LaterTrial, partly)
  assert made["share"] == 0.3
  assert made["optimizer"]["name"] == "sgd"
  assert made["optimizer"]["decay"] == "all"
  assert "batch_size" not in made  # a field of always is not made up


@dataclasses.dataclass(kw_only=True)
class LaterSweep(Sweep):
  balanced: bool = config.later(True, before=False)


def test_values_that_a_sweep_varies_are_completed(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  sweep = Sweep(vary={"transfer": (Transfer(), Transfer()), "seed": (1, 2)})
  held = config.to_dict(sweep)
  for part in held["vary"]["transfer"]:
    del part["freeze"]
  monkeypatch.setattr(
    stored, "_before", lambda kind: {"freeze": 0} if kind is Transfer else {}
  )
  made = config.completed(LaterSweep, held)
  assert [part["freeze"] for part in made["vary"]["transfer"]] == [0, 0]
  assert made["vary"]["seed"] == [1, 2]


def test_a_later_field_of_a_sweep_is_completed() -> None:
  held = config.to_dict(Sweep())
  assert config.completed(LaterSweep, held) == held | {"balanced": False}


EARLY, LATE = Trial(data="mnist_5k"), Trial(data="mnist_5k", batch_size=64)


def test_a_trial_in_a_trial_is_plain_data() -> None:
  trial = Trial(data="digits_28", transfer=Transfer(init_from=EARLY))
  held = config.to_dict(trial)
  assert held["transfer"]["init_from"]["data"] == "mnist_5k"
  assert held["transfer"]["init_from"]["transfer"]["init_from"] is None
  assert "transfer.init_from.optimizer.name" in config.field_types(trial)
  other = dataclasses.replace(trial, transfer=Transfer(init_from=LATE))
  assert config.trial_id(other) != config.trial_id(trial)
  assert config.differences(held, config.to_dict(other)) == [
    "transfer.init_from.batch_size: 128 -> 64"
  ]
  assert [t.data for t in config.sources(trial)] == ["mnist_5k"]


def test_differences_name_each_field() -> None:
  old = config.to_dict(Sweep(vary={"batch_size": (16, 64)}))
  new = config.to_dict(
    Sweep(vary={"batch_size": (16,)}, model=Model(name="resnet18"), seeds=5)
  )
  assert config.differences(old, new) == [
    "model.name: cnn -> resnet18",
    "seeds: 3 -> 5",
    "vary.batch_size: [16, 64] -> [16]",
  ]
  assert config.differences(old, old) == []


def test_an_error_names_its_field_from_the_config_that_holds_it() -> None:
  error = ConfigError("must be at least 1", field="batch_size", value="0")
  assert str(error) == "batch_size 0: must be at least 1"
  outer = error.inside("transfer.init_from")
  assert str(outer) == "transfer.init_from.batch_size 0: must be at least 1"
  assert (outer.reason, outer.value) == (error.reason, error.value)
  assert str(ConfigError("no such file")) == "no such file"
  assert str(ConfigError("no such file").inside("a.b")) == "a.b: no such file"


def test_a_value_is_set_at_its_path() -> None:
  sweep = Sweep(vary={"optimizer.learning_rate": (0.1,)}, targets={"a b": 0.5})
  config.put(sweep, "model.name", "vit")
  config.put(sweep, "vary.optimizer.learning_rate", (0.2,))
  config.put(sweep, "targets.a b", 0.6)
  assert sweep.model.name == "vit"
  assert sweep.vary == {"optimizer.learning_rate": (0.2,)}
  assert config.get(sweep, "targets.a b") == 0.6


def test_field_types_reach_parts_and_varied_values() -> None:
  paths = list(config.field_types(Sweep(vary={"batch_size": (1,)})))
  assert {"seeds", "optimizer.learning_rate", "vary.batch_size"} <= set(paths)
  kinds = config.field_types(
    Sweep(vary={"model.name": ("cnn",)}, targets={"label": 1})
  )
  assert kinds["vary.model.name"] is tuple
  assert kinds["targets.label"] is float
  assert kinds["transfer.init_from"] is Trial
  assert (kinds["tasks"], kinds["dropout"]) == (tuple, float)


def test_a_task_without_its_own_target_has_the_shared_one() -> None:
  trial = Trial(
    tasks=("label", "subject"), target_accuracy=0.7, targets={"subject": 0.5}
  )
  assert config.targets_of(trial) == {"label": 0.7, "subject": 0.5}
  assert config.to_dict(trial)["tasks"] == ["label", "subject"]


def test_a_config_is_read_as_it_was_written() -> None:
  source = Trial(data="mnist_5k", tasks=("a", "b"), targets={"a": 0.5})
  trial = Trial(
    optimizer=Optimizer(name="lion"),
    transfer=Transfer(init_from=source, freeze=True),
    seed=3,
  )
  written = config.to_dict(trial)
  assert config.from_dict(Trial, written) == trial
  with pytest.raises(TypeError, match="colour"):
    config.from_dict(Trial, written | {"colour": "red"})


@pytest.mark.parametrize(
  ("processes", "platform", "framework", "devices", "expected"),
  [
    ("auto", "gpu", "jax", 4, 4),
    ("auto", "gpu", "jax", 0, 8),  # all that are there
    ("auto", "cpu", "jax", 4, 1),
    ("device", "cpu", "jax", 4, 4),
    ("one", "gpu", "jax", 4, 1),
    ("auto", "gpu", "jax", 1, 1),
    ("auto", "gpu", "torch", 4, 1),  # whose wing has processes of its own
  ],
)
def test_a_gpu_has_a_process_of_its_own(
  processes: str, platform: str, framework: str, devices: int, expected: int
) -> None:
  trial = Trial(processes=processes, framework=framework, devices=devices)
  assert config.processes_of(trial, platform, 8) == expected


def test_a_later_part_counts_in_an_id_only_where_it_is_set() -> None:
  plain = config.to_dict(Trial())
  old = {name: part for name, part in plain.items() if name != "execution"}
  assert config.completed(Trial, old) == plain
  half = old | {"execution": {"unroll": 4}}
  unrolled = Trial(execution=config.Execution(unroll=4))
  assert config.completed(Trial, half) == config.to_dict(unrolled)
  assert config.id_of(old) == config.trial_id(Trial())
  assert config.trial_id(unrolled) != config.trial_id(Trial())
  varied = {"vary": {"execution": [{"unroll": 2}]}}
  held = config.completed(Sweep, config.to_dict(Sweep()) | varied)
  assert held["vary"]["execution"][0]["attention"] == "auto"
