"""What a dry run says of time and joules."""

import dataclasses
import pathlib
import socket

import gpu_worker
import pytest

from jaxpower import probe
from jaxpower.cli import outline as outlines
from jaxpower.cli import run
from jaxpower.cli.outline import Basis, basis_of, outline
from jaxpower.config import (
  COMMAND,
  ConfigError,
  Sweep,
  Transfer,
  Trial,
  to_dict,
  trial_id,
)
from jaxpower.folder import record_files
from jaxpower.records import TrialRecord
from jaxpower.sweep import Plan, plan
from jaxpower.workers import worker

SWEEP = Sweep(name="batch", vary={"batch_size": (64, 256)}, seeds=2)


def record(trial: Trial, **facts) -> TrialRecord:
  return dataclasses.replace(
    TrialRecord(
      trial_id=trial_id(trial),
      config=to_dict(trial),
      varied={"batch_size": trial.batch_size},
      seed=trial.seed,
      framework="jax",
      status="reached",
      target_accuracy=0.8,
      wall_seconds=60.0,
      seconds_by_phase={"train": 40.0, "eval": 10.0},
      joules_by_phase={"train": 400.0, "eval": 100.0},
      provenance={"host": socket.gethostname()},
      estimated=True,
    ),
    **facts,
  )


def told(planned: Plan, basis: Basis | None = None) -> str:
  first, *_ = outline(planned, basis).splitlines()
  return first.partition(" to run")[2]


def test_equal_trials_beside_the_folder_tell(tmp_path: pathlib.Path) -> None:
  planned = plan(SWEEP, tmp_path / "new")
  assert "unknown until a trial is recorded (--probe" in told(planned)
  for number, name in enumerate(("a", "b", "c")):
    (tmp_path / name).mkdir()
    there = record(planned.trials[number], provenance={"host": "node7"})
    record_files.write(tmp_path / name, there)
  (tmp_path / "notes.txt").write_text("no folder")
  assert told(planned) == (
    "; expected: 4 min, 2.00 kJ estimated (by 3 equal trials in"
    f" {tmp_path / 'a'}, {tmp_path / 'b'} and 1 more, run on node7)"
  )
  # What is recorded here counts alone.
  (tmp_path / "new").mkdir()
  record_files.write(tmp_path / "new", record(planned.trials[0]))
  again = plan(SWEEP, tmp_path / "new")
  assert basis_of(again).source == ""
  assert told(again) == (
    "; expected: 3 min, 1.50 kJ estimated (2 of them judged by their"
    " neighbours)"
  )


def test_of_very_many_equal_trials_the_first_are_read(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  planned = plan(SWEEP, tmp_path / "new")
  for name in ("a", "b"):
    (tmp_path / name).mkdir()
    for trial in planned.trials:
      record_files.write(tmp_path / name, record(trial))
  monkeypatch.setattr(outlines, "MOST_READ", 3)
  assert told(planned) == (
    f"; expected: 4 min, 2.00 kJ estimated (by 3 of 8 equal trials in"
    f" {tmp_path / 'a'})"
  )
  found = basis_of(planned).records
  assert [each.trial_id for each in found] == [*planned.ids[:3]]


def test_a_finished_sweep_expects_nothing(tmp_path: pathlib.Path) -> None:
  planned = plan(SWEEP, tmp_path)
  for trial in planned.trials:
    record_files.write(tmp_path, record(trial))
  assert told(plan(SWEEP, tmp_path)) == ""


def test_a_probe_says_at_most(tmp_path: pathlib.Path) -> None:
  planned = plan(SWEEP, tmp_path)
  trial = probe.first(planned.left)
  short = probe.cut(trial)
  assert not short.stop_at_target
  times = trial.budget_examples / short.budget_examples
  assert short.budget_examples == 2 * trial.evaluate_every_examples
  joules = 4 * 500 * times / 1e3
  line = told(planned, Basis([record(short)], probed=trial))
  assert line.startswith("; expected: at most ")
  assert f"{joules:.1f} kJ estimated (if all train to the end of" in line
  assert line.endswith(f"by a probe of batch {trial.batch_size}, seed 0)")


def test_what_cannot_be_cut_short_is_refused() -> None:
  command = Trial(framework=COMMAND)
  started = Trial(transfer=Transfer(init_from=Trial(), freeze=True))
  with pytest.raises(ConfigError, match="can be cut short"):
    probe.first([command, started])
  assert probe.first([command, started, Trial()]) == Trial()


def test_a_probe_leaves_nothing_behind(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  monkeypatch.setattr(worker, "Worker", gpu_worker.InProcess)
  monkeypatch.setenv("GPU_SECONDS", "0")
  words = ["--config=configs/batch.py", f"--out={tmp_path / 'run'}"]
  assert run.main(["run", *words, "--dry-run", "--probe"], "") == 0
  shown = capsys.readouterr()
  assert "as a probe" in shown.err
  assert "; expected: at most " in shown.out.splitlines()[0]
  assert list(tmp_path.iterdir()) == []
