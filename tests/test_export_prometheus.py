"""Prometheus' text: units in names, no sample for what is unknown."""

import pytest

from jaxpower.export.prometheus import Device, text

KNOWN = Device(
  name="GPU-1",
  description='H200 "left"\\',
  estimated=False,
  counted=True,
  watts=412.5,
  joules=41_800.0,
  unknown_seconds=0.0,
)
UNKNOWN = Device(
  name="cpu",
  description="CPU",
  estimated=True,
  counted=False,
  watts=None,
  joules=None,
  unknown_seconds=3.0,
)


def test_metrics_have_units_and_kinds():
  lines = text([KNOWN]).splitlines()
  assert "# TYPE jaxpower_power_watts gauge" in lines
  assert "# TYPE jaxpower_energy_joules_total counter" in lines
  labels = (
    'device="GPU-1",description="H200 \\"left\\"\\\\",source="measured",'
    'of_this_job="true"'
  )
  assert f"jaxpower_power_watts{{{labels}}} 412.5" in lines
  assert f"jaxpower_energy_joules_total{{{labels}}} 41800.0" in lines


def test_unknown_has_no_sample_but_its_seconds():
  samples = [line for line in text([UNKNOWN]).splitlines() if line[0] != "#"]
  (line,) = samples
  assert line.startswith("jaxpower_energy_unknown_seconds_total{")
  assert 'source="estimated"' in line and line.endswith(" 3.0")


def test_prometheus_own_parser_reads_it():
  parser = pytest.importorskip("prometheus_client.parser")
  families = parser.text_string_to_metric_families(text([KNOWN, UNKNOWN]))
  found = {
    (sample.name, sample.labels["device"]): sample
    for family in families
    for sample in family.samples
  }
  assert found["jaxpower_power_watts", "GPU-1"].value == 412.5
  known = found["jaxpower_energy_joules_total", "GPU-1"]
  assert known.labels["description"] == KNOWN.description
  assert ("jaxpower_power_watts", "cpu") not in found
