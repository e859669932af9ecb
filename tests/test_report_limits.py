"""What one should know before one believes a ratio."""

import dataclasses

import pytest
from report_records import curve, modelled, record, seeds

from jaxpower.attempts import Attempt
from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.questions.limits import (
  IdleDrift,
  Limits,
  Pieces,
  busy_share,
  cpu_time_line,
  find,
  idle_drift,
  looks_to_target,
  one_rate,
  pieces,
  tell,
)


def trial(batch=64, seed=0, rate=1e-3, scaling="none", **changes):
  """A trial at a batch size and a learning rate."""
  config = {
    "data": "fashion_mnist_6k",
    "batch_size": batch,
    "target_accuracy": 0.8,
    "optimizer": {"learning_rate": rate, "scaling": scaling},
  }
  return record(batch, seed, config=config, **changes)


def limits(*trials):
  (found,) = find(compare_all(trials))
  return found


def lines(*trials):
  return [line for s in tell(find(compare_all(trials))) for line in s.lines]


def test_there_is_no_section_where_nothing_is_to_be_known():
  assert tell(find(compare_all(seeds(64, 204, 212)))) == ()
  assert tell(()) == ()


def test_joules_that_are_cpu_time_say_so():
  facts = {"meter": modelled(0.456, 1.501), "estimated": True}
  (line,) = lines(*seeds(64, 2.0, 3.0, **facts))
  assert "CPU seconds times 1.50 W, and 0.456 W for each core" in line
  assert "are ratios of CPU time" in line
  two = cpu_time_line([(1.0, 4.0), (0.5, 2.0)])
  assert "4.00 W, and 1.00 W for each core, busy or not; or CPU" in two
  assert "CPU seconds times watts" in cpu_time_line([])


def test_idle_power_that_drifted_is_told_of_like_trials():
  def of(watts, seed, **changes):
    return trial(seed=seed, idle_watts=watts, **changes)

  steady = [of(88.0, 0), of(96.0, 1), of(90.0, 2)]
  assert idle_drift(steady) is None
  drifted = [*steady, of(110.0, 3)]
  assert idle_drift(drifted) == IdleDrift(4, 88.0, 110.0, False)
  (line,) = lines(*drifted)
  assert "measured 4 times it was 88.0 to 110 W. Joules" in line
  # What another trial of the same minute measured counts once, and what is
  # not known, or is of a board at another limit, not at all.
  given = of(110.0, 3, idle_seconds_ago=12.0)
  assert idle_drift([*steady, given, of(None, 4)]) is None
  config = {**steady[0].config, "power_limit_watts": 200.0}
  limited = record(64, 3, idle_watts=60.0, config=config)
  assert idle_drift([*steady, limited]) is None
  modelled_line = lines(
    *(dataclasses.replace(r, estimated=True) for r in drifted)
  )
  assert any("110 W (estimated)." in line for line in modelled_line)


def attempted(lost, seconds, times=2):
  """The fields of a trial that was begun so often."""
  attempt = Attempt(
    attempt="a",
    trial_id="t",
    number=1,
    began="",
    host="",
    pid=1,
    framework="jax",
  )
  return {
    "attempts": (attempt,) * times,
    "joules_lost": lost,
    "seconds_lost": seconds,
  }


def test_trials_that_were_begun_again_say_what_that_cost():
  once = [record(64, seed, 204, **attempted(0, 0, 1)) for seed in range(10)]
  again = [record(64, s, 204, **attempted(205, 3)) for s in (10, 11)]
  (line,) = lines(*once, *again)
  assert line == (
    "2 of 12 trials were begun twice; 410 J and 6.00 s were lost that way,"
    " which no other number counts."
  )
  unknown = record(64, 12, 204, **attempted(None, 1, 3))
  (line,) = lines(*again, unknown)
  assert "3 of 3 trials were begun more than once; an unknown number" in line
  assert lines(*once) == []


def test_one_rate_for_several_batch_sizes_is_told():
  trials = [trial(16), trial(64), trial(1024)]
  assert one_rate(trials) == 1e-3
  line = lines(*trials)[0]
  assert "The learning rate was the same for every batch size: 0.001." in line


