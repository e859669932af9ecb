"""One network for several tasks beside a network for each."""

import dataclasses
import math
import re
from typing import Any

import pytest
from report_records import GPU, curve, devices, record

from benchmarks.statements_ratios import multitask_coverage
from jaxpower.records import TrialRecord
from jaxpower.report.cells import name_among
from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.compare.multitask import Misses, pairings
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.given import Given
from jaxpower.report.questions import multitask
from jaxpower.report.render.terminal import plain_table
from jaxpower.report.report import make

TARGETS = {"label": 0.85, "subject": 0.55}


def trial(
  tasks: tuple[str, ...],
  seed: int,
  joules: float | None,
  ends: tuple[float, ...] = (),
  status: str = "reached",
  shared: dict[str, Any] | None = None,
  **changes: Any,
) -> TrialRecord:
  """A trial of some tasks that ended at these accuracies."""
  ends = ends or tuple(TARGETS[task] + 0.02 for task in tasks)
  several = len(tasks) > 1
  mean = sum(ends) / len(ends)
  target = sum(TARGETS[task] for task in tasks) / len(tasks)
  found = record(
    64,
    seed,
    joules,
    status,
    target_accuracy=target,
    varied={"tasks": list(tasks)},
    final_accuracy=mean,
    **changes,
  )
  looks = tuple(
    dataclasses.replace(
      look,
      accuracies=dict(zip(tasks, ends, strict=True)) if several else {},
    )
    for look in curve(joules or 1.0, mean)
  )
  config = found.config | {
    "data": "imu",
    "tasks": list(tasks),
    "targets": {task: TARGETS[task] for task in tasks},
    "task_weights": {},
    "task_weighting": "fixed",
    "target_accuracy": 0.8,
    "stop_at_target": False,
    **(shared or {}),
  }
  return dataclasses.replace(
    found,
    config=config,
    curve=() if status == "failed" else looks,
    trial_id=f"{'-'.join(tasks)}{seed}",
  )


BOTH = ("label", "subject")


def sweep(
  together: tuple[float | None, ...],
  label: tuple[float, ...],
  subject: tuple[float, ...],
  **changes: Any,
) -> list[TrialRecord]:
  """Seeds of one network and of one each; negative joules are of a miss."""

  def seeds(tasks: tuple[str, ...], spent: Any) -> list[TrialRecord]:
    return [
      trial(
        tasks,
        seed,
        None if joules is None else abs(joules),
        status="missed" if joules is not None and joules < 0 else "reached",
        **changes,
      )
      for seed, joules in enumerate(spent)
    ]

  return [
    *seeds(BOTH, together),
    *seeds(("label",), label),
    *seeds(("subject",), subject),
  ]


SAVED = sweep((6.0, 8.0, 7.0), (4.0, 4.0, 5.0), (6.0, 6.0, 5.0))


def find(records: list[TrialRecord]) -> multitask.Saving:
  (saving,) = multitask.find(compare_all(records))
  return saving


def tell(records: list[TrialRecord]) -> str:
  section = multitask.tell(multitask.find(compare_all(records)))
  return "\n".join((*map(plain_table, section.tables), *section.lines))


def only(found: Estimate | None) -> tuple[float, float, float]:
  """Returns low end, value and high end of an estimate that has them."""
  assert found is not None and found.low is not None and found.high is not None
  return found.low, found.value, found.high


def test_the_sum_of_single_tasks_stands_against_the_network() -> None:
  text = tell(SAVED)
  assert re.search(r"label \+ subject +3 +6\.9\d .* 9\.9\d .* 0\.69\d", text)
  assert re.search(
    r"One network for label and subject cost 0\.69\d times \(0\.\d+ to 0\.\d+\)"
    r" the energy of two single-task networks: multitask saved 30 %\.",
    text,
  )


