"""What transfer saves, and after how many tasks pretraining is paid back."""

import dataclasses
from statistics import geometric_mean

import pytest
from report_records import GPU, curve, devices, record

from jaxpower import report
from jaxpower.records import Compilation
from jaxpower.report.charts import Line
from jaxpower.report.compare.comparable import pool, without_pretraining
from jaxpower.report.compare.comparison import compare, compare_all
from jaxpower.report.compare.origins import (
  Investment,
  invested,
  invested_by_origin,
)
from jaxpower.report.given import Given
from jaxpower.report.questions import transfer

DATA = {"data": "digits_28", "optimizer": {"name": "adam"}}


def pretraining(seed, joules, **changes):
  """A trial that others begin from: other data, nothing varied."""
  return record(
    256,
    seed,
    joules,
    trial_id=f"aaaa{seed:08x}",
    config={"data": "mnist_5k", "seed": seed, "batch_size": 256},
    varied={},
    final_accuracy=0.96,
    target_accuracy=0.95,
    **changes,
  )


def downstream(word, seed, joules, share=0.1, **changes):
  """A trial of one downstream task, begun as `word` says."""
  began = word != "scratch"
  varied = {"data_share": share, "transfer": word}
  origin = {"data": "mnist_5k", "seed": seed, "batch_size": 256}
  transfer = {
    "init_from": origin if began else None,
    "weights": "",
    "freeze": word.startswith("frozen"),
    "backbone_rate": 1.0,
  }
  facts = {
    "trial_id": f"{word[:4]:0<4}{share:.2f}{seed:04x}",
    "config": DATA | {"seed": seed, "data_share": share, "transfer": transfer},
    "varied": varied,
    "init_from": f"aaaa{seed:08x}" if began else None,
  }
  return record(64, seed, joules, **facts | changes)


SCRATCH, TUNED = (120.0, 110.0, 130.0), (20.0, 19.0, 21.0)


def study(scratch=SCRATCH, tuned=TUNED):
  """Three seeds each; negative joules are those of a missed trial."""
  return [
    *(pretraining(seed, 1000.0 + 100 * seed) for seed in range(3)),
    *(
      downstream(word, seed, joules)
      for word, spent in (("scratch", scratch), ("fine-tuned", tuned))
      for seed, joules in enumerate(spent)
    ),
  ]


def section(records):
  """The answer, where there is one."""
  sections = transfer.answer(compare_all(records), Given())
  return sections[0] if sections else None


def groups(records):
  """The groups of the only comparison."""
  (payback,) = transfer.find(compare_all(records))
  return payback.groups


def lines(records):
  found = section(records)
  assert found is not None
  return "\n".join(found.lines)


def test_the_numbers_of_a_study():
  records = study()
  scratch, tuned = groups(records)
  assert (scratch.name, tuned.name) == ("scratch", "fine-tuned")
  assert tuned.setting == {}  # one share of the data: nothing else varies
  # What each typically costs: geometric means.
  spent = geometric_mean([1000, 1100, 1200])
  before, after = geometric_mean(SCRATCH), geometric_mean(TUNED)
  assert tuned.invested is not None
  assert tuned.invested.value == pytest.approx(spent)
  assert scratch.joules is not None and tuned.scratch_joules == scratch.joules
  assert scratch.joules.value == pytest.approx(before)
  assert tuned.of_scratch is not None
  assert tuned.of_scratch.value == pytest.approx(after / before)
  assert tuned.tasks is not None
  assert tuned.tasks.uses == pytest.approx(spent / (before - after))
  # Compiling 30 J and evaluation 10 J on every side.
  counted = tuned.tasks_with_compile_eval
  spent = geometric_mean([1040, 1140, 1240])
  before, after = (
    geometric_mean([joules + 10 for joules in start]) + 30
    for start in (SCRATCH, TUNED)
  )
  assert counted is not None
  assert counted.uses == pytest.approx(spent / (before - after))


