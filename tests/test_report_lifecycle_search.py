"""What a search cost, and after how many trainings it is paid back."""

import dataclasses

import pytest
from lives import (
  assume,
  compared,
  paid_back,
  said,
  section,
  stage_rows,
  study,
  sweep,
  trial,
)
from report_records import record

from jaxpower.records import Compilation
from jaxpower.report.compare.break_even import BreakEven
from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.life import (
  WHOLE_TRAINING,
  WHOLE_TRAINING_SECONDS,
  Use,
  spent,
  whole_trainings,
)
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.given import Given
from jaxpower.report.questions import lifecycle
from jaxpower.report.questions.lifecycle.words import CHOICE_NAMES, search_lines


def test_the_search_is_every_phase_of_every_trial():
  use = spent(sweep())
  train = 3 * (290 + 90 + 140 + 30)
  assert use.joules == Estimate(train + 9 * 50.0)
  assert use.seconds == Estimate(9 * 36.0)


def test_a_miss_counts_in_the_search_like_any_other():
  missed = [trial(64, 0, 100.0, status="missed")]
  assert spent(missed).joules == Estimate(150.0)


def test_what_was_not_seen_makes_a_lower_bound():
  failed = record(64, 1, status="failed")
  assert spent([trial(64, 0, 100.0), failed]).joules == Estimate(
    150.0, at_least=True
  )
  blind = trial(64, 0, 100.0, joules_by_phase={"train": 100.0, "eval": None})
  assert spent([blind]).joules == Estimate(100.0, at_least=True)
  assert spent([failed]) == Use(None, None)
  assert spent([]) == Use(None, None)


def test_a_training_is_a_whole_one():
  """Compiling as by a process of its own; no idling and no inference."""
  joules: dict[str, float | None] = {
    "idle": 7.0,
    "setup": 5.0,
    "warmup": 2.0,
    "compile": 0.0,
    "train": 150.0,
    "eval": 10.0,
    "infer": 40.0,
    "checkpoint": 1.0,
  }
  seconds = dict.fromkeys(joules, 1.0)
  phases = {"joules_by_phase": joules, "seconds_by_phase": seconds}
  reached = trial(64, 0, 100.0, train_joules=150.0, **phases)
  # 100 J to the target, 30 J of compiling; 50 J after the target are left out.
  assert WHOLE_TRAINING.reached(reached) == 100 + 30 + 5 + 2 + 10 + 1
  assert WHOLE_TRAINING.bound(reached) == 150 + 30 + 5 + 2 + 10 + 1
  assert WHOLE_TRAINING_SECONDS.reached(reached) == 4 + 3 + 4 * 1
  joules["eval"] = None
  assert WHOLE_TRAINING.reached(reached) is None


def test_the_search_is_paid_back():
  records = sweep()
  found = paid_back(records, Estimate(2100.0))
  assert [
    (CHOICE_NAMES[i.choice], i.group.varied["batch_size"]) for i in found
  ] == [
    ("the median setting", 128),
    ("the first one tried", 256),
  ]
  # 2100 J over about 50 J and about 200 J a training.
  median, first = (each.trainings for each in found)
  assert median.uses == pytest.approx(42.0, rel=0.01)
  assert first.uses == pytest.approx(10.5, rel=0.01)
  assert median.low is not None and median.high is not None
  assert 25 < median.low < 42 < median.high < 100
  lines = said(records, trainings=1)
  assert (
    "Taking batch 64 instead of the median setting (batch 128) pays back the"
    " search after 42 trainings." in lines
  )
  assert "The whole sweep, 9 trials, cost 2.10 kJ." in lines


def test_the_search_is_paid_back_by_whole_trainings():
  """Where compiling costs more than training saves, there is no saving."""
  slow = {"compile": Compilation(seconds=3.0, joules=530.0)}
  records = [
    trial(batch, 0, joules, **changes)
    for batch, joules, changes in ((64, 90.0, slow), (128, 140.0, {}))
  ]
  (found,) = paid_back(records, Estimate(300.0))
  assert found.joules.value == pytest.approx(180.0)
  # One seed cannot exclude that it does.
  assert found.trainings.perhaps_never
  assert "may never pay back the search" in said(records, trainings=1)
  more = [
    trial(batch, seed, joules + seed, **changes)
    for batch, joules, changes in ((64, 90.0, slow), (128, 140.0, {}))
    for seed in range(3)
  ]
  (found,) = paid_back(more, Estimate(300.0))
  assert found.trainings.never
  assert "never pays back the search" in said(more, trainings=1)


def test_compiling_was_measured_once_for_all_seeds():
  """30 J of a whole training, known to 11 %; no seed makes that smaller."""
  trials = [trial(64, seed, 100.0 + 0.01 * seed) for seed in range(5)]
  (comparison,) = compare(trials)
  use = whole_trainings(comparison).use(comparison.groups[0])
  assert use.joules is not None and use.joules.low is not None
  assert use.joules.value == pytest.approx(140, rel=1e-3)
  assert use.joules.low == pytest.approx(140 - 1.96 * 30 * 2.7 / 25, rel=0.01)


