"""How many cores others kept busy in a window, and the warning of it."""

import pytest

from jaxpower.power import Load, Monitor, SimulatedSource, Window
from jaxpower.power.load import LoadLog, load_warnings, mean_load


class Told:
  """A clock of CPU time that says what it is told."""

  def __init__(self, *values):
    self.values = list(values)

  def read(self):
    return self.values.pop(0)


def log(*readings):
  """A log of (instant, busy, stolen, own) readings; later ones are unknown."""
  made = LoadLog(Told(), Told(*[None] * 9))  # type: ignore[arg-type]
  made._instants = [instant for instant, *_ in readings]
  made._spent = [tuple(spent) for _, *spent in readings]  # type: ignore[misc]
  return made


def both(load):
  return load.other_cores, load.steal_cores


def window(seconds, load):
  return Window("train", 0.0, seconds, 1.0, None, (), load=load)


def test_others_are_what_the_cores_did_and_we_did_not():
  read = log((0.0, 100.0, 5.0, 10.0), (10.0, 115.0, 6.0, 18.0))
  assert read.between(0.0, 10.0) == Load(0.7, 0.1)
  assert both(read.between(2.0, 4.0)) == pytest.approx((0.7, 0.1))


def test_a_window_over_several_readings_is_interpolated_at_its_edges():
  read = log(
    (0.0, 0.0, 0.0, 0.0),
    (1.0, 1.0, 0.0, 1.0),  # we alone
    (2.0, 3.0, 0.0, 2.0),  # and another
    (3.0, 4.0, 0.0, 2.0),  # the other alone
  )
  found = read.between(0.5, 2.5)
  assert found is not None
  assert found.other_cores == pytest.approx((0 + 1 + 0.5) / 2)


def test_ticks_coarser_than_our_clock_are_not_less_than_nothing():
  read = log((0.0, 1.0, 0.0, 0.0), (1.0, 1.9, 0.0, 1.0))
  assert read.between(0.0, 1.0) == Load(0.0, 0.0)


def test_what_was_not_read_is_unknown():
  read = log((1.0, 0.0, 0.0, 0.0), (2.0, 1.0, 0.0, 1.0))
  assert read.between(0.5, 1.5) is None
  assert read.between(1.5, 2.5) is None
  assert read.between(1.5, 1.5) is None
  assert log().between(0.0, 1.0) is None


def test_the_end_of_a_window_is_read_when_it_is_asked_for():
  own, machine = Told(0.0, 0.0), Told((1.0, 0.0), (2.0, 0.0))
  read = LoadLog(own, machine)  # type: ignore[arg-type]
  read.update()
  (start,) = read._instants
  found = read.between(start, start + 1e-9)
  assert found is not None and found.other_cores > 0
  assert len(read._instants) == 2


def test_what_no_window_needs_is_forgotten_and_the_rest_is_right():
  readings = [(float(i), 2.0 * i, 0.1 * i, 1.0 * i) for i in range(9)]
  whole, short = log(*readings), log(*readings)
  short.drop_before(5.5)
  assert short._instants == [5.0, 6.0, 7.0, 8.0] and len(short._spent) == 4
  assert short.between(5.5, 7.5) == whole.between(5.5, 7.5)
  assert short.between(4.0, 7.0) is None


def test_a_phase_is_the_mean_of_its_windows_by_their_seconds():
  windows = [window(1.0, Load(1.0, 0.4)), window(3.0, Load(0.2, 0.0))]
  assert both(mean_load(windows)) == pytest.approx((0.4, 0.1))
  assert mean_load([*windows, window(1.0, None)]) is None
  assert mean_load([]) is None


def test_a_shared_machine_is_warned_of():
  assert load_warnings(None, 2) == ()
  assert load_warnings(Load(0.2, 0.2), 2) == ()
  (warning,) = load_warnings(Load(0.93, 0.0), 2)
  assert "about 50 % of the 2 cores" in warning.reason
  assert warning.fix == "run on a quiet machine"
  (stolen,) = load_warnings(Load(0.0, 0.3), 2)
  assert "the hypervisor took away" in stolen.reason
  # On 64 cores half of one does not matter.
  assert load_warnings(Load(0.5, 0.0), 64) == ()


def test_every_window_of_a_monitor_has_its_load():
  with Monitor([SimulatedSource(100.0)]) as monitor:
    with monitor.window("train"):
      pass
    with monitor.window("eval"):
      sum(range(100_000))
  for measured in monitor.windows():
    assert measured.load is None or measured.load.other_cores >= 0


def test_a_load_that_fails_is_a_warning_and_no_error():
  with Monitor([SimulatedSource(100.0)]) as monitor:

    def fail():
      raise RuntimeError("no such clock")

    monitor._load_log.update = fail  # type: ignore[method-assign]
    monitor._update_load()
    assert any("no such clock" in line for line in monitor.warnings)
