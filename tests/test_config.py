import dataclasses

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
  assert config.trial_id(Trial()) == "11ac9e60a62f"


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