def test_a_setting_whose_compiling_is_unknown_costs_no_other_its_training():
  blind = {"compile": Compilation(seconds=3.0, joules=None)}
  trials = [trial(64, 0, 100.0), trial(128, 0, 90.0, **blind)]
  (comparison,) = compare(trials)
  trainings = whole_trainings(comparison)
  known, unknown = (trainings.use(g).joules for g in comparison.groups)
  assert known is not None and known.value == pytest.approx(140)
  assert unknown is None


def test_a_search_seen_in_part_is_paid_back_after_at_least():
  records = sweep()
  bounded = Estimate(2100.0, at_least=True)
  seen = paid_back(records, Estimate(2100.0))[0].trainings
  part = paid_back(records, bounded)[0].trainings
  assert part == BreakEven(seen.uses, at_least=True, low=seen.low)
  missed = [
    trial(b.varied["batch_size"], b.seed, b.train_joules or 0, status="missed")
    if b.varied["batch_size"] == 128
    else b
    for b in records
  ]
  # What batch 128 costs is not known: it is no setting to be chosen instead.
  (first,) = paid_back(missed, bounded)
  assert first.group.varied["batch_size"] == 256
  unknown = dataclasses.replace(first, trainings=BreakEven(None))
  (life,) = lifecycle.find(compared(missed), Given()).lives
  life = dataclasses.replace(life, search=bounded, alternatives=(unknown,))
  assert (
    "pays back the search after an unknown number of trainings"
    in search_lines(life)[1]
  )


def test_one_setting_has_no_search():
  records = [trial(64, seed, 100.0) for seed in range(2)]
  assert "There was no other setting to choose from." in said(records, pue=1.5)
  assert len(section(records, assume(pue=1.5)).tables) == 3


def test_a_life_has_one_pretraining_and_the_search_the_others():
  records = [
    trial_
    for seed, joules in enumerate((900.0, 1000.0, 1100.0))
    for trial_ in (
      trial(256, seed, joules, trial_id=f"aaaa{seed:08x}", varied={}),
      trial(64, seed, 90.0, varied={"transfer": "scratch"}),
      trial(
        64,
        seed,
        20.0,
        varied={"transfer": "fine-tuned"},
        init_from=f"aaaa{seed:08x}",
        trial_id=f"bbbb{seed:08x}",
      ),
    )
  ]
  _, rows = stage_rows(records, trainings=1)
  assert rows["pretraining"][:2] == ("not shared", "1040 (816-1320)")
  # 3 x (1050 + 140 + 70) J, and 1007 J of a typical pretraining less.
  assert rows["search"][:2] == ("8 trials, every phase", "2770")


def test_pretraining_for_nothing_belongs_to_the_search():
  _, rows = stage_rows(study(best_is_scratch=True), downstream_tasks=10)
  assert "pretraining" not in rows
  assert rows["search"][:2] == ("3 trials, every phase", str(1050 + 140 + 250))


def test_a_failed_attempt_counts_though_it_was_repeated():
  failed = record(64, 0, status="failed")
  records = [failed, trial(64, 0, 100.0)]
  _, rows = stage_rows(records, trainings=1)
  assert rows["search"][:2] == ("1 trial in 2 attempts, every phase", "> 150")
  assert "The energy of 1 of 2 trials is unknown, not zero." in said(
    records, trainings=1
  )


def test_a_trial_trained_again_is_told_by_its_newest_record():
  """As where its checkpoint was damaged and others were to begin from it."""
  records = [trial(64, 0, 100.0), trial(64, 0, 200.0)]
  _, rows = stage_rows(records, trainings=1)
  assert rows["search"][:2] == ("1 trial in 2 attempts, every phase", "400")
  assert rows["training"][1] == "240"


def test_the_first_one_tried_is_so_by_its_first_attempt():
  records = sweep()
  failed = record(128, 0, status="failed")
  found = paid_back(records, Estimate(2100.0), [failed, *records])
  assert [i.group.varied["batch_size"] for i in found] == [128, 256]
  assert [CHOICE_NAMES[i.choice] for i in found] == [
    "the median setting",
    "the worst setting",
  ]


def test_what_pretraining_began_from_counts_too():
  first = trial(256, 0, 500.0, trial_id="cccc00000000", varied={})
  records = study()
  records[0] = trial(
    256, 0, 1000.0, trial_id="aaaa00000000", varied={}, init_from=first.trial_id
  )
  _, rows = stage_rows([first, *records], downstream_tasks=10)
  assert rows["pretraining"][1] == "158"  # (1040 + 540) / 10