def test_the_numbers_of_a_saving() -> None:
  saving = find(SAVED)
  low, value, high = only(saving.joules_together)
  assert 5 < low < value < high < 9.5
  assert value == pytest.approx(6.95, rel=0.01)
  low, value, high = only(saving.joules_alone)
  assert 8 < low < value < high < 12.5
  assert value == pytest.approx(9.96, rel=0.01)
  low, value, high = only(saving.ratio)
  assert 0.5 < low < value < high < 0.95
  assert value == pytest.approx(0.698, rel=0.01)
  assert saving.surely_saved and not saving.surely_cost_more
  assert saving.misses == ()
  # With the 30 J of compiling, each costs about 35 J.
  assert only(saving.ratios_otherwise["compile"])[1] == pytest.approx(
    37 / 70, rel=0.01
  )
  label, subject = saving.results
  assert (label.task, label.target, label.end_alone) == ("label", 0.85, 0.87)
  assert only(label.joules_alone)[1] == pytest.approx(4.31, rel=0.01)
  assert only(subject.gain) == (0, 0, 0)
  assert not (subject.surely_lost or subject.surely_gained)


def test_the_figure_has_a_ratio_for_each_way_to_count() -> None:
  saving = find(SAVED)
  chart = multitask.ratios_chart([saving], estimated=False)
  assert chart.rows == ("label + subject",)
  assert chart.series == (
    "training alone",
    "with compiling",
    "with evaluation",
  )  # idle energy of these trials would leave less than nothing
  low, value, high = only(saving.ratio)
  first, second, *_ = chart.marks
  assert (first.low, first.value, first.high) == (low, value, high)
  otherwise = saving.ratios_otherwise["compile"]
  assert (second.series, second.value) == (1, otherwise.value)
  section = multitask.tell([saving])
  assert section.figures[0].panels == (chart,)


def test_the_order_of_records_changes_nothing() -> None:
  assert tell(SAVED[::-1]) == tell(SAVED)


def test_what_a_seed_does_to_all_networks_cancels() -> None:
  crossed = sweep(
    (6.0, 60.0, 12.0, 30.0), (4.0, 40.0, 8.0, 20.0), (6.0, 60.0, 12.0, 30.0)
  )
  # Each seed saved exactly 40 %, though costs of seeds differ tenfold.
  low, value, high = only(find(crossed).ratio)
  assert 0.59 < low <= value <= high < 0.61
  wide = only(find(crossed).joules_together)
  assert wide[2] > 2 * wide[0]


def test_a_training_measured_twice_is_one_seed() -> None:
  again = [
    dataclasses.replace(r, joules_to_accuracy=4 * r.joules_to_accuracy)
    for r in SAVED
    if r.seed == 0 and r.joules_to_accuracy
  ]
  mean = [
    dataclasses.replace(r, joules_to_accuracy=2 * r.joules_to_accuracy)
    if r.seed == 0 and r.joules_to_accuracy
    else r
    for r in SAVED
  ]
  assert find([*SAVED, *again]).ratio == find(mean).ratio
  assert find([*SAVED, *again]).results == find(mean).results


def test_single_tasks_of_several_pairings_are_fitted_once() -> None:
  learned = [
    dataclasses.replace(r, config=r.config | {"task_weighting": "uncertainty"})
    for r in SAVED[:3]
  ]
  first, second = multitask.find(compare_all(SAVED + learned))
  # Costs of equal trials differ by the draws of the posterior alone.
  assert only(first.ratio)[1] == pytest.approx(only(second.ratio)[1], rel=0.02)
  assert first.joules_alone == second.joules_alone
  # Four networks tell the noise better than three.
  alone = only(find(SAVED).ratio)
  among = only(first.ratio)
  assert among[2] - among[0] < alone[2] - alone[0]


@pytest.mark.parametrize("seed_share", [0.0, 0.5])
def test_intervals_hold_the_truth(seed_share: float) -> None:
  """A short form of benchmarks/statements_ratios.py, with room for chance."""
  found = multitask_coverage(3, seed_share, draws=20, start=1)
  assert (found.draws, found.told) == (20, 20)
  assert found.covered >= 16  # of 20 at 95 %: 1 in 400 has fewer


def test_a_network_that_costs_more_is_said_to() -> None:
  text = tell(sweep((15.0, 15.1, 14.9), (4.0, 4.1, 3.9), (6.0, 6.1, 5.9)))
  assert "multitask cost 50 % more" in text