def test_the_figure_has_a_line_a_start_and_where_they_cross():
  (payback,) = transfer.find(compare_all(study()))
  (chart,) = transfer.payback_charts(payback)
  (tuned,) = payback.pretrained
  assert (
    tuned.joules and tuned.scratch_joules and tuned.invested and tuned.tasks
  )
  assert chart.base == Line("from scratch", 0.0, tuned.scratch_joules.value)
  assert chart.lines == (
    Line("fine-tuned", tuned.invested.value, tuned.joules.value),
  )
  (crossing,) = chart.tasks
  assert crossing == (tuned.tasks.uses, tuned.tasks.low, tuned.tasks.high)
  # The two lines cross there.
  (line,), tasks = chart.lines, crossing[0]
  assert tasks is not None
  assert line.once + tasks * line.each == pytest.approx(tasks * chart.base.each)
  found = section(study())
  assert found is not None and found.figures[0].panels == [chart]


def test_a_start_that_cannot_be_paid_back_has_no_figure():
  missed = study(scratch=(-120.0, -110.0, -130.0))
  found = section(missed)
  assert found is not None and found.figures == ()


def test_compiling_was_measured_once_and_is_uncertain():
  """However well its costs repeat: 30 J each, of which 11 % is noise."""
  sure = study((100.0, 100.1, 99.9), (90.0, 90.1, 89.9))
  _, tuned = groups(sure)
  assert tuned.tasks is not None and tuned.tasks.high is not None
  assert not tuned.tasks.perhaps_never
  counted = tuned.tasks_with_compile_eval
  assert counted is not None and counted.low is not None
  assert counted.high is not None and counted.high > 1.5 * tuned.tasks.high


def test_the_tables_and_sentences():
  found = section(study())
  assert found is not None
  pretrained, ways = found.tables
  assert pretrained.columns[3:] == (
    "kilojoules of training",
    "with compiling and evaluation",
  )
  assert pretrained.rows == (
    ("mnist_5k", "3 of 3", "96 %", "1.10 (0.875-1.38)", "1.14 (0.914-1.41)"),
  )
  assert ways.columns == (
    "start",
    "reached",
    "joules to 80 %",
    "ratio to scratch",
    "tasks to break even",
    "with compiling and evaluation",
  )
  assert ways.rows[0][:3] == ("scratch", "3 of 3", "120 (106-136)")
  assert ways.rows[0][3:] == ("", "", "")
  assert ways.rows[1][3] == "0.167 (0.142-0.196)"
  assert ways.rows[1][4:] == ("11 (8.5 to 14)", "11 (8.8 to 15)")
  assert found.lines == (
    "Fine-tuned: 20.0 J to 80 % against 120 J from scratch;"
    " the 1.10 kJ of pretraining pay back from the 11th such task on.",
    "With compiling and evaluation, the tasks to break even are the same.",
  )


def test_each_setting_has_its_own_number():
  records = study() + [
    downstream(word, seed, joules + seed, share=1.0)
    for word, joules in (("scratch", 70.0), ("fine-tuned", 20.0))
    for seed in range(3)
  ]
  found = section(records)
  assert found is not None
  assert found.tables[1].columns[:2] == ("data share", "start")
  assert [row[:2] + row[5:6] for row in found.tables[1].rows] == [
    ("0.1", "scratch", ""),
    ("0.1", "fine-tuned", "11 (8.6 to 14)"),
    ("1", "scratch", ""),
    ("1", "fine-tuned", "22 (17 to 28)"),
  ]
  assert found.lines[1].startswith("Fine-tuned, data share 1: 21.0 J to 80 %")


def test_ratios_to_scratch_hold_at_all_settings_at_once():
  records = study() + [
    downstream(word, seed, joules + seed, share=1.0)
    for word, joules in (("scratch", 70.0), ("fine-tuned", 20.0))
    for seed in range(3)
  ]
  (comparison,) = compare(records)
  places = {
    (g.varied["transfer"], g.varied["data_share"]): comparison.place(g)
    for g in comparison.groups
  }
  pair = places["fine-tuned", 1.0], places["scratch", 1.0]
  alone, at_once = comparison.fit.ratio(*pair), groups(records)[-1].of_scratch
  assert alone is not None and at_once is not None
  assert at_once.value == pytest.approx(alone.value)
  assert None not in (alone.low, alone.high, at_once.low, at_once.high)
  assert (at_once.low or 0) < (alone.low or 0) < (alone.high or 0)
  assert (alone.high or 0) < (at_once.high or 0)


