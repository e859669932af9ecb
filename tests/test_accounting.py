import dataclasses
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower import accounting
from jaxpower.accounting import EvalResult
from jaxpower.config import Trial, trial_id
from jaxpower.power import Energy, Load, Window
from jaxpower.power.window import total as window_total
from jaxpower.records import Compilation, Evaluation, TrialRecord

GPU = "GPU-5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f"
CPU = "package-0"


def window(
  name: str,
  seconds: float,
  gpu: float | None,
  cpu: float | None = 0.0,
  bound: float | None = 0.0,
) -> Window:
  energies = tuple(
    Energy(domain=domain, joules=joules, joules_bound=bound, method="counter")
    for domain, joules in ((GPU, gpu), (CPU, cpu))
  )
  return Window(
    name=name,
    start_seconds=0.0,
    seconds=seconds,
    joules=accounting.sum_or_none((gpu, cpu)),
    joules_bound=bound,
    energies=energies,
    partial=gpu is None or cpu is None,
    reasons=() if gpu is not None else (f"{GPU}: GPU is lost",),
  )


def test_one_board_against_others_has_a_wider_bound() -> None:
  parts = [
    Energy("GPU-0", 1000.0, 2.0, "counter"),
    Energy("GPU-1", 500.0, 1.0, "counter"),
  ]
  assert [part.board_bound for part in parts] == [52.0, 26.0]
  whole = window_total("train", 0.0, 2.0, parts)
  assert (whole.joules_bound, whole.board_bound) == (3.0, 78.0)
  assert accounting.total([whole, whole]).board_bound == 156.0
  unknown = Energy("GPU-1", None, None, "counter")
  assert unknown.board_bound is None
  modelled = Energy("cpu", 100.0, None, "model", estimated=True)
  assert modelled.board_bound is None
  assert (
    window_total("train", 0.0, 2.0, [parts[0], modelled]).board_bound is None
  )


def result(steps: int, accuracy: float, loss: float = 1.0) -> EvalResult:
  return EvalResult(
    examples=steps * 10,
    steps=steps,
    train_loss=math.nan if steps == 0 else loss,
    loss=loss,
    accuracy=accuracy,
  )


TRIAL = Trial(target_accuracy=0.8, batch_size=10, crossing="first")
MADE = Compilation(seconds=2.0, joules=90.0)
WINDOWS = (
  window("setup", 1.0, 50.0),
  window("idle", 2.0, 100.0, 20.0),  # 60 W
  window("compile", 2.0, 90.0),
  window("eval", 0.5, 30.0),
  window("train", 1.0, 200.0, 10.0, bound=3.0),
  window("eval", 0.5, 30.0),
  window("train", 1.0, 180.0, 10.0, bound=4.0),
  window("eval", 0.5, 30.0),
)
RESULTS = (result(0, 0.1), result(10, 0.6), result(20, 0.85))


def record(
  results: Sequence[EvalResult] = RESULTS,
  windows: Sequence[Window] = WINDOWS,
  trial: Trial = TRIAL,
) -> TrialRecord:
  return accounting.record(trial, {"batch_size": 10}, results, windows, MADE)


def test_a_trial_that_reached_its_target() -> None:
  found = record()
  assert (found.status, found.trial_id) == ("reached", trial_id(TRIAL))
  assert found.joules_to_accuracy == 400.0
  assert found.joules_to_accuracy_bound == 7.0  # 3 and 4, one error
  assert found.seconds_to_accuracy == 2.0
  assert found.joules_to_accuracy_with_compile == 490.0
  assert found.joules_to_accuracy_with_eval == 490.0
  assert found.active_joules_to_accuracy == 400.0 - 60.0 * 2.0
  # 0.8 lies four fifths of the way from 0.6 to 0.85.
  assert found.joules_to_accuracy_interpolated == pytest.approx(362.0)
  assert found.seconds_to_accuracy_interpolated == pytest.approx(1.8)
  assert found.idle_watts == 60.0
  assert found.joules_by_phase == {
    "setup": 50.0,
    "idle": 120.0,
    "compile": 90.0,
    "eval": 90.0,
    "train": 400.0,
  }
  assert found.seconds_by_phase["eval"] == 1.5
  assert found.joules_by_domain == {GPU: 710.0, CPU: 40.0}
  assert [e.train_joules for e in found.curve] == [0.0, 210.0, 400.0]
  assert [e.train_seconds for e in found.curve] == [0.0, 1.0, 2.0]
  assert (found.steps, found.examples, found.partial) == (20, 200, False)


