"""What `measure` says, as JSON and as a table, where something is unknown."""

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from jaxpower.cli.measurement import Measurement, document, measurement
from jaxpower.cli.table import table
from jaxpower.power import Fault, Load, Monitor, SimulatedSource
from jaxpower.power.clocks import Instant

USAGE = SimpleNamespace(ru_utime=0.5, ru_stime=0.1)


def measured(sources, status=0) -> Measurement:
  with Monitor(sources) as monitor:
    with monitor.window("command") as handle:
      time.sleep(0.1)
    window = handle.result()
    started = Instant(0.0, window.start_seconds)
    return measurement(["train.py"], status, started, window, monitor, USAGE)


def test_unknown_is_null_with_a_reason_and_never_zero():
  command = measured([SimulatedSource(100.0, faults=[Fault("lost", 0.05)])])
  report = document(command)
  assert json.loads(json.dumps(report))["joules"]["value"] is None
  assert "the GPU is lost" in report["joules"]["reason"]
  assert report["partial"] is True
  row = report["domains"][0]
  assert row["joules"]["value"] is None and row["mean_watts"] is None
  text = table(command)
  assert "<unknown>" in text and "the GPU is lost" in text
  assert " 0 J" not in text


def test_known_values_have_low_and_high_and_add_up():
  command = measured(
    [SimulatedSource(100.0), SimulatedSource(20.0, name="cpu-0", kind="cpu")]
  )
  report = document(command)
  total = report["joules"]
  assert total["low"] <= total["value"] <= total["high"]
  parts = [row["joules"]["value"] for row in report["domains"]]
  assert total["value"] == pytest.approx(sum(parts))
  assert "all of the above" in table(command)
  assert report["boundary"] == [row["domain"] for row in report["domains"]]


def test_a_signal_is_told_as_one():
  command = measured([SimulatedSource(1.0)], status=9)
  report = document(command)
  assert (report["exit_code"], report["signal"]) == (None, 9)
  assert "ended by signal 9" in table(command)


def test_a_busy_machine_is_told():
  quiet = measured([SimulatedSource(1.0)])
  busy = replace(quiet.window, load=Load(64.0, 0.0))
  usage = SimpleNamespace(ru_utime=0.5, ru_stime=0.1)
  with Monitor([SimulatedSource(1.0)]) as monitor:
    now = Instant(0.0, 0.0)
    command = measurement(["train.py"], 0, now, busy, monitor, usage)
  assert document(command)["other_load_cores"] == 64.0
  assert "other work kept" in document(command)["warnings"][-1]
  assert "fix: run on a quiet machine" in table(command)


def test_the_times_are_utc_and_si():
  command = measured([SimulatedSource(1.0)])
  report = document(command)
  assert report["started_utc"] == "1970-01-01T00:00:00.000Z"
  assert report["ended_utc"].startswith("1970-01-01T00:00:00.1")
  assert report["monotonic_origin_seconds"] == command.window.start_seconds
  assert report["cpu_seconds"] == pytest.approx(0.6)