@pytest.mark.parametrize(
  ("joules", "place"),
  [
    (5, "1st"),
    (25, "3rd"),
    (11, "2nd"),
    (105, "11th"),
    (115, "12th"),
    (130, "13th"),
    (135, "14th"),
    (205, "21st"),
    (200_000, "20,000th"),
  ],
)
def test_the_first_task_at_which_it_is_paid_back(joules, place):
  records = [
    pretraining(0, float(joules)),
    downstream("scratch", 0, 11.0),
    downstream("fine-tuned", 0, 1.0),
  ]
  assert f"pay back from the {place} such task on." in lines(records)


def test_two_targets_are_told_apart():
  other = [
    downstream(word, seed, joules, target_accuracy=0.9)
    for word, joules in (("scratch", 220.0), ("fine-tuned", 120.0))
    for seed in range(3)
  ]
  found = section([*study(), *other])
  assert found is not None
  assert len(found.tables) == 4
  assert found.lines[0].startswith("to 80 %: Fine-tuned")
  assert any(line.startswith("to 90 %: Fine-tuned") for line in found.lines)


def at_rates(word, joules_by_rate, share=0.1):
  """Trials of one start at several rates, three seeds each."""
  return [
    downstream(
      word,
      seed,
      joules,
      share,
      trial_id=f"{word[:4]}{rate:.4f}{seed:02x}",
      varied={"transfer": word, "optimizer.learning_rate": rate},
    )
    for rate, spent in joules_by_rate.items()
    for seed, joules in enumerate(spent)
  ]


def tuned_study(frozen):
  """Scratch at its best at 0.01: 110 J; `frozen` maps rates to joules."""
  rates = {0.003: (120.0, 110.0, 130.0), 0.01: (110.0, 100.0, 120.0)}
  return [
    *(pretraining(seed, 1000.0 + 100 * seed) for seed in range(3)),
    *at_rates("scratch", rates),
    *at_rates("frozen", frozen),
  ]


def test_each_start_is_told_at_its_best_rate():
  """A head that is slow at one rate is not slow for being alone."""
  slow, fast = (200.0, 190.0, 210.0), (55.0, 45.0, 65.0)
  found = section(tuned_study({0.003: slow, 0.01: slow, 0.03: fast}))
  assert found is not None
  table = found.tables[1]
  assert table.columns[:4] == ("start", "best learning rate", "of", "reached")
  assert table.columns[-1] == "joules of the search"
  scratch, frozen = table.rows
  assert scratch[:5] == ("scratch", "0.01", "2", "3 of 3", "110 (95.4-127)")
  assert frozen[:5] == ("frozen", "0.03", "3", "3 of 3", "54.4 (46.9-63.0)")
  # Every phase of every trial: evaluation is 10 J of each.
  assert scratch[-1] == str(360 + 330 + 6 * 10)
  assert frozen[-1] == "1460"  # 600 + 600 + 165 + 9 x 10
  assert found.lines[0] == (
    "Frozen, learning rate 0.03 (the best of 3): 54.4 J to 80 % against 110 J"
    " from scratch; the 1.10 kJ of pretraining pay back from the 20th such task"
    " on."
  )
  assert table.notes[-1] == transfer.BEST_NOTE


def test_never_is_said_of_the_best_of_several_rates():
  slow = (220.0, 210.0, 230.0)
  said = lines(tuned_study({0.003: slow, 0.01: slow}))
  assert "the 1.10 kJ of pretraining never pay back at this accuracy." in said


def test_never_is_not_said_of_the_only_rate():
  records = study(tuned=(220.0, 210.0, 230.0))
  assert lines(records).startswith(
    "Fine-tuned: 220 J to 80 % against 120 J from scratch; the 1.10 kJ of"
    " pretraining do not pay back at this accuracy at the one setting of the"
    " optimizer that was tried."
  )
  found = section(records)
  assert found is not None
  assert found.tables[1].notes[-1] == transfer.ONE_SETTING_NOTE


def test_never_is_not_said_where_the_seeds_do_not_exclude_a_saving():
  unsure = (120.0, 90.0, 150.0)
  said = lines(tuned_study({0.003: unsure, 0.01: unsure}))
  assert "of pretraining may never pay back at this accuracy, and not" in said
  assert "never pay back" not in said.replace("may never pay back", "")