def test_a_miss_keeps_what_it_spent_as_a_lower_bound() -> None:
  found = record((result(0, 0.1), result(10, 0.6), result(20, 0.79)))
  assert found.status == "missed"
  assert (found.train_joules, found.train_joules_bound) == (400.0, 7.0)
  assert found.joules_to_accuracy is None
  assert found.seconds_to_accuracy is None
  assert found.best_accuracy == 0.79


PAST = dataclasses.replace(TRIAL, stop_at_target=False)


@pytest.mark.parametrize(
  "last", [result(30, 0.9), result(30, 0.5), result(30, 0.1, math.nan)]
)
def test_training_past_the_target_changes_no_joule_to_it(
  last: EvalResult,
) -> None:
  stopped = record()
  more = (window("train", 5.0, 700.0, 50.0, bound=12.0),)
  more += (window("eval", 0.5, 30.0),)
  found = record((*RESULTS, last), WINDOWS + more, PAST)
  for name in (
    "status",
    "seconds_to_accuracy",
    "seconds_to_accuracy_interpolated",
    "joules_to_accuracy",
    "joules_to_accuracy_bound",
    "joules_to_accuracy_interpolated",
    "joules_to_accuracy_with_compile",
    "joules_to_accuracy_with_eval",
    "active_joules_to_accuracy",
  ):
    assert getattr(found, name) == getattr(stopped, name), name
  assert (found.train_joules, found.train_seconds) == (1150.0, 7.0)
  assert found.train_joules_bound == 19.0
  assert (found.steps, found.examples) == (30, 300)
  assert found.final_accuracy == last.accuracy
  assert found.joules_by_phase["eval"] == 120.0


def test_an_unknown_joule_past_the_target_leaves_those_to_it_known() -> None:
  more = (window("train", 5.0, None), window("eval", 0.5, 30.0))
  found = record((*RESULTS, result(30, 0.9)), WINDOWS + more, PAST)
  assert (found.joules_to_accuracy, found.train_joules) == (400.0, None)
  assert found.partial


@pytest.mark.parametrize(
  ("accuracies", "patience", "stop_at_target", "over"),
  [
    ((0.1, 0.5), 0, True, False),
    ((0.1, 0.8), 0, True, True),
    ((0.1, 0.8), 0, False, False),
    ((0.1, 0.8, 0.7, 0.7), 0, False, False),
    ((0.1, 0.8, 0.7), 2, False, False),
    ((0.1, 0.8, 0.7, 0.75), 2, False, True),
    ((0.1, 0.8, 0.7, 0.81), 2, False, False),
    ((0.1, 0.5, 0.5), 1, True, True),  # no worse is not better
    ((0.1, 0.1), 1, True, True),
  ],
)
def test_when_a_trial_is_over(
  accuracies: tuple[float, ...],
  patience: int,
  stop_at_target: bool,
  over: bool,
) -> None:
  trial = dataclasses.replace(
    TRIAL, patience=patience, stop_at_target=stop_at_target
  )
  results = [result(10 * step, value) for step, value in enumerate(accuracies)]
  assert accounting.is_over(trial, results) == over


def test_divergence_ends_any_trial() -> None:
  results = [*RESULTS, result(30, 0.1, math.inf)]
  assert accounting.is_over(PAST, results)
  assert accounting.status_of(PAST, results) == "reached"


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_divergence(loss: float) -> None:
  found = record((result(0, 0.1), result(10, 0.6), result(20, 0.1, loss)))
  assert found.status == "diverged"
  assert found.joules_to_accuracy is None
  assert found.train_joules == 400.0


def test_the_missing_train_loss_before_training_is_no_divergence() -> None:
  assert accounting.status_of(TRIAL, [result(0, 0.1)]) == "missed"


def test_an_unknown_joule_is_unknown_in_every_sum_it_is_in() -> None:
  windows = list(WINDOWS)
  windows[6] = window("train", 1.0, None, 10.0)
  found = record(windows=windows)
  assert found.status == "reached"
  assert found.partial
  assert found.reasons == (f"{GPU}: GPU is lost",)
  assert found.joules_to_accuracy is None
  assert found.joules_to_accuracy_interpolated is None
  assert found.joules_to_accuracy_with_compile is None
  assert found.active_joules_to_accuracy is None
  assert found.joules_by_phase["train"] is None
  assert found.joules_by_phase["eval"] == 90.0
  assert found.joules_by_domain == {GPU: None, CPU: 40.0}
  assert [e.train_joules for e in found.curve] == [0.0, 210.0, None]


