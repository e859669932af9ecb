import dataclasses
import json
import pathlib
from typing import Any

import pyarrow.parquet as pq
import pytest

from jaxpower import attempts, resume, trial, weights
from jaxpower.config import Model, Optimizer, Transfer, Trial, trial_id
from jaxpower.power import Monitor, SimulatedSource
from jaxpower.records import TrialRecord, from_json, to_json
from jaxpower.wings import wing_of

WATTS = 100.0
# Adam's moments, a schedule, random crops, dropout and micro-batches: all that
# a state, an order or a draw could get wrong.
HARD = Trial(
  model=Model(width=0.25),
  optimizer=Optimizer(learning_rate=0.01, schedule="cosine"),
  batch_size=64,
  accumulation=2,
  dropout=0.2,
  augmentation="crop_flip",
  evaluate_every_examples=256,
  budget_examples=1_024,
  target_accuracy=0.99,
  idle_seconds=0.05,
  devices=1,
)
SLOW = {
  "streamed": dataclasses.replace(HARD, streaming="always", accumulation=1),
  "patience": dataclasses.replace(HARD, patience=1, dropout=0.0),
  "features": dataclasses.replace(
    HARD,
    dropout=0.0,
    augmentation="none",
    transfer=Transfer(freeze=True, features="once"),
  ),
  "torch": dataclasses.replace(HARD, framework="torch"),
  "distributed": dataclasses.replace(HARD, framework="torch", devices=2),
}


# Executables, shared by the tests as by the trials of a worker.
CACHE: dict[Any, Any] = {}


class Run:
  """Runs trials in a folder, and stops them where it is told to."""

  def __init__(self, folder: pathlib.Path):
    self.folder = folder

  def __call__(
    self, asked: Trial, looks: int | None = None, minutes: float = 1e-9
  ) -> TrialRecord:
    """Runs a trial, to its end or up to a look, whose number is from 1."""
    seen = []

    def tell(progress: Any) -> None:
      if progress.phase == "train":
        seen.append(progress)

    wing = wing_of(asked.framework)
    with Monitor([SimulatedSource(WATTS)], wait=wing.wait) as monitor:
      return trial.run(
        asked,
        {},
        monitor=monitor,
        cache=CACHE,
        folder=self.folder,
        provenance={},
        tell=tell,
        stop=lambda: looks is not None and len(seen) >= looks,
        checkpoint_minutes=minutes,
      )


@pytest.fixture
def run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Run:
  monkeypatch.setattr(trial, "INFER_PERIODS", 0.1)
  return Run(tmp_path)


def learned(record: TrialRecord) -> list[tuple[Any, ...]]:
  """All that training did, to the bit; the first loss is no number."""
  return [
    (e.examples, e.steps, repr(e.train_loss), e.loss, e.accuracy)
    for e in record.curve
  ]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SLOW))
def test_what_resumes_in_every_way_of_training_is_the_same_to_the_bit(
  name: str, run: Run
) -> None:
  if SLOW[name].framework == "torch":
    pytest.importorskip("torch")
  check_resumed(SLOW[name], run)


def test_a_resumed_trial_is_the_undisturbed_one_to_the_bit(run: Run) -> None:
  check_resumed(HARD, run)


def check_resumed(asked: Trial, run: Run) -> None:
  """Stops a trial after two looks, and again after one more; then compares."""
  whole = run(asked, minutes=0)
  again = Run(run.folder / "again")
  with pytest.raises(trial.Stopped):
    again(asked, looks=2, minutes=0)
  with pytest.raises(trial.Stopped):
    again(asked, looks=1, minutes=0)
  record = again(asked, minutes=0)
  assert learned(record) == learned(whole)
  assert (record.status, record.test_accuracy) == (
    whole.status,
    whole.test_accuracy,
  )
  ended = [a.ended for a in record.attempts]
  assert ended == ["interrupted", "interrupted", record.status]
  assert [a.resumed_examples for a in record.attempts] == [0, 256, 512]
  timeline = run.folder / "again" / "timelines" / f"{record.trial_id}"
  windows = pq.read_table(f"{timeline}.windows.parquet").to_pydict()
  pairs = zip(windows["phase"], windows["joules"], strict=True)
  # A pass that computes features is training, as docs/records.md says.
  trained = ("train", "features")
  train = [joules for phase, joules in pairs if phase in trained]
  assert sum(train) == pytest.approx(record.train_joules)


def test_a_record_says_what_was_metered_in_which_attempt(run: Run) -> None:
  with pytest.raises(trial.Stopped):
    run(HARD, looks=3)
  record = run(HARD)
  first, second = record.attempts
  # At 100 W throughout, each joule can be told by its seconds.
  assert record.train_joules == pytest.approx(
    WATTS * (record.train_seconds or 0)
  )
  assert first.joules == pytest.approx(WATTS * first.seconds, rel=0.05)
  assert first.joules_counted == pytest.approx(WATTS * first.seconds_counted)
  assert 0 < first.seconds_counted < first.seconds
  assert second.joules == second.joules_counted
  assert record.joules_lost == pytest.approx(
    (first.joules or 0) - (first.joules_counted or 0)
  )
  assert record.seconds_lost == first.seconds - first.seconds_counted
  # What is counted and what is lost is what was spent.
  spent = (first.joules or 0) + (second.joules or 0)
  counted = (first.joules_counted or 0) + (second.joules_counted or 0)
  assert counted + (record.joules_lost or 0) == pytest.approx(spent)
  kept = from_json(to_json(dataclasses.replace(record, provenance={})))
  assert kept.attempts == record.attempts


