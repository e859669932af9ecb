"""What `measure` says, as JSON and as a table, where something is unknown."""

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from jaxpower.cli import measure
from jaxpower.cli.measurement import Measurement, document, measurement
from jaxpower.cli.table import broken, elapsed, table
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
  across = total["across_boards"]
  assert across["low"] == pytest.approx(0.95 * total["low"], rel=0.01)
  assert across["high"] == pytest.approx(1.05 * total["high"], rel=0.01)
  assert "against another board or machine" in table(command)
  parts = [row["joules"]["value"] for row in report["domains"]]
  assert total["value"] == pytest.approx(sum(parts))
  assert "all of the above" in table(command)
  assert report["boundary"] == [row["domain"] for row in report["domains"]]


def test_eight_boards_have_a_sum_of_idle_and_a_short_boundary():
  boards = [SimulatedSource(100.0, name=f"GPU-{n}") for n in range(8)]
  command = measured(boards)
  indexed = {
    name: replace(domain, description=f"NVIDIA H100, index {name[-1]}, PCI 0")
    for name, domain in command.domains.items()
  }
  idle = dict.fromkeys(indexed, 10.0)
  lines = table(replace(command, domains=indexed, idle_watts=idle)).splitlines()
  assert lines[2] == " boundary: 8 GPU boards (energy counter)"
  told = [line.split(maxsplit=2)[2] for line in lines if " is idle" in line]
  assert told[3] == "of GPU-3, index 3, is idle (10.0 W before it began)"
  assert told[8] == "of all of the above is idle (80.0 W before it began)"
  without = table(replace(command, idle_watts={"GPU-0": 10.0}))
  assert "of all of the above is idle" not in without, "some are unknown"


def test_lines_of_a_terminal_are_broken_between_words():
  boards = [SimulatedSource(100.0, name=f"GPU-{n}") for n in range(2)]
  text = table(replace(measured(boards), idle_watts={"GPU-0": 10.0}))
  narrow = broken(text, 60)
  assert narrow.split() == text.split()
  assert all(len(line) <= 60 for line in narrow.splitlines())
  assert broken(text, 500) == text


def test_a_short_command_took_no_zero_seconds():
  assert elapsed(0.0021) == "2.10 ms"
  assert elapsed(101.5) == "101.50 s"


def test_the_idle_power_of_a_model_takes_no_time():
  with Monitor("estimate") as monitor:
    began = time.monotonic()
    measure._measure_idle(monitor, 60.0)
    assert time.monotonic() - began < 5.0
    assumed = monitor.describe()["domains"][0]["assumptions"]
    watts = assumed["idle_watts_per_core"] * assumed["cores"]
    assert monitor.idle_watts == {"cpu-estimate": pytest.approx(watts)}
  with Monitor([SimulatedSource(100.0)]) as monitor:
    measure._measure_idle(monitor, 0.3)
    (watts,) = monitor.idle_watts.values()
    assert watts == pytest.approx(100.0, rel=0.1), "a sensor is read"


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
