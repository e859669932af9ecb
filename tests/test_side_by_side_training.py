"""Real training, four at once on eight simulated GPUs, against one by one."""

import dataclasses
import pathlib
from typing import Any

import pytest
import simulated_gpu_worker
from simulated_gpu_worker import GPUS, WATTS

from jaxpower import sweep
from jaxpower.config import Model, Optimizer, Sweep, Trial
from jaxpower.power.simulated_nvml import installed
from jaxpower.readers import finite
from jaxpower.records import TrialRecord
from jaxpower.workers import worker

ROOT = pathlib.Path(__file__).parent.parent
SWEEP = Sweep(
  name="tiny",
  data="digits_28",
  vary={"batch_size": (64, 128)},
  seeds=4,
  devices=1,
  model=Model(width=0.25),
  optimizer=Optimizer(learning_rate=3e-3),
  target_accuracy=0.99,
  budget_examples=2_048,
  evaluate_every_examples=1_024,
  idle_seconds=0.1,
)


def results(record: TrialRecord) -> dict[str, Any]:
  """All that is no energy, no time and no place, to the bit."""
  curve = [
    {
      name: value
      for name, value in dataclasses.asdict(point).items()
      if "joules" not in name and "seconds" not in name
    }
    for point in record.curve
  ]
  same = ("trial_id", "varied", "status", "steps", "final_accuracy")
  same = (*same, "test_accuracy", "parameters", "flops_per_step")
  found = {name: getattr(record, name) for name in same} | {"curve": curve}
  return finite(found)  # before the first step there is no loss: nan is not nan


@pytest.mark.proof
@pytest.mark.slow
def test_at_once_is_as_one_by_one_with_a_board_killed(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(worker, "COMMAND", simulated_gpu_worker.COMMAND)
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  victim, marker = GPUS[2], tmp_path / "lost"
  monkeypatch.setenv("LOST_BOARD", f"{victim} {marker}")

  def kill(number: int, trial: Trial, news: Any) -> None:
    """Kills a board in the middle: once any trial is recorded."""
    if isinstance(news, TrialRecord):
      marker.touch()

  told: list[str] = []
  with installed(*simulated_gpu_worker.boards()):
    at_once = sweep.execute(
      sweep.plan(SWEEP, tmp_path / "at_once"),
      parallel=4,
      watch=kill,
      tell=told.append,
    )
    in_turn = sweep.execute(sweep.plan(SWEEP, tmp_path / "in_turn"))
  assert len(at_once) == len(in_turn) == 8
  assert list(map(results, at_once)) == list(map(results, in_turn))
  lost = [line for line in told if f"{victim} is lost: " in line]
  assert lost and "CUDA_ERROR_NO_DEVICE" in lost[0], told
  boards = set()
  for record in (*at_once, *in_turn):
    (device,) = record.provenance["devices"]
    boards.add(device["uuid"])
    truth = WATTS[device["uuid"]] * (record.train_seconds or 0.0)
    assert record.train_joules is not None
    assert record.train_joules_bound is not None
    assert abs(record.train_joules - truth) <= record.train_joules_bound
    assert record.joules_by_domain.keys() == {device["uuid"]}
    assert len((record.apart_joules_by_phase or {})["train"]) == 7
  assert {*GPUS[:2], GPUS[3]} <= boards <= set(GPUS[:4])
  found = [(r.company or {}).get("interference") for r in at_once]
  # Of joules, or of seconds where segments were too short for a counter.
  assert any(check and check["segments"] > 1 for check in found)