def test_the_best_of_several_is_told_corrected_for_the_choice():
  """Three rates that cost the same: the cheapest only looks so."""
  rates = {
    rate: (50.0 + off, 54.0 - off, 60.0 + 2 * off)
    for rate, off in ((0.003, -1.0), (0.01, 0.0), (0.03, 1.0))
  }
  _, frozen = groups(tuned_study(rates))
  assert frozen.tuned == {"optimizer.learning_rate": 0.003}
  assert frozen.joules is not None
  assert frozen.joules.value > geometric_mean(rates[0.003]) * 1.001
  alone = groups(tuned_study({0.003: rates[0.003]}))[1].joules
  assert alone is not None
  assert alone.value == pytest.approx(geometric_mean(rates[0.003]))


@pytest.mark.parametrize(
  ("rates", "best"),
  [
    # A known cost before that of trials which missed, though they spent less.
    ({0.003: (-20.0, -20.0, -20.0), 0.01: (50.0, 50.0, 50.0)}, 0.01),
    # Of two that mostly missed that which did so less, though it spent more.
    ({0.003: (-20.0, -20.0, -20.0), 0.01: (50.0, -50.0, -50.0)}, 0.01),
    # Any before one of unknown energy.
    ({0.003: (None, 10.0, 10.0), 0.01: (-50.0, -50.0, -50.0)}, 0.01),
  ],
)
def test_the_best_of_known_missed_and_unknown_energies(rates, best):
  _, frozen = groups(tuned_study(rates))
  assert frozen.tuned == {"optimizer.learning_rate": best}


def test_a_start_with_fewer_rates_is_told_so():
  found = section(tuned_study({0.003: (220.0, 210.0, 230.0)}))
  assert found is not None
  assert [row[2] for row in found.tables[1].rows] == ["2", "1"]
  assert "at the one setting of the optimizer that was tried" in found.lines[0]


def test_an_interval_that_includes_never_is_told():
  records = study(tuned=(80.0, 50.0, 130.0))
  found = section(records)
  assert found is not None
  assert found.tables[1].rows[1][4].endswith("to never)")
  assert "from the 28th such task on, or may never." in lines(records)


def test_one_miss_is_a_cost_of_more_than_it_spent():
  missed = groups(study(scratch=(120.0, 110.0, -130.0)))
  reached = groups(study(scratch=(120.0, 110.0, 130.0)))
  assert missed[0].joules is not None and reached[0].joules is not None
  assert missed[0].joules.value > reached[0].joules.value
  few, more = missed[1].tasks, reached[1].tasks
  assert few is not None and more is not None
  assert few.uses is not None and more.uses is not None
  assert few.uses < more.uses
  assert few.low is not None and few.high is not None


def test_scratch_mostly_missed():
  records = study(scratch=(-120.0, -110.0, 130.0))
  found = section(records)
  assert found is not None
  scratch, tuned = found.tables[1].rows
  assert scratch[1:3] == ("1 of 3", "missed within 115")
  assert tuned[3:] == ("unknown", "unknown", "unknown")
  assert found.lines[0] == (
    "Fine-tuned: whether pretraining pays back is unknown: 1 of 3 seeds from"
    " scratch reached the target."
  )


def test_fine_tuned_mostly_missed():
  said = lines(study(tuned=(-20.0, -10.0, -30.0)))
  assert "unknown: 0 of 3 seeds from these weights reached the target." in said


def test_pretraining_counts_all_its_training_though_it_missed():
  records = [
    r
    if r.init_from or r.varied
    else pretraining(r.seed, r.train_joules, status="missed")
    for r in study()
  ]
  assert "pay back from the 11th such task on" in lines(records)


def test_unknown_joules_of_pretraining_are_not_zero():
  records = [
    r if r.varied else pretraining(r.seed, None if r.seed == 1 else 1000.0)
    for r in study()
  ]
  found = section(records)
  assert found is not None
  assert found.tables[0].rows[0][3] == "unknown"
  assert found.tables[1].rows[1][4:] == ("unknown", "unknown")
  assert (
    "whether pretraining pays back is unknown: the energy of pretraining is"
    " unknown." in found.lines[0]
  )