def test_the_load_of_a_phase_is_the_mean_of_its_windows() -> None:
  assert record().other_load_cores is None
  loads = {"train": Load(1.0, 0.5), "eval": Load(0.0, 0.0)}
  windows = [dataclasses.replace(w, load=loads.get(w.name)) for w in WINDOWS]
  found = record(windows=windows)
  assert found.other_load_cores is not None and found.steal_cores is not None
  assert found.other_load_cores["train"] == 1.0
  assert found.steal_cores["train"] == 0.5
  assert found.other_load_cores["eval"] == 0.0
  assert found.other_load_cores["setup"] is None, "not read is not zero"


def test_no_idle_window_leaves_idle_power_unknown() -> None:
  found = record(windows=[w for w in WINDOWS if w.name != "idle"])
  assert (found.idle_watts, found.active_joules_to_accuracy) == (None, None)
  assert found.joules_to_accuracy == 400.0


def test_a_target_met_before_training_costs_nothing_to_train() -> None:
  windows = [w for w in WINDOWS if w.name != "train"][:4]
  found = record((result(0, 0.9),), windows)
  assert (found.status, found.joules_to_accuracy) == ("reached", 0.0)
  assert found.joules_to_accuracy_interpolated == 0.0


def test_results_and_windows_must_belong_together() -> None:
  with pytest.raises(ValueError, match="3 results for 1 train, 3 eval windows"):
    record(windows=[w for i, w in enumerate(WINDOWS) if i != 4])


@given(
  before=st.floats(0, 0.79),
  after=st.floats(0.8, 1),
  joules=st.floats(0, 1e6),
  more=st.floats(0, 1e6),
)
def test_the_crossing_lies_between_its_evaluations(
  before: float, after: float, joules: float, more: float
) -> None:
  curve = [
    Evaluation(
      examples=0,
      steps=0,
      train_seconds=spent,
      train_joules=spent,
      train_loss=1.0,
      loss=1.0,
      accuracy=accuracy,
    )
    for spent, accuracy in ((joules, before), (joules + more, after))
  ]
  seconds, found = accounting.at_crossing(curve, {"label": 0.8})
  assert found is not None
  assert found == seconds
  assert joules * (1 - 1e-9) <= found <= (joules + more) * (1 + 1e-9)


BOTH = Trial(
  tasks=("label", "subject"),
  target_accuracy=0.8,
  targets={"subject": 0.6},
  batch_size=10,
  crossing="first",
)


def result_of(steps: int, label: float, subject: float) -> EvalResult:
  accuracies = {"label": label, "subject": subject}
  mean = (label + subject) / 2
  return dataclasses.replace(result(steps, mean), accuracies=accuracies)


def test_every_task_has_to_meet_its_own_target_at_once() -> None:
  # Each has met its target once, and never both at the same look.
  apart = (
    result_of(0, 0.9, 0.5),
    result_of(10, 0.7, 0.7),
    result_of(20, 0.9, 0.59),
  )
  found = record(apart, trial=BOTH)
  assert found.status == "missed"
  assert found.joules_to_accuracy is None
  assert found.best_accuracy == pytest.approx(0.745)
  assert found.target_accuracy == pytest.approx(0.7)
  assert found.curve[-1].accuracies == {"label": 0.9, "subject": 0.59}
  together = (*apart[:2], result_of(20, 0.8, 0.6))
  assert record(together, trial=BOTH).status == "reached"
  assert accounting.is_over(BOTH, together)
  assert not accounting.is_over(BOTH, apart)


def test_the_crossing_is_that_of_the_last_task() -> None:
  # Label crosses at 1/4 of the last stretch, subject at 3/4 of it.
  results = (
    result_of(0, 0.1, 0.1),
    result_of(10, 0.77, 0.45),
    result_of(20, 0.89, 0.65),
  )
  found = record(results, trial=BOTH)
  assert found.seconds_to_accuracy_interpolated == pytest.approx(1.75)
  assert found.joules_to_accuracy_interpolated == pytest.approx(
    210 + 0.75 * 190
  )
  # A task that met its target before does not move the crossing.
  results = (*results[:1], result_of(10, 0.77, 0.7), result_of(20, 0.89, 0.65))
  found = record(results, trial=BOTH)
  assert found.seconds_to_accuracy_interpolated == pytest.approx(1.25)