@pytest.mark.parametrize(
  "trials",
  [
    [trial(16), trial(16, 1)],
    [trial(16), trial(64, rate=3e-3)],
    [trial(16, scaling="sqrt"), trial(64, scaling="sqrt")],
    [record(16, config={}), record(64, config={})],
  ],
)
def test_one_batch_size_other_rates_and_scaled_ones_are_not(trials):
  assert one_rate(trials) is None


def test_a_command_is_advised_what_it_can_do():
  config = {"framework": "command", "optimizer": {"learning_rate": 1e-3}}

  def told(command):
    return lines(
      *(
        record(
          batch,
          seed,
          framework="command",
          seconds_to_accuracy=1.2,
          config=config | {"command": command, "batch_size": batch},
        )
        for batch in (16, 64)
        for seed in (0, 1)
      )
    )

  rate, looks = told("train {batch_size} {optimizer.learning_rate:.1e}")
  assert rate.endswith("vary optimizer.learning_rate too.")
  assert looks.endswith("have the script report more often, for 10 or more.")
  assert told("train {batch_size} {optimizer.learning_rates}") == [looks]


def test_a_batch_in_pieces_is_told():
  facts = [(16, 16), (256, 64), (1024, 64), (512, 32)]
  trials = [
    trial(b, scaling="sqrt", numerics={"micro_batch": m}) for b, m in facts
  ]
  assert pieces(trials) == (
    Pieces(256, (64,)),
    Pieces(512, (32,)),
    Pieces(1024, (64,)),
  )
  (line,) = lines(*trials)
  assert line.startswith(
    "Batch 256 and 1024 were computed 64 examples at a time; batch 512 was"
    " computed 32 examples at a time: "
  )


def test_a_batch_in_several_pieces_is_told_once():
  trials = [
    trial(64, seed, numerics={"micro_batch": m})
    for seed, m in [(0, 16), (1, 4)]
  ]
  (line,) = lines(*trials)
  assert line.startswith("Batch 64 was computed 4 or 16 examples at a time: ")


def test_a_batch_that_was_whole_in_some_trials_is_told_so():
  trials = [
    trial(64, seed, numerics={"micro_batch": m})
    for seed, m in [(0, 16), (1, 64)]
  ]
  assert pieces(trials) == (Pieces(64, (16,), every_trial=False),)
  (line,) = lines(*trials)
  assert "computed 16 examples at a time in some trials: " in line


def test_a_batch_over_several_devices_is_not_in_pieces():
  provenance = {"devices": [{}, {}, {}, {}]}
  numerics = {"micro_batch": 16}
  assert not pieces([trial(64, numerics=numerics, provenance=provenance)])
  assert pieces([trial(128, numerics=numerics, provenance=provenance)])
  assert not pieces([trial(64)])
  over_cores = {"micro_batch": 32, "batch_divided_over_cores": 2}
  assert not pieces([trial(64, numerics=over_cores)])
  assert pieces([trial(128, numerics=over_cores)])


def test_looks_are_counted_on_the_curve():
  looks = curve(100.0, 0.81)
  assert looks_to_target(record(64)) == 10
  early = record(64, seconds_to_accuracy=looks[3].train_seconds)
  assert looks_to_target(early) == 4
  between = (looks[3].train_seconds + looks[4].train_seconds) / 2
  assert looks_to_target(record(64, seconds_to_accuracy=between)) == 5
  before = dataclasses.replace(looks[0], steps=0, train_seconds=0.0)
  began = record(64, curve=(before, *looks))
  assert looks_to_target(began) == 10
  assert looks_to_target(record(64, 0, -5.0)) is None
  assert looks_to_target(record(64, seconds_to_accuracy=0.0)) is None


def test_few_looks_are_told():
  few = [record(16, seed, seconds_to_accuracy=1.2) for seed in (0, 1)]
  some = record(16, 2, seconds_to_accuracy=2.0)
  found = limits(*few, some, record(64))
  assert found.few_looks == (("batch 16", 3),)
  (line,) = lines(*few, some, record(64))
  assert line.startswith(
    "Few evaluations led to the target of batch 16: in one trial only 3."
  )
  assert "evaluate_every_examples" in line
  (line,) = lines(*few, record(64, seconds_to_accuracy=1.6))
  assert "target of every setting: in one trial only 3." in line
  batches = [2**power for power in range(5)]
  many = [record(batch, seconds_to_accuracy=1.6) for batch in batches]
  (line,) = lines(*many, record(64))
  assert "target of 5 of 6 settings: in one trial only 4." in line