def test_unknown_joules_of_a_task_are_not_zero():
  records = study()
  records[-1] = downstream("fine-tuned", 2, None)
  assert "the energy of some downstream trials is unknown" in lines(records)


def test_pretraining_that_is_not_there():
  records = [r for r in study() if r.varied]
  found = section(records)
  assert found is not None
  assert found.tables[0].rows == (
    ("trials not in these records", "unknown", "unknown", "unknown", "unknown"),
  )
  assert "is not in these records" in found.lines[0]


def test_pretraining_of_another_kind_of_board_is_not_divided():
  records = [
    r
    if r.varied
    else pretraining(r.seed, 1000.0, provenance=devices(GPU, kind="H100"))
    for r in study()
  ]
  assert "pretraining was measured on another kind of device or meter" in lines(
    records
  )


def test_a_failed_trial_is_left_out_with_its_seed():
  records = study()
  records[-1] = downstream("fine-tuned", 2, 30.0, status="failed")
  scratch, tuned = groups(records)
  assert tuned.joules is not None and scratch.joules is not None
  assert scratch.joules.value == pytest.approx(geometric_mean(SCRATCH), 0.01)
  assert tuned.joules.value == pytest.approx(geometric_mean([20, 19]), 0.05)
  # The pretraining of a seed that did not train further is none of its own.
  assert tuned.invested is not None
  assert tuned.invested.value == pytest.approx(geometric_mean([1000, 1100]))


def test_one_pretraining_measured_once_counts_once():
  """As where several seeds began from it: no four values of one."""
  trials = [
    downstream("fine-tuned", s, 20.0, init_from="aaaa00000000")
    for s in range(2)
  ]
  other = [downstream("fine-tuned", 2, 20.0, init_from="aaaa00000001")]
  origins = [pretraining(0, 1000.0), pretraining(1, 2000.0)]
  found = invested_by_origin([*trials, *other], [*origins, *trials, *other])
  assert found == (pytest.approx((1000.0, 2000.0)), "")


def test_a_chain_of_pretraining_counts_all_of_it():
  first = pretraining(0, 500.0)
  second = pretraining(0, 70.0)
  second = record(
    **{
      "seed": 0,
      "joules": 70.0,
      "trial_id": "bbbb00000000",
      "varied": {},
      "init_from": first.trial_id,
    }
  )
  last = downstream("fine-tuned", 0, 5.0, init_from=second.trial_id)
  assert invested(last, [first, second, last]) == Investment(570.0)


def test_pretraining_that_began_from_given_weights_counts_both():
  given = {"path": "weights/vit_b16", "joules": 2000.0, "source": "its card"}
  first = pretraining(0, 500.0, pretrained=given)
  last = downstream("fine-tuned", 0, 5.0)
  assert invested(last, [first, last]) == Investment(2500.0)


def test_weights_from_elsewhere_count_what_is_given():
  given = {"path": "weights/vit_b16", "joules": 2000, "source": "model card"}
  tuned = [
    downstream("fine-tuned", s, 20.0, init_from=None, pretrained=given)
    for s in range(2)
  ]
  scratch = [downstream("scratch", s, 120.0) for s in range(2)]
  found = section([*scratch, *tuned])
  assert found is not None
  assert found.tables[0].rows == (("vit_b16", "given", "", "2.00", "unknown"),)
  assert found.tables[0].notes == (
    "vit_b16: its energy was not measured here; model card.",
  )
  assert found.tables[1].rows[1][4] == "20 (20 to 20)"
  unknown = [
    downstream(
      "fine-tuned", 0, 20.0, init_from=None, pretrained=given | {"joules": None}
    )
  ]
  said = lines([*scratch, *unknown])
  assert "the energy of making the given weights is unknown" in said


def test_two_origins_are_told_apart():
  records = study()
  other = [
    record(
      trial_id=f"cccc{seed:08x}",
      seed=seed,
      joules=50.0,
      config={"data": "mnist_5k", "seed": seed, "batch_size": 32},
      varied={},
    )
    for seed in range(3)
  ]
  more = [
    downstream(
      "fine-tuned",
      seed,
      60.0,
      init_from=f"cccc{seed:08x}",
      trial_id=f"dddd{seed:08x}",
    )
    for seed in range(3)
  ]
  found = section([*records, *other, *more])
  assert found is not None
  assert [row[0] for row in found.tables[0].rows] == [
    "mnist_5k, batch 32",
    "mnist_5k, batch 256",
  ]
  assert [row[0] for row in found.tables[1].rows] == [
    "scratch",
    "fine-tuned from mnist_5k, batch 256",
    "fine-tuned from mnist_5k, batch 32",
  ]


