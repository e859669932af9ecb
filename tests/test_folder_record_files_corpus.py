"""Run folders as older versions wrote them: read, continued and reported.

`corpus/` has a small one by the revisions that changed what a folder holds, of
`configs/batch.py` on the digits; each is named by date and revision. They are
never written anew, and every version that changes the files adds one. That of
2026-11-27 has a file a record, a ledger, and what kills left: the lock, a first
attempt that was killed in training and gone on from, and the beat of one at a
trial that was asked for later and killed with its sweep.
"""

import dataclasses
import pathlib
import shutil
from typing import Any

import pytest
from test_sweep import InstantWorker

from jaxpower import attempts, provenance, sweep
from jaxpower.cli import report
from jaxpower.config import Sweep, completed, from_dict
from jaxpower.folder import record_files, sweep_file
from jaxpower.workers import worker

CORPUS = pathlib.Path(__file__).parent / "corpus"
FOLDERS = sorted(path.name for path in CORPUS.iterdir())


@pytest.fixture(params=FOLDERS)
def folder(
  request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> pathlib.Path:
  return shutil.copytree(CORPUS / request.param, tmp_path / "run")


def asked(folder: pathlib.Path, **changes: Any) -> Sweep:
  """The sweep of a folder as one would ask for it today."""
  facts = completed(Sweep, sweep_file.read(folder)["config"])
  facts["vary"] = {path: tuple(v) for path, v in facts["vary"].items()}
  return dataclasses.replace(from_dict(Sweep, facts), **changes)


def test_every_record_is_read(folder: pathlib.Path) -> None:
  found = record_files.read(folder, strict=True)
  assert set(found.newest) == set(sweep_file.read(folder)["order"])
  assert len(found.records) == 4
  assert all(record.train_joules for record in found.records)


def test_it_is_continued_under_its_own_config(
  folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Whatever fields a config has gained since: old trials are not run again."""
  fresh = type("FreshWorker", (InstantWorker,), {"seen": []})
  monkeypatch.setattr(worker, "Worker", fresh)
  # Of the machine that made it.
  monkeypatch.setattr(provenance, "arithmetic_environment", lambda _: {})
  before = {
    path: path.read_bytes()
    for path in folder.rglob("*.json*")
    if path.name != sweep_file.NAME
  }
  assert sweep.plan(asked(folder), folder, meter="estimate").left == ()
  more = asked(folder, seeds=3)
  plan = sweep.plan(more, folder, meter="estimate")
  assert sorted(trial.batch_size for trial in plan.left) == [64, 128]
  assert len(sweep.execute(plan)) == 6
  assert sweep.plan(more, folder, meter="estimate").left == ()
  assert len(record_files.read(folder, strict=True).newest) == 6
  assert {path: path.read_bytes() for path in before} == before


def test_it_is_reported(
  folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  assert report.main([str(folder)]) == 0
  out, err = capsys.readouterr()
  assert err == ""
  assert "batch" in out
  assert "could not be read" not in out


def test_the_ledger_is_read(folder: pathlib.Path) -> None:
  if not (folder / attempts.LEDGER).exists():
    return  # there was none before
  tried = attempts.read(folder)
  newest = record_files.read(folder).newest
  assert {attempt.trial_id for attempt in tried} > newest.keys()
  (cut, again), *_ = (
    [a for a in tried if a.trial_id == name]
    for name, record in newest.items()
    if len(record.attempts) > 1
  )
  assert (cut.ended, cut.phase) == (attempts.KILLED, "train")
  assert (again.number, again.ended) == (2, "missed")
  assert 0 < again.resumed_examples <= cut.examples
  # One is known by its beat alone: it has no end, and cost what that says.
  (orphan,) = (attempt for attempt in tried if attempt.ended is None)
  (beat,) = (folder / attempts.BEATS).iterdir()
  assert beat.stem == orphan.attempt
  assert orphan.joules and orphan.seconds > 0
  assert attempts.end(folder, orphan.trial_id)[0].ended == attempts.KILLED
