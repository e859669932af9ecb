"""Every field of a trial, from a config file and from the command line."""

import pathlib
from typing import Any

import numpy as np
import pytest

from jaxpower.cli import overrides
from jaxpower.config import (
  COMPUTED,
  ConfigError,
  Optimizer,
  Sweep,
  Trial,
  field_types,
  get,
  trial_id,
)
from jaxpower.plan.checks import check_sweep
from jaxpower.plan.field_values import CHOICES, check_types
from jaxpower.plan.grid import trial_of

NOT_SET = ("seed", *COMPUTED)
TYPES = {p: k for p, k in field_types(Trial()).items() if p not in NOT_SET}
# Two values of each kind, and as a person writes them.
VALUES: dict[type, tuple[tuple[Any, Any], str]] = {
  bool: ((True, False), "(True,False)"),
  float: ((1e-3, 0.5), "(1e-3,0.5)"),
  int: ((3, 4), "3,4"),
  str: (("a", "b"), "(a, b)"),
  tuple: ((("a",), ("a", "b")), "(('a',), ('a', 'b'))"),
}


@pytest.mark.parametrize("path", TYPES)
def test_each_field_of_a_trial_can_be_varied_by_a_flag(path: str) -> None:
  sweep = Sweep()
  if TYPES[path] not in VALUES or path.endswith("init_from"):
    with pytest.raises(ConfigError, match=r"given in a config file"):
      overrides.apply(sweep, {f"vary.{path}": ["(1, 2)"]})
    return
  values, text = VALUES[TYPES[path]]
  overrides.apply(sweep, {f"vary.{path}": [text]})
  check_types(sweep)
  assert sweep.vary == {path: values}
  for value in values:
    assert get(trial_of(sweep, {path: value}, seed=0), path) == value


@pytest.mark.parametrize("path", TYPES)
def test_each_field_of_a_trial_can_be_set_by_a_flag(path: str) -> None:
  sweep = Sweep()
  if TYPES[path] not in VALUES or path.endswith("init_from"):
    with pytest.raises(ConfigError):
      overrides.apply(sweep, {path: ["1"]})
    return
  value = VALUES[TYPES[path]][0][1]
  words = value if TYPES[path] is tuple else [str(value)]
  overrides.apply(sweep, {path: words})
  assert get(sweep, path) == value


@pytest.mark.parametrize("path", [p for p in TYPES if TYPES[p] is not dict])
def test_a_file_may_give_numpy_values_lists_and_ranges(path: str) -> None:
  if TYPES[path] not in VALUES or path.endswith("init_from"):
    return
  values = VALUES[TYPES[path]][0]
  arrays = values if TYPES[path] is tuple else np.array(values)
  for given in (arrays, list(values), tuple(arrays)):
    # Names that nobody knows are refused later, with the trials.
    sweep = Sweep(vary={path: given})  # type: ignore[dict-item]
    check_sweep(sweep)
    assert sweep.vary == {path: values}
    assert all(map(same_type, sweep.vary[path], values))


def same_type(a: object, b: object) -> bool:
  return type(a) is type(b)


def test_a_trial_of_numpy_numbers_has_the_id_of_pythons() -> None:
  sizes = np.int64(32), np.int64(64)
  for given in (sizes, 2 ** np.arange(5, 7), [32, 64], range(32, 65, 32)):
    rate = np.float64(1e-3)
    sweep = Sweep(
      vary={"batch_size": given},  # type: ignore[dict-item]
      optimizer=Optimizer(learning_rate=rate),  # type: ignore[arg-type]
    )
    check_sweep(sweep)
    assert sweep.vary == {"batch_size": (32, 64)}
    trial = trial_of(sweep, {"batch_size": sweep.vary["batch_size"][0]}, 0)
    assert trial_id(trial) == trial_id(Trial(batch_size=32))


@pytest.mark.parametrize(
  ("path", "text", "kind"),
  [
    ("vary.batch_size", "garbage", "a tuple of int"),
    ("vary.batch_size", "(32,128", "a tuple of int"),
    ("vary.batch_size", "", "a tuple of int"),
    ("vary.batch_size", "[" * 3_000, "a tuple of int"),
    ("vary.batch_size", "1,,2", "a tuple of int"),
    ("vary.batch_size", "1and", "a tuple of int"),
    ("vary.batch_size", "(1.5, 2)", "a tuple of int"),
    ("vary.batch_size", "9" * 5_000, "a tuple of int"),
    ("vary.optimizer.learning_rate", "1e-3;1e-2", "a tuple of float"),
    ("vary.precision", "(float32, ", "a tuple of str"),
    ("vary.stop_at_target", "2", "a tuple of bool"),
    ("seeds", "", "an int"),
    ("seeds", "1\x1b[2J", "an int"),
    ("tasks", "('a', 3)", "a tuple of str"),
  ],
)
def test_a_text_of_another_type_is_one_line(
  path: str, text: str, kind: str
) -> None:
  with pytest.raises(ConfigError) as refused:
    overrides.apply(Sweep(), {path: [text]})
  line = str(refused.value)
  assert line.startswith(f"--config.{path}=")
  assert line.endswith(f": must be {kind}")
  assert line.isprintable()
  assert len(line) < 150


def test_words_need_no_quotation_marks() -> None:
  sweep = Sweep()
  text = "(float32,bfloat16)"
  overrides.apply(sweep, {"vary.precision": [text]})
  assert sweep.vary == {"precision": ("float32", "bfloat16")}
  assert set(sweep.vary["precision"]) <= set(CHOICES["precision"])


def test_a_flag_that_a_varied_field_would_hide_is_refused() -> None:
  with pytest.raises(ConfigError, match="varies batch_size"):
    overrides.apply(
      Sweep(), {"batch_size": ["8"], "vary.batch_size": ["16,32"]}
    )


def test_the_form_that_the_message_advises_works(
  monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
  from jaxpower.cli import run

  monkeypatch.chdir(pathlib.Path(__file__).parent.parent)
  monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
  flag = "--config.vary.optimizer.learning_rate=(1e-3,1e-2)"
  words = ["--config=configs/learning_rate.py", flag, "--dry-run"]
  assert run.main(["run.py", *words, "--out=not-there"], "") == 0
  assert "rate 0.01, seed" in capsys.readouterr().out
