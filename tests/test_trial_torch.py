"""A trial in PyTorch, whole, and the same trial in JAX."""

import dataclasses
import pathlib

import pytest

from jaxpower import trial
from jaxpower.config import Model, Optimizer, Transfer, Trial
from jaxpower.power import Monitor, SimulatedSource
from jaxpower.records import TrialRecord
from jaxpower.weights import WeightsError, origin
from jaxpower.wings import wing_of
from jaxpower.workers.worker import Worker, failed_record

torch = pytest.importorskip("torch")

EASY = Trial(
  model=Model(width=0.25),
  optimizer=Optimizer(learning_rate=0.01),
  batch_size=64,
  augmentation="crop_flip",
  evaluate_every_examples=512,
  budget_examples=1_024,
  target_accuracy=0.9,
  idle_seconds=0.05,
  devices=1,
  framework="torch",
)
WATTS = 100.0


def run(
  config: Trial, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> TrialRecord:
  """Runs a trial under a meter that reads 100 W all the time."""
  monkeypatch.setattr(trial, "INFER_PERIODS", 0.1)
  wing = wing_of(config.framework)
  with Monitor([SimulatedSource(WATTS)], wait=wing.wait) as monitor:
    return trial.run(
      config, {}, monitor=monitor, cache={}, folder=folder, provenance={}
    )


def test_a_trial_is_the_same_in_both_frameworks(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  ours = run(EASY, tmp_path, monkeypatch)
  in_jax = dataclasses.replace(EASY, framework="jax")
  theirs = run(in_jax, tmp_path, monkeypatch)
  assert (ours.framework, theirs.framework) == ("torch", "jax")
  assert ours.trial_id != theirs.trial_id
  assert ours.status == theirs.status == "missed"
  assert ours.parameters == theirs.parameters
  assert len(ours.curve) == len(theirs.curve) == 3
  for a, b in zip(ours.curve, theirs.curve, strict=True):
    assert (a.examples, a.steps) == (b.examples, b.steps)
    # Sixteen updates in float32; one of a thousand test examples may turn.
    assert a.loss == pytest.approx(b.loss, rel=1e-4)
    assert a.accuracy == pytest.approx(b.accuracy, abs=0.0021)
    if a.steps:
      assert a.train_loss == pytest.approx(b.train_loss, rel=1e-4)
  # And exactly the joules of a constant meter.
  for phase, seconds in ours.seconds_by_phase.items():
    assert ours.joules_by_phase[phase] == pytest.approx(WATTS * seconds)
  assert list(ours.seconds_by_phase) == list(theirs.seconds_by_phase)
  assert ours.train_joules == pytest.approx(WATTS * (ours.train_seconds or 0))
  assert ours.numerics["call"] == "an operation"
  assert theirs.numerics["call"] == "one program a segment"
  assert ours.peak_memory_bytes is None  # not known on a CPU
  assert ours.checkpoint is not None
  assert (tmp_path / ours.checkpoint / "state.pt").stat().st_size > 0


def test_a_trial_begins_with_the_backbone_of_another(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  source = run(EASY, tmp_path, monkeypatch)
  tuned = dataclasses.replace(EASY, transfer=Transfer(init_from=EASY))
  tuned_record = run(tuned, tmp_path, monkeypatch)
  assert (tuned_record.init_from, tuned_record.pretrained) == (
    source.trial_id,
    None,
  )
  # A fresh head knows no class yet.
  assert (tuned_record.curve[0].accuracy or 0) < 0.25
  assert tuned_record.curve[0].loss != source.curve[0].loss
  folder = tmp_path / (source.checkpoint or "")
  imported = dataclasses.replace(EASY, transfer=Transfer(weights=str(folder)))
  named = run(imported, tmp_path, monkeypatch)
  assert (named.init_from, named.pretrained) == (None, origin(folder))
  assert [e.loss for e in named.curve] == [e.loss for e in tuned_record.curve]
  (folder / "state.pt").unlink()
  with pytest.raises(WeightsError, match=r"state\.pt is missing"):
    run(tuned, tmp_path, monkeypatch)


def test_a_worker_of_its_own_trains_in_pytorch(tmp_path: pathlib.Path) -> None:
  config = dataclasses.replace(EASY, budget_examples=512)
  with Worker("estimate", "torch") as worker:
    assert (worker.ready.platform, worker.ready.devices) == ("cpu", 1)
    *_, done = worker.run(config, {}, tmp_path)
  record = getattr(done, "record", failed_record(config, {}, "no record"))
  assert (record.status, record.error) == ("missed", None)
  environment = record.provenance["environment"]
  assert environment["JAX_PLATFORMS"] == "cpu"  # the GPU is PyTorch's
  # A wheel for CUDA is 2.11.0 as a package and 2.11.0+cu130 by its own word.
  recorded = record.provenance["versions"]["torch"]
  assert recorded.split("+")[0] == torch.__version__.split("+")[0]