def test_one_task_can_have_a_target_of_its_own() -> None:
  one = dataclasses.replace(TRIAL, tasks=("subject",), targets={"subject": 0.6})
  found = record(trial=one)
  assert (found.status, found.target_accuracy) == ("reached", 0.6)
  assert found.seconds_to_accuracy == 1.0
  assert found.curve[-1].accuracies == {}


CONFIRMED = dataclasses.replace(TRIAL, crossing="confirmed")
INTERPOLATED = dataclasses.replace(TRIAL, crossing="interpolated")
MORE = (window("train", 1.0, 90.0, 10.0), window("eval", 0.5, 30.0))


def test_a_confirmed_crossing_costs_what_its_first_look_did() -> None:
  first = record(trial=TRIAL)
  found = record((*RESULTS, result(30, 0.8)), WINDOWS + MORE, CONFIRMED)
  assert (found.status, found.looks_to_target) == ("reached", 2)
  assert first.looks_to_target == 2
  for name in (
    "seconds_to_accuracy",
    "joules_to_accuracy",
    "joules_to_accuracy_bound",
    "joules_to_accuracy_interpolated",
    "joules_to_accuracy_with_compile",
    "joules_to_accuracy_with_eval",
    "active_joules_to_accuracy",
  ):
    assert getattr(found, name) == getattr(first, name), name
  assert (found.train_joules, found.train_seconds) == (500.0, 3.0)


def test_an_interpolated_crossing_lies_before_the_confirmed_look() -> None:
  found = record((*RESULTS, result(30, 0.8)), WINDOWS + MORE, INTERPOLATED)
  assert found.status == "reached"
  assert found.joules_to_accuracy == pytest.approx(362.0)
  assert found.seconds_to_accuracy == pytest.approx(1.8)
  assert found.joules_to_accuracy == found.joules_to_accuracy_interpolated
  assert found.joules_to_accuracy_with_compile == pytest.approx(452.0)
  assert found.joules_to_accuracy_with_eval == pytest.approx(452.0)
  assert found.active_joules_to_accuracy == pytest.approx(362.0 - 60.0 * 1.8)
  assert found.joules_to_accuracy_bound == 7.0
  assert (found.looks_to_target, found.train_joules) == (2, 500.0)


def test_a_target_met_from_the_start_twice_costs_nothing() -> None:
  results = (result(0, 0.9), result(10, 0.85))
  for trial in (CONFIRMED, INTERPOLATED):
    found = record(results, WINDOWS[:6], trial)
    assert (found.status, found.joules_to_accuracy) == ("reached", 0.0)
    assert (found.looks_to_target, found.train_joules) == (0, 210.0)


@pytest.mark.parametrize(
  ("accuracies", "reached_at", "over"),
  [
    ((0.1, 0.85), None, False),  # the next look is to confirm it
    ((0.1, 0.85, 0.79), None, False),
    ((0.1, 0.85, 0.79, 0.8), None, False),
    ((0.1, 0.85, 0.79, 0.8, 0.8), 3, True),
    ((0.1, 0.85, 0.8), 1, True),
    ((0.8, 0.8), 0, True),
  ],
)
def test_one_lucky_look_is_no_crossing(
  accuracies: tuple[float, ...], reached_at: int | None, over: bool
) -> None:
  results = [result(10 * step, value) for step, value in enumerate(accuracies)]
  for trial in (CONFIRMED, INTERPOLATED):
    assert accounting.reaching(trial, results) == reached_at
    assert accounting.is_over(trial, results) == over
    expected = "missed" if reached_at is None else "reached"
    assert accounting.status_of(trial, results) == expected


def test_a_budget_that_ends_before_the_second_look_is_a_miss() -> None:
  found = record(trial=CONFIRMED)  # its last look meets the target
  assert (found.status, found.best_accuracy) == ("missed", 0.85)
  assert (found.joules_to_accuracy, found.looks_to_target) == (None, None)


def test_patience_waits_for_the_look_that_confirms() -> None:
  # The second task's best mean was before, yet both targets are met now.
  trial = dataclasses.replace(BOTH, crossing="confirmed", patience=1)
  results = (result_of(0, 0.99, 0.5), result_of(10, 0.8, 0.6))
  assert not accounting.is_over(trial, results)
  assert accounting.is_over(trial, (*results, result_of(20, 0.8, 0.5)))
  assert accounting.is_over(
    dataclasses.replace(trial, crossing="first", stop_at_target=False), results
  )


