"""A run folder that is not as its last run left it."""

import dataclasses
import json
import pathlib
from collections import Counter
from typing import Any

import pytest
from test_sweep import InstantWorker, asked, content

from jaxpower import config, records, sweep
from jaxpower.config import ConfigError, stored, to_dict
from jaxpower.folder import record_files, sweep_file
from jaxpower.workers import worker


@pytest.fixture(autouse=True)
def instant(monkeypatch: pytest.MonkeyPatch) -> type[InstantWorker]:
  fresh = type("FreshWorker", (InstantWorker,), {"seen": []})
  monkeypatch.setattr(worker, "Worker", fresh)
  return fresh


@pytest.mark.parametrize("damaged", ["{", "[]", "{}"])
def test_a_damaged_sweep_file_is_refused_with_the_command(
  tmp_path: pathlib.Path, damaged: str
) -> None:
  sweep.run(asked(), tmp_path)
  path = tmp_path / sweep_file.NAME
  path.write_text(damaged)
  with pytest.raises(ConfigError, match=r"sweep\.json is damaged") as error:
    sweep.plan(asked(), tmp_path)
  assert f"(mv {path} {path}.damaged)" in str(error.value)


def test_a_lost_sweep_file_is_made_anew_from_the_records(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  found = sweep.run(asked(seeds=3), tmp_path)
  before = content(tmp_path)
  path = tmp_path / sweep_file.NAME
  held = sweep_file.read(tmp_path)
  path.unlink()
  told: list[str] = []
  plan = sweep.plan(asked(), tmp_path)  # of fewer seeds than are recorded
  assert not path.exists(), "a plan writes nothing"
  again = sweep.execute(plan, tell=told.append)
  assert {r.trial_id: r for r in again} == {r.trial_id: r for r in found}
  assert instant.runs == 6
  assert told == [f"{path} was gone; it is made anew from the records"]
  facts = sweep_file.read(tmp_path)
  assert facts["config"] == held["config"] == to_dict(asked(seeds=3))
  assert sorted(facts["order"]) == sorted(held["order"])
  # And where there is something left to run.
  path.unlink()
  sweep.run(asked(seeds=4), tmp_path)
  assert instant.runs == 8
  assert sweep_file.read(tmp_path)["trials"] == 8
  records = {p: b for p, b in before.items() if p != path}
  assert records.items() <= content(tmp_path).items()


def test_records_say_their_meter_where_the_sweep_file_is_gone(
  tmp_path: pathlib.Path,
) -> None:
  for record in sweep.run(asked(), tmp_path, meter="estimate"):
    record = dataclasses.replace(record, meter={"meter": "estimate"})
    record_files.write(tmp_path, record)
  (tmp_path / sweep_file.NAME).unlink()
  with pytest.raises(ConfigError, match=r"another meter.*estimate -> auto"):
    sweep.plan(asked(), tmp_path)
  assert sweep.plan(asked(), tmp_path, meter="estimate").left == ()


@pytest.mark.parametrize("ended", [1, 2])
def test_what_another_run_ended_after_the_plan_is_not_run_again(
  tmp_path: pathlib.Path, instant: type[InstantWorker], ended: int
) -> None:
  planned = sweep.plan(asked(), tmp_path)
  assert len(planned.left) == 4
  sweep.run(asked(seeds=ended), tmp_path)
  found = sweep.execute(planned)
  assert instant.runs == len(found) == 4
  # Nor is its sweep.json lost: it asked for more than this plan.
  planned = sweep.plan(asked(seeds=1, vary={}), tmp_path / "other")
  sweep.run(asked(seeds=3, vary={}), tmp_path / "other")
  assert len(sweep.execute(planned)) == 3
  assert len(sweep_file.read(tmp_path / "other")["order"]) == 3


def test_a_plan_hashes_a_trial_few_times(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Of 10,000 trials each time costs half a second."""
  sweep.run(asked(seeds=5), tmp_path)
  real, hashed = config.id_of, []

  def counting(facts: dict[str, Any], *kind: type) -> str:
    hashed.append(facts["seed"])
    return real(facts, *kind)

  monkeypatch.setattr(stored, "id_of", counting)
  monkeypatch.setattr(records, "id_of", counting)
  planned = sweep.plan(asked(seeds=6), tmp_path)
  assert (len(planned.ids), len(planned.left)) == (12, 2)
  # Each once, when the sweep is expanded: two settings of a seed.
  assert max(Counter(hashed).values()) == 2


def test_a_field_that_is_null_is_one_that_is_not_there(
  tmp_path: pathlib.Path,
) -> None:
  facts = {"config": None, "trials": None, "meter": "auto"}
  (tmp_path / sweep_file.NAME).write_text(json.dumps(facts))
  assert sweep_file.read(tmp_path) == {"meter": "auto"}
