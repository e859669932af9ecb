"""Trials and assumptions of lives, for the tests of the life cycle."""

from report_records import GPU, record

from jaxpower.report.compare.comparison import compare, compare_all
from jaxpower.report.compare.life import (
  whole_trainings,
)
from jaxpower.report.compare.search_payback import alternatives
from jaxpower.report.given import Given
from jaxpower.report.given.assumptions import KINDS, Assumption
from jaxpower.report.questions import lifecycle

GPU_DEVICE = {"platform": "gpu", "kind": "NVIDIA H200", "index": 0, "uuid": GPU}


def trial(batch, seed, joules, **changes):
  """A trial whose phases are all known: 50 J beside its training."""
  facts = {
    "joules_by_phase": {"train": joules, "eval": 10.0, "infer": 40.0},
    "seconds_by_phase": {"train": 4.0, "eval": 0.5, "infer": 0.5},
    "wall_seconds": 36.0,
    "infer_examples": 1000,
    "infer_joules_per_example": 0.04,
    "provenance": {"host": "gpu-node-07", "devices": [GPU_DEVICE]},
  }
  return record(batch, seed, joules, **facts | changes)


def sweep():
  """Three settings of three seeds: 100, 150 and 300 J in the median."""
  return [
    trial(batch, seed, joules + 10.0 * seed)
    for batch, joules in ((256, 290.0), (64, 90.0), (128, 140.0))
    for seed in range(3)
  ]


def assume(**values: float) -> dict[str, Assumption]:
  return {
    name: Assumption(value, KINDS[name].unit, "a test", "2026")
    for name, value in values.items()
  }


EMBODIED = {
  "gpu_embodied": 150.0,
  "gpu_lifetime": 1000.0,
  "host_embodied": 2000.0,
  "host_lifetime": 10_000.0,
  "host_share": 0.5,
}


def compared(records):
  """Records of which some may be earlier attempts at the same trial."""
  newest = {record.trial_id: record for record in records}
  return compare_all(newest.values(), records)


def section(records, assumptions):
  given = Given(assumptions=assumptions)
  (answer,) = lifecycle.answer(compared(records), given)
  return answer


def said(records, **values):
  return "\n".join(section(records, assume(**values)).lines)


def stage_rows(records, **values):
  table = section(records, assume(**values)).tables[0]
  return table.columns, {row[0]: row[1:] for row in table.rows}


def paid_back(records, search, tried=None):
  """Finds the alternatives of the only comparison."""
  (comparison,) = compare(records)
  trainings = whole_trainings(comparison)
  return alternatives(trainings, tried or records, search)


def study(best_is_scratch=False):
  """One pretraining of 1000 + 50 J, a trial from it, one from scratch.

  As a whole training it costs 1040 J: 30 J of compiling, no inference.
  """
  pretrained = trial(256, 0, 1000.0, trial_id="aaaa00000000", varied={})
  word = {"init_from": "aaaa00000000", "trial_id": "bbbb00000000"}
  return [
    pretrained,
    trial(64, 0, 90.0, varied={"transfer": "scratch"}),
    trial(
      64,
      0,
      200.0 if best_is_scratch else 20.0,
      varied={"transfer": "fine-tuned"},
      **word,
    ),
  ]