def test_one_pretraining_for_all_seeds_is_told():
  records = [
    pretraining(0, 1000.0),
    *(downstream("scratch", seed, 120.0) for seed in range(2)),
    *(
      downstream("fine-tuned", seed, 20.0, init_from="aaaa00000000")
      for seed in range(2)
    ),
  ]
  assert "All seeds began from one pretraining" in lines(records)
  assert "All seeds began" not in lines(study())


def test_compiling_and_evaluation_may_change_it():
  records = study()
  for index in (0, 1, 2):
    records[index] = pretraining(
      index, 1100.0, compile=Compilation(seconds=90.0, joules=4000.0)
    )
  said = lines(records)
  assert "Fine-tuned: 51 instead of 11." in said


def test_no_scratch_to_compare_with():
  records = [r for r in study() if r.varied.get("transfer") != "scratch"]
  assert "no trial began from scratch at this setting" in lines(records)


def test_estimated_is_said():
  records = [pretraining(0, 100.0, estimated=True)] + [
    downstream(word, 0, joules, estimated=True)
    for word, joules in (("scratch", 50.0), ("frozen", 10.0))
  ]
  found = section(records)
  assert found is not None
  assert found.tables[0].columns[3] == "estimated joules of training"
  assert found.tables[1].columns[2] == "estimated joules to 80 %"
  assert "Power is estimated, not measured." in found.lines
  assert "With one seed there is no interval." in found.lines


def test_no_section_without_transfer():
  plain = {"init_from": None, "weights": "", "freeze": False}
  assert section([record(), record(seed=1)]) is None
  assert section([record(config=DATA | {"transfer": plain})]) is None
  assert section([]) is None


def test_pretraining_is_no_setting_of_the_comparison():
  """Not even where data and target are those of the downstream task."""
  same = [
    record(
      trial_id=r.trial_id,
      seed=r.seed,
      joules=1.0,
      varied={},
      config=DATA,
      curve=curve(1.0, 0.9),
    )
    if not r.varied
    else r
    for r in study()
  ]
  (comparison,) = compare(same)
  assert [g.varied["transfer"] for g in comparison.groups] == [
    "fine-tuned",
    "scratch",
  ]
  assert comparison.domains == (GPU,)


def test_the_report_has_the_section_and_keeps_pretraining_in_its_csv(tmp_path):
  sweep = {"config": {"vary": {"transfer": [0, 1]}, "seeds": 3}}
  made = report.write(tmp_path, sweep, study())
  titles = [section.title for section in made.sections if section.title]
  assert titles == ["Energy by phase", "Payback of pretraining"]
  assert made.notes == ()
  rows = (tmp_path / "trials.csv").read_text().splitlines()
  assert sum(row.startswith("aaaa00000001,") for row in rows) == 1
  assert "Payback of pretraining" in (tmp_path / "report.html").read_text()


def test_several_folders_keep_a_transfer_one_word():
  pooled = pool(study())
  kept = without_pretraining(pooled)
  assert {tuple(r.varied) for r in kept} == {("transfer",)}
  renamed = downstream("fine-tuned", 3, 1.0)
  renamed.varied["transfer"] = "fine-tuned from mnist_5k"
  (last,) = (r for r in pool([*study(), renamed]) if r.seed == 3)
  assert last.varied == {"transfer": "fine-tuned"}
  assert "from the 11th such task on" in lines(pooled)


def test_a_pass_over_features_is_a_start_of_its_own():
  once = [
    downstream("frozen", s, 20.0, trial_id=f"eeee{s:08x}") for s in range(2)
  ]
  for trial in once:
    trial.config["transfer"]["features"] = "once"
  frozen = [downstream("frozen", s, 40.0) for s in range(2)]
  kept = without_pretraining(pool([*study(), *frozen, *once]))
  assert {r.varied["transfer"] for r in kept} == {
    "scratch",
    "fine-tuned",
    "frozen",
    "frozen, features once",
  }


