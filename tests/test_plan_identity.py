"""Files and arrays of the user's are part of what a trial is."""

import dataclasses
import pathlib
from typing import Any

import pytest

from jaxpower import data, sweep, user_code
from jaxpower.config import (
  ConfigError,
  Model,
  Sweep,
  Transfer,
  Trial,
  trial_id,
)
from jaxpower.data import DataError
from jaxpower.plan import identity
from jaxpower.plan.grid import expand, trial_of
from tests import user_files

ASKED = Sweep(
  name="own",
  data="sets.py:load",
  model=Model(name="nets.py:Wide"),
  vary={"model.options.width": (4, 8)},
  batch_size=20,
  evaluate_every_examples=100,
  budget_examples=200,
  seeds=1,
)


@pytest.fixture
def here(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
  monkeypatch.chdir(tmp_path)
  return user_files.write(
    tmp_path,
    nets=user_files.LINEN,
    sets=user_files.ARRAYS,
    wide_arrays=user_files.HELPER,
  )


def test_a_trial_without_files_is_the_trial_that_it_was() -> None:
  trial = Trial(devices=0)
  identity.fill_in(trial)
  assert trial == Trial(devices=0)
  assert trial_id(trial) == "91a4b898dfbe"  # before there were such files


def test_trials_have_the_checksums_and_their_own_options(
  here: pathlib.Path,
) -> None:
  first, second = sorted(
    expand(ASKED), key=lambda trial: trial.model.options["width"]
  )
  assert (first.model.options, second.model.options) == (
    {"width": 4},
    {"width": 8},
  )
  assert first.model.fingerprint == user_code.checksum(here / "nets.py")
  assert first.data_fingerprint == data.describe("sets.py:load").fingerprint
  assert trial_id(first) != trial_id(second)
  assert ASKED.model.fingerprint == "" and ASKED.model.options == {}


def test_other_files_and_other_arrays_are_other_trials(
  here: pathlib.Path,
) -> None:
  ids = [trial_id(trial_of(ASKED, {}, 0))]
  for name, old, new in (
    ("nets", "width: int = 8", "width: int = 9"),
    ("wide_arrays", "+= 100", "+= 101"),
  ):
    path = here / f"{name}.py"
    path.write_text(path.read_text().replace(old, new))
    ids.append(trial_id(trial_of(ASKED, {}, 0)))
  assert len(set(ids)) == 3
  path.write_text(path.read_text() + "# the arrays stay as they are\n")
  assert trial_id(trial_of(ASKED, {}, 0)) == ids[-1]


def test_pretrainings_and_parts_that_are_varied_have_them_too(
  here: pathlib.Path,
) -> None:
  source = Trial(data="sets.py:load", model=Model(name="nets.py:Wide"))
  given = dataclasses.replace(
    ASKED, vary={"transfer": (Transfer(), Transfer(init_from=source))}
  )
  filled = identity.filled_in(given)
  (_, transfer) = filled.vary["transfer"]
  assert transfer.init_from.model.fingerprint
  assert source.model.fingerprint == ""  # the user's own stays as it is
  trial = trial_of(given, {"transfer": given.vary["transfer"][1]}, 0)
  assert trial.transfer.init_from is not None
  assert trial.transfer.init_from.data_fingerprint == trial.data_fingerprint


def test_what_is_no_tuple_of_values_is_left_to_the_check_of_the_sweep() -> None:
  wrong = Sweep(vary={"batch_size": 3})  # type: ignore[dict-item]
  with pytest.raises(ConfigError, match="every value must be a tuple"):
    sweep.plan(wrong)


def test_a_folder_refuses_an_edited_file_and_names_it(
  here: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  from tests.test_sweep import InstantWorker

  class Checking(InstantWorker):
    def check(self, trial: Trial, facts: Any) -> None:
      assert trial.model.name == "nets.py:Wide"
      assert facts.labels == {"label": 3}

  monkeypatch.setattr("jaxpower.workers.worker.Worker", Checking)
  assert len(sweep.run(ASKED, "runs/own")) == 2
  assert sweep.plan(ASKED, "runs/own").left == ()
  path = here / "nets.py"
  before = user_code.checksum(path)
  path.write_text(path.read_text() + "# edited\n")
  with pytest.raises(ConfigError) as raised:
    sweep.plan(ASKED, "runs/own")
  assert f"model.fingerprint: {before} -> {user_code.checksum(path)}" in str(
    raised.value
  )


def test_a_network_that_cannot_be_trained_leaves_nothing(
  here: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  from tests.test_sweep import InstantWorker

  class Refusing(InstantWorker):
    def check(self, trial: Trial, facts: Any) -> None:
      raise ConfigError("no head", field="model.name")

  monkeypatch.setattr("jaxpower.workers.worker.Worker", Refusing)
  with pytest.raises(ConfigError, match=r"model\.name: no head"):
    sweep.run(ASKED, "runs/own")
  assert not (here / "runs").exists()


@pytest.mark.parametrize(
  ("fields", "line"),
  [
    (
      {"model": Model(name="nets.py:Wode")},
      "model.name: nets.py does not define Wode; did you mean Wide?",
    ),
    (
      {"model": Model(name="nots.py:Wide")},
      "model.name: nots.py is not there; did you mean nets.py?",
    ),
    (
      {"model": Model(name="nets.py:Wide", width=2.0)},
      "model.width 2: nets.py:Wide has its sizes from model.options; write"
      " model.options.width",
    ),
    (
      {"model": Model(name="cnn")},
      "model.options width: cnn takes no options; it has model.width,"
      " model.depth and model.heads",
    ),
    (
      {"vary": {"model.options.width": ([{}],)}},
      "model.options.width = ({},): must be a number, a word, true, false, None"
      " or a tuple of these",
    ),
    (
      {"vary": {"model.fingerprint": ("a",)}},
      "model.fingerprint: is filled in from the file that is named; vary that",
    ),
    (
      {"data": "sets.py:lod"},
      "data: sets.py does not define lod; did you mean load?",
    ),
  ],
)
def test_what_is_wrong_is_one_line_before_anything_runs(
  fields: dict[str, Any], line: str, here: pathlib.Path
) -> None:
  with pytest.raises((ConfigError, DataError)) as raised:
    expand(dataclasses.replace(ASKED, **fields))
  assert str(raised.value) == line