def busy(seed, other, stolen=0.0):
  return record(
    64,
    seed,
    provenance={"host": "a", "cpus_usable": 2},
    other_load_cores={"train": other, "eval": 2.0},
    steal_cores={"train": stolen},
  )


def test_a_shared_machine_is_a_warning():
  trials = [busy(0, 0.1), busy(1, 0.9), busy(2, 0.0, 1.2)]
  assert [busy_share(t) for t in trials] == [0.05, 0.45, 0.6]
  (section,) = tell(find(compare_all(trials)))
  (warning,) = section.warnings
  assert warning.startswith(
    "2 of 3 trials were trained beside other work, which had up to 60 % of the"
    " cores: "
  )
  assert "quiet" in warning


def test_a_load_that_was_not_read_is_unknown_and_not_quiet():
  assert busy_share(record(64)) is None
  assert busy_share(busy(0, None)) is None
  assert busy_share(dataclasses.replace(busy(0, 1.0), provenance={})) is None


def test_gpus_that_nobody_used_are_told_and_in_no_number():
  six = {f"GPU-{i}": 100.0 for i in range(6)}
  told = [
    trial(seed=seed, apart_joules_by_phase={"train": six, "eval": six})
    for seed in range(2)
  ]
  (line,) = [line for line in lines(*told) if "other GPU" in line]
  assert line == (
    "The machine's 6 other GPUs took 1.20 kJ while 2 trials trained;"
    " that is in no number here."
  )
  # One that does not know a GPU's joules is left out, not counted as zero.
  unknown = trial(seed=2, apart_joules_by_phase={"train": {"GPU-0": None}})
  assert line in lines(*told, unknown)
  assert not any("other GPU" in text for text in lines(trial(), unknown))


def in_company(**facts):
  return {"at_once": 4, "gpus": [], "shared": [], "interference": None} | facts


def test_trials_that_ran_beside_others_are_told():
  found = {"of": "joules", "more": 0.031, "low": -0.005, "high": 0.0685}
  found |= {"segments": 10, "trials": 4}
  both = [
    trial(seed=0, company=in_company(shared=["cpu-0", "dram-0"])),
    trial(seed=1, company=in_company(interference=found)),
  ]
  told = lines(*both, trial(seed=2))
  assert (
    "2 of 3 trials ran beside others, 4 at once: in company a trial took 3.1 %"
    " more joules (-0.5 to +6.9 %)."
  ) in told
  assert (
    "cpu-0 and dram-0 are shared by them: each was billed an equal part, which"
    " is an estimate."
  ) in told
  (line,) = [x for x in lines(both[0]) if "at once" in x]
  assert line == (
    "1 of 1 trial ran beside others, 4 at once; what that cost them was not"
    " checked."
  )
  part = trial(company=in_company(at_once=None))
  assert "1 of 1 trial had a part of a machine" in " ".join(lines(part))
  assert not any("beside others" in text for text in lines(trial()))


def test_gpus_of_trials_at_once_are_not_unused():
  apart = {"train": {"GPU-0": 100.0, "GPU-1": 100.0, "GPU-7": 3.0}}
  told = [
    trial(
      seed=n,
      company=in_company(gpus=[f"GPU-{n}"]),
      apart_joules_by_phase=apart,
    )
    for n in range(2)
  ]
  (line,) = [text for text in lines(*told) if "other GPU" in text]
  assert line.startswith("The machine's 1 other GPU took 6.00 J while 2 trials")


def test_what_holds_of_some_comparisons_is_named():
  shared = Limits(name="a", pieces=(Pieces(64, (16,)),))
  other = Limits(name="b", pieces=(Pieces(64, (16,)),), one_rate=0.1)
  (section,) = tell((shared, other))
  assert section.lines[0].startswith("Batch 64 was computed")
  assert section.lines[1].startswith("b: The learning rate was the same")