def test_seeds_that_disagree_settle_nothing() -> None:
  text = tell(sweep((8.0, 12.0, 10.0), (4.0,) * 3, (6.0,) * 3))
  assert "no measurable difference with 3 seeds" in text
  assert "saved 0" not in text


def test_one_seed_has_no_interval_and_no_verdict() -> None:
  text = tell(sweep((5.0,), (4.0,), (6.0,)))
  assert (
    "cost 0.500 times the energy of two single-task networks: with one seed"
    " there is no interval, so whether multitask saves cannot be known." in text
  )
  assert "saved 50 %" not in text


def test_a_miss_counts_as_more_than_it_spent() -> None:
  alone = (4.0, 4.1, 3.9, 4.0), (6.0, 6.1, 5.9, 6.0)
  missed = only(find(sweep((7.0, 7.2, 6.8, -7.1), *alone)).ratio)
  reached = only(find(sweep((7.0, 7.2, 6.8, 7.1), *alone)).ratio)
  assert missed[1] > reached[1] and missed[2] > reached[2]
  sums = find(sweep((7.0, 7.2, 6.8, 7.1), alone[0], (6.0, 6.1, 5.9, -6.0)))
  assert only(sums.ratio)[1] < reached[1]


def test_what_missed_too_often_is_said() -> None:
  together = find(sweep((-20.0, -19.0, 21.0), (4.0,) * 3, (6.0,) * 3))
  assert (together.ratio, together.joules_together) == (None, None)
  assert together.misses == (Misses(tasks=BOTH, missed=2, seeds=3, within=19),)
  text = tell(sweep((-20.0, -19.0, 21.0), (4.0,) * 3, (6.0,) * 3))
  assert (
    "saved is unknown: 2 of 3 seeds of the network for label and subject did"
    " not reach every target within 19.0 J." in text
  )
  text = tell(sweep((5.0, 5.0, 5.0), (4.0,) * 3, (-6.0,) * 3))
  assert (
    "saved is unknown: 3 of 3 seeds of the network for subject did not reach"
    " 55 % within 6.00 J." in text
  )
  assert "multitask saved" not in text and ">" not in text


def test_an_accuracy_that_is_lost_is_seen() -> None:
  ends = [(0.80, 0.60), (0.81, 0.60), (0.82, 0.60)]
  together = [trial(BOTH, seed, 6.0, found) for seed, found in enumerate(ends)]
  alone = [
    trial((task,), seed, 5.0, (0.86 if task == "label" else 0.55,))
    for task in BOTH
    for seed in range(3)
  ]
  label, subject = find(together + alone).results
  assert label.surely_lost and subject.surely_gained
  text = tell(together + alone)
  assert re.search(
    # One point times t of two degrees of freedom, over the root of three.
    r"label +85 % +5\.00.* 81 % +86 % +-5\.0 \(-7\.5 to -2\.5\)",
    text,
  )
  assert "Lower final accuracy in one network than alone: label by 5" in text
  assert "Higher final accuracy in one network than alone: subject" in text
  steady = tell(SAVED)
  assert "Final accuracies in one network and alone do not differ" in steady
  # Where training stopped at the targets nothing is told of a loss.
  stopped = [
    dataclasses.replace(r, config=r.config | {"stop_at_target": True})
    for r in together + alone
  ]
  assert "Lower final" not in tell(stopped)
  assert "the difference is not a loss or gain" in tell(stopped)


def test_unknown_joules_stay_unknown() -> None:
  blind = trial(BOTH, 0, None, reasons=("GPU is lost",), partial=True)
  saving = find([blind, *SAVED[1:]])
  assert (saving.ratio, saving.unknown) == (None, "GPU is lost")
  text = tell([blind, *SAVED[1:]])
  assert "saved is unknown: GPU is lost." in text
  assert not re.search(r"\b0 J|nan|None", text)


def test_a_seed_with_a_failed_trial_counts_where_it_trained() -> None:
  failed = trial(("label",), 1, None, status="failed")
  records = [r for r in SAVED if r.trial_id != failed.trial_id] + [failed]
  text = tell(records)
  assert "Seed 1 did not train in every network" in text
  (pairing,) = pairings(records)
  assert (pairing.seeds, pairing.unpaired) == ((0, 2), (1,))
  assert [len(trials) for trials in pairing.networks] == [3, 2, 3]
  assert find(records).ratio is not None
  assert "did not train" not in tell(SAVED)