def test_a_diverged_trial_is_not_confirmed() -> None:
  results = (*RESULTS, result(30, 0.1, math.nan))
  assert accounting.is_over(CONFIRMED, results)
  assert accounting.status_of(CONFIRMED, results) == "diverged"


def test_the_test_set_is_told_with_its_standard_error() -> None:
  told = accounting.tested(0.8, {}, [400])
  assert told["test_accuracy"] == 0.8
  assert told["test_accuracy_standard_error"] == pytest.approx(0.02)
  assert told["test_accuracies"] == {}
  shares = {"label": 0.8, "subject": 0.5}
  told = accounting.tested(0.65, shares, [400, 100])
  assert told["test_accuracies"] == shares
  assert told["test_accuracy_standard_error"] == pytest.approx(0.035)
  assert accounting.tested(0.4, {}, [])["test_accuracy_standard_error"] is None


@given(p=st.floats(0, 1), n=st.integers(1, 10_000))
def test_the_standard_error_is_binomial(p: float, n: int) -> None:
  error = accounting.tested(p, {}, [n])["test_accuracy_standard_error"]
  assert error == pytest.approx(math.sqrt(p * (1 - p) / n))
  assert 0 <= error <= 0.5 / math.sqrt(n) + 1e-12


def test_joules_are_known_by_phase_and_domain_and_others_apart() -> None:
  idle = "GPU-91bc77e2-0d3f-4a55-b1c6-7e9a2f3d4c5b"
  apart = (Energy(idle, 40.0, 1.0, "counter"),)
  windows = [dataclasses.replace(w, apart=apart) for w in WINDOWS]
  found = record(windows=windows)
  by_domain = found.joules_by_phase_and_domain
  assert by_domain is not None and found.apart_joules_by_phase is not None
  for phase, joules in found.joules_by_phase.items():
    assert math.fsum(v or 0 for v in by_domain[phase].values()) == joules
  assert by_domain["idle"] == {GPU: 100.0, CPU: 20.0}
  evals = len(accounting.of_phase(windows, "eval"))
  assert found.apart_joules_by_phase["eval"] == {idle: 40.0 * evals}
  assert idle not in by_domain["eval"] | found.joules_by_domain


def test_a_trial_that_went_on_elsewhere_bills_each_board_its_own() -> None:
  other = "GPU-91bc77e2-0d3f-4a55-b1c6-7e9a2f3d4c5b"
  moved = tuple(
    dataclasses.replace(e, domain=other) if e.domain == GPU else e
    for e in WINDOWS[6].energies
  )
  later = dataclasses.replace(WINDOWS[6], energies=moved)
  found = record(windows=[*WINDOWS[:6], later, *WINDOWS[7:]])
  by_domain = found.joules_by_phase_and_domain
  assert by_domain is not None
  assert by_domain["train"] == {GPU: 200.0, CPU: 20.0, other: 180.0}


def test_a_window_that_knows_no_domain_makes_each_unknown() -> None:
  forked = dataclasses.replace(WINDOWS[4], energies=(), joules=None)
  found = record(windows=[*WINDOWS[:4], forked, *WINDOWS[5:]])
  by_domain = found.joules_by_phase_and_domain
  assert by_domain is not None
  assert by_domain["train"] == {GPU: None, CPU: None}
  assert by_domain["setup"] == {GPU: 50.0, CPU: 0.0}
  assert found.joules_by_domain == {GPU: None, CPU: None}


def test_windows_without_work_and_reasons_alike_are_not_told() -> None:
  def told(name: str, seconds: float, reason: str) -> Window:
    return Window(name, 0.0, seconds, 1.0, None, (), reasons=(reason,))

  windows = (
    *WINDOWS,
    told("compile", 1e-5, "too short for any sensor"),
    told("setup", 2.0, "the meter did not run for 2 s"),
    told("setup", 2.0, "the meter did not run for 3 s"),
  )
  assert record(windows=windows).reasons == ("the meter did not run for 2 s",)


def test_inference_is_told_for_each_example() -> None:
  one = Window("infer", 0.0, 1.0, 5.0, None, ())
  assert accounting.inferred([*WINDOWS, one, one], 50) == {
    "infer_examples": 50,
    "infer_joules_per_example": 0.2,
  }
  unknown = dataclasses.replace(one, joules=None)
  assert accounting.inferred([one, unknown], 50) == {
    "infer_examples": 50,
    "infer_joules_per_example": None,
  }
