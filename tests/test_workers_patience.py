import pytest

from jaxpower.workers.patience import START, Limits, Patience

LIMITS = Limits(silent=3.0, start=4.0, compile=5.0, phase=6.0)


class Clock:
  """A clock that is moved by hand."""

  def __init__(self) -> None:
    self.now = 100.0

  def __call__(self) -> float:
    return self.now


def waited(patience: Patience, clock: Clock, seconds: float) -> str:
  """What is said after waiting, looking twice a second."""
  for _ in range(round(2 * seconds)):
    clock.now += 0.5
    if reason := patience.exhausted():
      return reason
  return ""


def test_silence_has_an_end() -> None:
  clock = Clock()
  patience = Patience(LIMITS, "train", clock)
  assert waited(patience, clock, 3.0) == ""
  patience.hears()
  assert waited(patience, clock, 3.0) == ""
  assert waited(patience, clock, 0.5) == (
    "hung in train: no sign of life for 3 s (patience_seconds)"
  )


@pytest.mark.parametrize(
  ("phase", "seconds", "field"),
  [
    (START, 4, "start_seconds"),
    ("compile", 5, "compile_seconds"),
    ("train", 6, "phase_seconds"),
  ],
)
def test_signs_of_life_do_not_make_a_phase_longer(
  phase: str, seconds: int, field: str
) -> None:
  clock = Clock()
  patience = Patience(LIMITS, "prepare", clock)
  waited(patience, clock, 2.0)
  patience.hears(phase)
  for _ in range(seconds):
    assert waited(patience, clock, 1.0) == ""
    patience.hears()
  assert waited(patience, clock, 0.5) == (
    f"hung in {phase}: not over after {seconds} s ({field})"
  )


def test_a_stop_of_both_processes_is_no_waiting() -> None:
  clock = Clock()
  patience = Patience(LIMITS, "compile", clock)
  clock.now += 3_600.0  # Ctrl-Z and fg, or a machine that slept
  assert patience.exhausted() == ""
  assert waited(patience, clock, 2.0) == ""


def test_no_limit_is_none() -> None:
  clock = Clock()
  none = Limits(silent=0.0, start=0.0, compile=0.0, phase=0.0)
  patience = Patience(none, "train", clock)
  assert waited(patience, clock, 500.0) == ""


def test_a_worker_that_is_starting_cannot_be_silent() -> None:
  clock = Clock()
  patience = Patience(LIMITS, START, clock)
  assert waited(patience, clock, 4.0) == ""
  assert "start_seconds" in waited(patience, clock, 1.0)
