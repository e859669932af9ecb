"""What is said, word by word."""

from report_records import GPU, meter, record, seeds

from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.questions.cheapest import find, tell

CPU = meter("cpu-estimate", "cpu", estimated=True)


def say(records):
  (verdict,) = find(compare_all(records))
  return tell(verdict).lead


def test_cheapest_and_most_expensive():
  assert say(seeds(64, 195, 200, 210) + seeds(1024, 390, 400, 420)) == (
    "Batch 64 was cheapest: 200 J to 80 %."
    " Batch 1024 cost 2.0 (1.9 to 2.2) times as much."
  )


def test_estimated_power_is_said_to_be():
  told = say(seeds(64, 200, estimated=True, meter=CPU))
  assert told.endswith("CPU power is estimated, not measured.")
  gpu = meter(GPU, "gpu", estimated=True)
  told = say(seeds(64, 200, estimated=True, meter=gpu))
  assert told.endswith(" Power is estimated, not measured.")


def test_overlapping_intervals_do_not_differ_measurably():
  told = say(
    seeds(64, 200, 212, 221) + seeds(128, 205, 230, 240) + seeds(256, 900, 920)
  )
  assert told == (
    "Batch 64 was cheapest: 212 J to 80 %."
    " It does not differ measurably from batch 128 with 3 seeds."
    " Batch 256 cost 4.3 (4.1 to 4.6) times as much."
  )


def test_a_worst_that_overlaps_is_not_called_more_expensive():
  told = say(seeds(64, 200, 212, 221) + seeds(128, 205, 230, 240))
  assert told == (
    "Batch 64 was cheapest: 212 J to 80 %."
    " It does not differ measurably from batch 128 with 3 seeds."
  )


def test_a_lower_bound_is_said_to_be_one():
  missed = [record(1024, s, 655, "missed") for s in (1, 2)]
  told = say([*seeds(64, 204, 212, 221), record(1024, 0, 600), *missed])
  assert told == (
    "Batch 64 was cheapest: 212 J to 80 %. Batch 1024 cost at least 3.1 times"
    " as much: 1 of 3 trials reached the target."
  )


def test_a_bound_below_the_best_makes_no_ratio():
  diverged = [record(16, s, 10, "diverged") for s in range(2)]
  told = say([*diverged, *seeds(64, 204, 212), *seeds(256, 900, 910)])
  assert told == (
    "Batch 64 was cheapest: 208 J to 80 %."
    " Batch 256 cost 4.4 (4.2 to 4.5) times as much."
    " Batch 16 reached the target in 0 of 2 trials: its energy is only known"
    " to be at least 10.0 J."
  )


def test_one_seed_is_not_certain():
  assert say(seeds(64, 200) + seeds(256, 900)) == (
    "Batch 64 was cheapest: 200 J to 80 %. Batch 256 cost 4.5 times as much."
    " With one seed there is no interval."
  )


def test_one_value_only():
  assert say(seeds(64, 204, 212, 221)) == (
    "Batch 64: reaching 80 % cost 212 J (204 to 221) in 4.00 s of training,"
    " median of 3 seeds."
  )


def test_nothing_varied():
  assert say(seeds(64, 204, varied={})) == (
    "Reaching 80 % cost 204 J in 4.00 s of training, one seed."
  )


def test_several_fields():
  slow = {"batch_size": 64, "optimizer.learning_rate": 0.001}
  fast = {"batch_size": 64, "optimizer.learning_rate": 0.01}
  assert say(seeds(64, 400, varied=slow) + seeds(64, 200, varied=fast)) == (
    "Batch 64, learning rate 0.01 was cheapest: 200 J to 80 %."
    " Batch 64, learning rate 0.001 cost 2.0 times as much."
    " With one seed there is no interval."
  )


def test_nobody_reached():
  assert say([record(64, 0, 600, "missed"), record(256, 0, 700, "missed")]) == (
    "No trial reached 80 %; the best reached 74 % (batch 64). Every energy is"
    " a lower bound. Raise budget_examples or lower target_accuracy."
  )


def test_every_trial_failed():
  assert say([record(64, 0, status="failed")]) == (
    "Every trial failed: worker died (signal 9)."
  )


def test_too_few_reached_for_a_median():
  missed = [record(64, s, 600, "missed") for s in (1, 2)]
  assert say([record(64, 0, 500), *missed]) == (
    "No setting reached 80 % in enough of its trials for its median to be"
    " known; the joules are lower bounds."
  )


def test_unknown_joules_of_one_setting():
  lost = record(128, 0, None, partial=True, reasons=("GPU lost at 4.1 s",))
  assert say([*seeds(64, 200), lost]) == (
    "Batch 64 cost 200 J to 80 %; there is nothing to compare it with."
    " The joules of batch 128 are unknown: GPU lost at 4.1 s."
  )


def test_unknown_joules_of_all():
  why = ("no permission to read RAPL",)
  trials = [record(b, 0, None, reasons=why) for b in (64, 128)]
  assert say(trials) == (
    "2 of 2 trials reached 80 %."
    " The joules are unknown: no permission to read RAPL."
  )


def test_partial_trials_with_known_joules():
  partial = record(64, 1, 210, partial=True, reasons=("DRAM lost at 2 s",))
  assert say([record(64, 0, 200), partial]).endswith(
    "1 of 2 trials was only partly measured: DRAM lost at 2 s."
  )


def test_a_failed_trial_is_not_called_partial():
  told = say([*seeds(64, 200, 210), record(64, 2, status="failed")])
  assert "in part" not in told


def test_another_way_to_count_changes_the_cheapest():
  quick = record(64, 0, 200.0, joules_to_accuracy_with_compile=900.0)
  assert say([quick, *seeds(128, 300)]).endswith(
    "With compiling, batch 128 is cheapest instead."
  )


def test_many_alike_are_counted():
  batches = (16, 32, 64, 128, 256, 512)
  told = say([r for b in batches for r in seeds(b, 200 + b / 100, 300)])
  assert told == (
    "Batch 16 was cheapest: 250 J to 80 %."
    " It does not differ measurably from 5 other settings with 2 seeds."
  )


def test_large_energies_have_a_prefix():
  assert say(seeds(64, 41_834.0) + seeds(1024, 12.3e6)).startswith(
    "Batch 64 was cheapest: 41.8 kJ to 80 %."
  )
  bounds = [record(1024, s, 12.3e6, "missed") for s in range(2)]
  assert "known to be at least 12.3 MJ." in say(
    [*seeds(64, 200.0, 210.0), *bounds, *seeds(2048, -13e6, -13e6)]
  )
  assert say(seeds(64, 0.5, 0.6)).startswith(
    "Batch 64: reaching 80 % cost 550 mJ (500 to 600) in"
  )
