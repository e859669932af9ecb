"""Whether joules are CPU time by another name, and by which watts."""

import pytest
from report_records import GPU, meter, modelled, record, seeds

from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.cpu_time import (
  covers_server,
  is_cpu_time,
  only_cpu_time,
  watts,
)

MODEL = "cpu-estimate"


def both(*facts):
  """Describes a monitor of the domains of several."""
  return {"domains": [d for each in facts for d in each["domains"]]}


@pytest.mark.parametrize(
  ("described", "expected"),
  [
    (modelled(), True),
    (meter(MODEL, "cpu"), False),
    (meter(GPU, "gpu"), False),
    (both(modelled(), meter(GPU, "gpu")), False),
    # A replayed GPU is modelled, but not from CPU time.
    (meter(GPU, "gpu", estimated=True), False),
    ({}, False),
  ],
)
def test_all_domains_of_the_job_decide(described, expected):
  trial = record(64, meter=described)
  assert is_cpu_time([trial]) is expected


def test_gpus_of_others_and_trials_without_a_meter_do_not():
  apart = meter(GPU, "gpu")
  apart["domains"][0]["counted"] = False
  trial = record(64, meter=both(modelled(), apart))
  assert is_cpu_time([trial, record(64, 1, status="failed")])
  assert not is_cpu_time([])


def test_the_watts_are_listed_once():
  trials = [
    record(64, 0, meter=modelled()),
    record(64, 1, meter=modelled()),
    record(64, 2, meter=modelled(0.456, 1.501)),
    record(64, 3, meter=meter(MODEL, "cpu", estimated=True)),
  ]
  assert watts(trials) == ((1.0, 4.0), (0.456, 1.501))


def test_fits_of_a_server_hold_its_power_supply():
  whole = modelled()
  whole["domains"][0]["assumptions"]["covers"] = "the whole server"
  assert covers_server([record(64, meter=whole)])
  assert not covers_server([record(64, meter=modelled())])
  assert not covers_server([record(64, meter=both(whole, meter(GPU, "gpu")))])
  assert not covers_server([])


def test_a_comparison_is_of_its_trials():
  facts = {"meter": modelled(), "estimated": True}
  (comparison,) = compare(seeds(64, 2.0, 3.0, **facts))
  assert only_cpu_time(comparison)
  (measured,) = compare(seeds(64, 2.0, 3.0))
  assert not only_cpu_time(measured)