@pytest.mark.parametrize(
  "changes",
  [
    {"target_accuracy": 0.9},
    {"estimated": True},
    {"provenance": devices(GPU, kind="NVIDIA H100")},
    {"shared": {"batch_size": 128}},
    {"shared": {"data": "imu+side"}},
  ],
)
def test_trials_under_other_conditions_are_no_pair(
  changes: dict[str, Any],
) -> None:
  target = changes.pop("target_accuracy", None)
  odd = [trial(("label",), seed, 4.0, **changes) for seed in range(3)]
  if target:
    odd = [dataclasses.replace(r, target_accuracy=target) for r in odd]
  rest = [r for r in SAVED if r.config["tasks"] != ["label"]]
  assert multitask.find(compare_all(rest + odd)) == ()
  assert multitask.answer(compare_all(rest + odd), Given()) == ()
  assert multitask.find(compare_all(SAVED[:3])) == (), "no network for each"
  assert multitask.find(compare_all(SAVED[3:])) == (), "no network for several"


def test_two_ways_to_weigh_are_named() -> None:
  learned = [
    dataclasses.replace(r, config=r.config | {"task_weighting": "uncertainty"})
    for r in sweep((5.0,) * 3, (), ())
  ]
  text = tell(SAVED + learned)
  assert "task weighting uncertainty: One network" in text
  assert re.search(r"fixed: One network .* cost 0\.\d+ times", text)
  assert re.search(r"uncertainty: One network .* cost 0\.50\d times", text)


def test_estimated_joules_are_called_so() -> None:
  records = sweep((6.0,) * 2, (4.0,) * 2, (6.0,) * 2, estimated=True)
  text = tell(records)
  assert "estimated joules in one network" in text
  assert "estimated, not measured" in text
  assert "stimated" not in tell(SAVED)


def test_trials_of_other_tasks_share_no_ratio() -> None:
  report = make(SAVED)
  comparisons = report.compared.comparisons
  assert [c.tasks for c in comparisons] != []
  assert {c.tasks for c in comparisons} == {
    BOTH,
    ("label",),
    ("subject",),
  }
  assert all(c.energy_ratio is None for c in comparisons)
  (both,) = (c for c in comparisons if c.tasks == BOTH)
  name = name_among(both, comparisons)
  assert name == "label + subject, to 70 %"
  (found,) = (s for s in report.sections if s.title == name)
  assert "every target (70 % on average)" in found.lead
  names = {name_among(c, comparisons) for c in comparisons}
  assert [s.title for s in report.sections if s.title not in names] == [
    "Energy by phase",
    "Multitask and single-task networks",
  ]


def test_one_target_does_not_make_two_tasks_comparable() -> None:
  shared = [
    dataclasses.replace(r, target_accuracy=0.7)
    for r in SAVED
    if len(r.config["tasks"]) == 1
  ]
  report = make(shared)
  comparisons = report.compared.comparisons
  assert [c.tasks for c in comparisons] == [("label",), ("subject",)]
  titles = [s.title for s in report.sections]
  assert titles == ["label", "subject", "Energy by phase"]


def test_targets_that_agree_on_average_alone_are_not_pooled() -> None:
  other = [
    dataclasses.replace(
      r, config=r.config | {"targets": {"label": 0.55, "subject": 0.85}}
    )
    for r in SAVED[:3]
  ]
  assert len(make(SAVED[:3] + other).compared.comparisons) == 2
  assert math.isclose(SAVED[0].target_accuracy, other[0].target_accuracy)


def test_large_energies_are_in_one_unit_a_table() -> None:
  records = sweep((41_834.0,), (200.0,), (12.3e6,))
  energy, accuracy = multitask.tell(multitask.find(compare_all(records))).tables
  assert energy.columns[2].startswith("kilojoules")
  assert energy.columns[3].startswith("kilojoules")
  assert energy.rows[0][2:4] == ("41.8", "12,300")
  assert accuracy.columns[2].startswith("joules")
  assert [row[2] for row in accuracy.rows] == ["200", "12,300,000"]
