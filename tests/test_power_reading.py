"""The values every source speaks in."""

import pickle

from jaxpower.power import MeterError, Problem
from jaxpower.power.reading import record_line


def test_records_hold_a_problem_as_one_line():
  assert record_line(Problem("no counter", "modprobe")) == (
    "no counter; mend: modprobe"
  )
  assert record_line(Problem("the GPU is lost")) == "the GPU is lost"


def test_an_error_carries_its_problem_between_processes_too():
  error = pickle.loads(pickle.dumps(MeterError("no counter", "modprobe")))
  assert error.problem == Problem("no counter", "modprobe")
  assert MeterError("no GPU").problem.fix == ""
