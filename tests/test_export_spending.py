"""What trials spent, by part: an unknown part is never left out of a sum."""

import committed
import pytest
from report_records import GPU, modelled, record

from jaxpower.export import spending


def test_parts_add_up_to_the_whole():
  for trial in committed.records("batch"):
    by_kind = spending.kwh_by_kind(trial)
    assert list(by_kind) == ["cpu"]
    assert by_kind["cpu"] == pytest.approx(spending.kwh(trial), rel=1e-9)
    assert spending.seconds(trial) == sum(trial.seconds_by_phase.values())


def test_unknown_is_none():
  unknown = record(64, joules=None, joules_by_phase={}, seconds_by_phase={})
  assert spending.kwh(unknown) is None
  assert spending.seconds(unknown) is None
  partly = record(64, joules_by_phase={"train": 200.0, "eval": None})
  assert spending.kwh(partly) is None


def test_one_unknown_domain_makes_its_kind_unknown():
  domains = {GPU: 3.6e6, "GPU-2": None, "cpu-estimate": 7.2e6}
  meter = {
    "domains": [
      {"domain": GPU, "kind": "gpu", "method": "counter"},
      {"domain": "GPU-2", "kind": "gpu", "method": "power"},
      *modelled()["domains"],
    ]
  }
  trial = record(64, joules_by_domain=domains, meter=meter)
  assert spending.kwh_by_kind(trial) == {"gpu": None, "cpu": 2.0}
  assert spending.methods([trial]) == {
    "gpu": "counter or power",
    "cpu": "unknown method, estimated",
  }
