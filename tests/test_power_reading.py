"""The values every source speaks in."""

import pickle

from jaxpower.power import MeterError, Problem
from jaxpower.power.reading import record_line


def test_people_read_a_problem_with_its_fix_and_records_hold_one_line():
  problem = Problem("no counter", "modprobe")
  assert str(problem) == "no counter; fix: modprobe"
  assert record_line(problem) == "no counter; mend: modprobe"
  assert str(Problem("it is lost")) == record_line(Problem("it is lost"))


def test_an_error_carries_its_problem_between_processes_too():
  error = pickle.loads(pickle.dumps(MeterError("no counter", "modprobe")))
  assert error.problem == Problem("no counter", "modprobe")
  assert str(error) == "no counter; fix: modprobe"
  assert MeterError("no GPU").problem.fix == ""
