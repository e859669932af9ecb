"""The committed batch sweep as other machines would have recorded it.

Twelve trials of four batch sizes and three seeds, relabelled: however they are
dealt over equal boards or nodes, they are one table with three seeds a setting.
"""

import math
import pathlib
from dataclasses import replace

import pytest

from jaxpower.folder import record_files
from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import compare, compare_all
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.given import Given
from jaxpower.report.questions.cheapest import answer

BATCH = pathlib.Path(__file__).parent.parent / "benchmarks/regimes_cpu/batch"
TRIALS = record_files.read(BATCH).records
H100 = "NVIDIA H100 80GB HBM3"


def uuid(board: int) -> str:
  return f"GPU-{board:08x}"


def moved(trial: TrialRecord, *boards: int, node: str = "node-1", **changes):
  """A trial as if it had run on some H100s of a node."""
  uuids = [uuid(board) for board in boards]
  joules = sum(filter(None, trial.joules_by_domain.values())) / len(uuids)
  state = {"name": H100, "power_limit_watts": 700.0, "driver": "570.86.15"}
  return replace(
    trial,
    estimated=False,
    joules_by_domain=dict.fromkeys(uuids, joules),
    meter={
      "domains": [
        {"domain": name, "kind": "gpu", "method": "counter", "counted": True}
        for name in uuids
      ],
      "gpus": {"start": [state | {"uuid": name} for name in uuids]},
    },
    provenance=trial.provenance
    | {
      "host": node,
      "cpu": "AMD EPYC 9654",
      "devices": [
        {"platform": "gpu", "kind": H100, "index": i, "uuid": name}
        for i, name in enumerate(uuids)
      ],
    },
    **changes,
  )


def on_one_gpu():
  return [moved(trial, 0) for trial in TRIALS]


def dealt_over_eight_gpus():
  return [moved(trial, i % 8) for i, trial in enumerate(TRIALS)]


def on_two_nodes():
  return [
    moved(trial, i % 2, node=f"node-{i % 2}") for i, trial in enumerate(TRIALS)
  ]


def each_on_its_own_node():
  return [moved(t, i, node=f"node-{i}") for i, t in enumerate(TRIALS)]


def width(estimate: Estimate) -> float:
  """Returns how wide an interval is, as a factor's log; none is 0."""
  if estimate.low is None or estimate.high is None:
    return 0.0
  return math.log(estimate.high / estimate.low)


@pytest.mark.parametrize(
  ("trials", "machine", "devices", "blocks"),
  [
    (on_one_gpu(), "node-1, AMD EPYC 9654", uuid(0), 1),
    (
      dealt_over_eight_gpus(),
      "node-1, AMD EPYC 9654",
      f"8 boards of {H100}",
      8,
    ),
    (on_two_nodes(), "2 hosts of AMD EPYC 9654", f"2 boards of {H100}", 2),
    (
      each_on_its_own_node(),
      "12 hosts of AMD EPYC 9654",
      f"12 boards of {H100}",
      12,
    ),
  ],
)
def test_a_sweep_over_equal_boards_is_one_table(
  trials, machine, devices, blocks
):
  (found,) = compare(trials)
  assert (found.machine, found.devices) == (machine, (devices,))
  assert (found.domains, found.blocks) == ((devices,), blocks)
  (committed,) = compare(TRIALS)
  for group, alone in zip(found.groups, committed.groups, strict=True):
    assert (group.varied, group.seeds) == (alone.varied, 3)
    for here, there in (
      (group.joules, alone.joules),
      (group.ratio, alone.ratio),
    ):
      assert here is not None
      assert there is not None
      # That boards differ by some percent is expected, and said.
      assert here.value == pytest.approx(there.value, rel=0.02)
      assert width(here) <= 1.2 * width(there)
      assert blocks > 1 or here == there
  (section,) = answer(compare_all(trials), Given())
  note = f"Equal boards and hosts are pooled: {machine}, {devices}."
  assert (note in section.tables[0].notes) == (blocks > 1)


def test_how_many_gpus_is_varied_in_one_table():
  """Batch 16, 64, 256, 1024 stand for 1, 2, 4, 8 devices."""
  numbers = {16: 1, 64: 2, 256: 4, 1024: 8}
  trials = [
    moved(
      trial,
      *range(number),
      varied={"devices": number},
      config=trial.config | {"devices": number},
    )
    for trial in TRIALS
    if (number := numbers[trial.varied["batch_size"]])
  ]
  (found,) = compare(trials)
  assert [group.varied for group in found.groups] == [
    {"devices": number} for number in (1, 2, 4, 8)
  ]
  assert found.energy_ratio is not None
  assert found.devices == (f"8 boards of {H100}",)


def test_boards_kept_apart_are_a_table_each():
  trials = dealt_over_eight_gpus()
  assert len(compare(trials, by="board")) == 8
  assert len(compare(each_on_its_own_node(), by="board")) == 12


def test_a_board_that_was_swapped_in_the_middle_changes_no_table():
  trials = [moved(trial, i >= 5) for i, trial in enumerate(TRIALS)]
  (found,) = compare(trials)
  assert found.blocks == 2


def test_settings_on_boards_of_their_own_differ_by_boards_too():
  """Seeds agree to 1 %; boards are taken to differ by some 5 %, unseen here."""
  joules = {16: (200.0, 202.0, 201.0), 64: (300.0, 303.0, 302.0)}

  def ratio(*boards: int) -> Estimate:
    trials = [
      replace(moved(trial, board), joules_to_accuracy=joules[batch][trial.seed])
      for batch, board in zip(joules, boards, strict=True)
      for trial in TRIALS
      if trial.varied["batch_size"] == batch
    ]
    (found,) = compare(trials)
    assert found.energy_ratio is not None
    return found.energy_ratio

  assert width(ratio(0, 0)) < 0.05
  assert 0.1 < width(ratio(0, 1)) < 0.5