def test_an_undisturbed_trial_lost_nothing(run: Run) -> None:
  record = run(HARD)
  (attempt,) = record.attempts
  assert (attempt.number, attempt.ended) == (1, "missed")
  assert (record.joules_lost, record.seconds_lost) == (0, 0)
  assert record.joules_by_phase["checkpoint"] is not None
  ends = [
    json.loads(line)["event"]
    for line in (run.folder / attempts.LEDGER).read_text().splitlines()
  ]
  assert ends.count("look") == len(record.curve)
  assert ends.count("checkpoint") == len(record.curve) - 1


def test_the_newest_whole_checkpoint_is_taken_up(run: Run) -> None:
  whole = Run(run.folder / "whole")
  undisturbed = whole(HARD)
  with pytest.raises(trial.Stopped):
    run(HARD, looks=3)
  folder = resume.folder_of(run.folder, trial_id(HARD))
  before, newest = sorted(folder.iterdir())
  assert (int(before.name), int(newest.name)) == (256, 512)
  flip(newest)
  record = run(HARD)
  assert record.attempts[-1].resumed_examples == 256
  assert learned(record) == learned(undisturbed)
  reasons = [
    line["reason"]
    for line in map(
      json.loads, (run.folder / attempts.LEDGER).read_text().splitlines()
    )
    if line["event"] == "checkpoint_not_used"
  ]
  assert len(reasons) == 1
  assert "damaged" in reasons[0]
  resume.forget(run.folder, trial_id(HARD))
  assert not (run.folder / resume.FOLDER).exists()


def flip(folder: pathlib.Path) -> None:
  """Flips a bit in the largest file."""
  path = max(
    (p for p in folder.rglob("*") if p.is_file()),
    key=lambda p: p.stat().st_size,
  )
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


# Of the checkpoints themselves, without training


def notes(results: int = 2) -> resume.Part:
  return resume.Part(
    results=tuple(
      resume.EvalResult(
        examples=number * 256,
        steps=number,
        train_loss=float("nan"),
        loss=0.1 + 0.2,
        accuracy=0.5,
      )
      for number in range(results)
    ),
    waits=(0.0,) * (results - 1),
  )


def save(folder: pathlib.Path, state: Any, texts: Any) -> None:
  folder.mkdir(parents=True)
  (folder / "state").write_text(str(state))
  weights.seal(folder, texts)


def checkpoints(
  folder: pathlib.Path, seed: int = 0, writer: Any = save, **setting: Any
) -> resume.Checkpoints:
  return resume.Checkpoints(folder, "0123456789ab", seed, setting, writer)


def test_notes_come_back_to_the_bit(tmp_path: pathlib.Path) -> None:
  checkpoints(tmp_path).save("s", notes())
  ((_, part),) = checkpoints(tmp_path).found()
  assert isinstance(part, resume.Part)
  assert repr(part.results) == repr(notes().results)


@pytest.mark.parametrize(
  ("seed", "setting", "reason"),
  [
    (0, {"devices": ["gpu", "H100"]}, "another devices"),
    (1, {"devices": ["gpu", "A100"]}, "not of this trial"),
  ],
)
def test_what_was_trained_elsewhere_is_not_taken_up(
  tmp_path: pathlib.Path, seed: int, setting: dict[str, Any], reason: str
) -> None:
  checkpoints(tmp_path, devices=["gpu", "A100"]).save("s", notes())
  ((_, why),) = checkpoints(tmp_path, seed, **setting).found()
  assert isinstance(why, str)
  assert reason in why


def test_only_the_newest_and_the_one_before_stay(
  tmp_path: pathlib.Path,
) -> None:
  writer = checkpoints(tmp_path)
  for looks in (2, 3, 4, 5):
    writer.save("s", notes(looks))
  found = [int(path.name) for path, _ in checkpoints(tmp_path).found()]
  assert found == [1024, 768]


def test_a_write_that_fails_leaves_what_was_there(
  tmp_path: pathlib.Path,
) -> None:
  def full(folder: pathlib.Path, state: Any, texts: Any) -> None:
    save(folder, state, texts)
    raise OSError(28, "No space left on device")

  checkpoints(tmp_path).save("s", notes())
  with pytest.raises(OSError, match="No space"):
    checkpoints(tmp_path, writer=full).save("s", notes(3))
  found = list(checkpoints(tmp_path).found())
  assert [int(path.name) for path, _ in found] == [256]
  assert len(list(resume.folder_of(tmp_path, "0123456789ab").iterdir())) == 1