def test_folders_that_began_from_other_data_are_not_pooled():
  other = [
    downstream("fine-tuned", s, 20.0, trial_id=f"eeee{s:08x}") for s in range(2)
  ]
  for trial in other:
    trial.config["transfer"]["init_from"] = {"data": "cifar10", "seed": 0}
  kept = without_pretraining(pool([*study(), *other]))
  assert {tuple(r.varied.values())[:2] for r in kept} == {
    ("scratch", None),
    ("fine-tuned", "mnist_5k"),
    ("fine-tuned", "cifar10"),
  }


def test_a_framework_is_told_once_and_not_of_its_pretraining_too():
  pooled = []
  for framework in ("jax", "torch"):
    for trial in study():
      trial.config["framework"] = framework
      if trial.init_from:
        trial.config["transfer"]["init_from"]["framework"] = framework
      pooled.append(
        dataclasses.replace(
          trial,
          trial_id=framework + trial.trial_id,
          init_from=trial.init_from and framework + trial.init_from,
          framework=framework,
        )
      )
  pooled = pool(pooled)
  kept = without_pretraining(pooled)
  assert {tuple(r.varied) for r in kept} == {("framework", "transfer")}
  found = section(pooled)
  assert found is not None
  assert [row[0] for row in found.tables[0].rows] == [
    "mnist_5k, framework jax",
    "mnist_5k, framework torch",
  ]
  assert [row[:2] for row in found.tables[1].rows] == [
    (framework, start)
    for framework in ("jax", "torch")
    for start in ("scratch", "fine-tuned")
  ]
  assert "Fine-tuned, framework torch: 20.0 J to" in "\n".join(found.lines)


def test_a_chain_of_several_seeds_is_one_origin():
  records = study()
  for trial in records[:3]:
    trial.config["transfer"] = {
      "init_from": {"data": "omniglot", "seed": trial.seed}
    }
  found = section(records)
  assert found is not None
  assert [row[0] for row in found.tables[0].rows] == ["mnist_5k"]


def test_a_word_that_names_its_origin_is_left_as_it_is():
  records = study()
  word = "fine-tuned from mnist_5k"
  more = [
    downstream(word, s, 50.0, trial_id=f"eeee{s:08x}", init_from=None)
    for s in range(3)
  ]
  found = section([*records, *more])
  assert found is not None
  assert [r[0] for r in found.tables[1].rows] == ["scratch", "fine-tuned", word]


def test_a_pretraining_that_is_a_setting_too_stays_one():
  """Asked for by the sweep itself: something is varied in it."""
  first = record(64, 0, 100.0, trial_id="aaaa00000000")
  second = record(128, 0, 50.0, init_from="aaaa00000000")
  assert [len(c.groups) for c in compare([first, second])] == [2]
  unasked = record(64, 0, 100.0, trial_id="aaaa00000000", varied={})
  assert [len(c.groups) for c in compare([unasked, second])] == [1]


def test_a_seed_that_ran_one_way_only_counts_there():
  plain = groups(study())[0].joules
  more = groups([*study(), downstream("scratch", 3, 160.0)])[0].joules
  assert plain is not None and more is not None
  assert more.value == pytest.approx(geometric_mean([*SCRATCH, 160.0]), 0.03)
  assert more.value > plain.value


def test_large_energies_are_in_one_unit_a_column():
  records = [
    pretraining(0, 12.3e6),
    downstream("scratch", 0, 41_834.0),
    downstream("fine-tuned", 0, -2000.0),
  ]
  found = section(records)
  assert found is not None
  origins, starts = found.tables
  assert origins.columns[3] == "megajoules of training"
  assert origins.rows[0][3:] == ("12.3", "12.3")
  assert starts.columns[2] == "kilojoules to 80 %"
  assert [row[2] for row in starts.rows] == ["41.8", "missed within 2.00"]
  assert found.lines[0].startswith("Fine-tuned: whether pretraining pays back")
  paid = lines([*records[:2], downstream("fine-tuned", 0, 2000.0)])
  assert paid.startswith(
    "Fine-tuned: 2.00 kJ to 80 % against 41.8 kJ from scratch; the 12.3 MJ of"
    " pretraining pay back"
  )
