"""The mean over runs of a command, its interval, and what is not known."""

import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit

from jaxpower.cli.main import main
from jaxpower.cli.measurement import Measurement, measurement
from jaxpower.cli.repeats import (
  Repeats,
  mean_of,
  repeats_document,
  repeats_table,
  t_quantile,
)
from jaxpower.power import Energy, Monitor, SimulatedSource
from jaxpower.power.clocks import Instant
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed

USAGE = SimpleNamespace(ru_utime=0.5, ru_stime=0.1)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 30, 99, 100, 999])
def test_quantiles_are_those_of_student(freedom):
  assert t_quantile(freedom) == pytest.approx(stdtrit(freedom, 0.975), 1e-9)


def test_mean_and_interval_by_hand():
  mean = mean_of([10.0, 12.0, 14.0])
  assert (mean.value, mean.deviation, mean.runs) == (12.0, 2.0, 3)
  assert mean.half_width == pytest.approx(4.302653 * 2 / math.sqrt(3), 1e-6)
  assert (mean.least, mean.most) == (10.0, 14.0)


def test_one_run_has_no_interval():
  mean = mean_of([5.0])
  assert (mean.value, mean.half_width, mean.deviation) == (5.0, None, None)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e9)), max_size=8))
def test_an_unknown_run_is_never_counted_as_zero(values):
  mean = mean_of(values, ["lost"] * len(values))
  if not values or None in values:
    assert mean.value is None and mean.half_width is None and mean.reason
  else:
    assert mean.value is not None
    assert min(values) * (1 - 1e-9) <= mean.value <= max(values) * (1 + 1e-9)


@pytest.fixture(scope="module")
def one() -> Measurement:
  sources = [SimulatedSource(100.0), SimulatedSource(20.0, name="cpu-0")]
  with Monitor(sources) as monitor:
    with monitor.window("command") as handle:
      time.sleep(0.1)
    window = handle.result()
    now = Instant(0.0, window.start_seconds)
    return measurement(["./train"], 0, now, window, monitor, USAGE)


def of_joules(one, joules, code=0):
  """A run that took so many joules, the second domain half of them."""
  energies = tuple(
    replace(energy, joules=value)
    for energy, value in zip(
      one.window.energies,
      (joules, joules and joules / 2),
      strict=True,
    )
  )
  total = joules and 1.5 * joules
  reasons = () if joules is not None else ("GPU: lost",)
  window = replace(one.window, energies=energies, joules=total, reasons=reasons)
  return replace(one, window=window, exit_code=code)


def test_each_domain_and_the_sum_have_a_mean(one):
  repeats = Repeats(3, tuple(of_joules(one, j) for j in (10.0, 12.0, 14.0)))
  report = json.loads(json.dumps(repeats_document(repeats)))
  assert report["joules"]["mean"] == 18.0 and report["runs_done"] == 3
  first, second = report["domains"]
  assert first["joules"]["mean"] == 12.0 and second["joules"]["mean"] == 6.0
  low, high = report["joules"]["low"], report["joules"]["high"]
  assert (low + high) / 2 == pytest.approx(18.0) and low < 15 and high > 21
  values = [run["joules"]["value"] for run in report["runs"]]
  assert values == [15.0, 18.0, 21.0]
  text = repeats_table(repeats)
  assert "3 runs of 3" in text and "mean of 3, 10.0 J to 14.0 J" in text
  assert "run 2" in text and "Student's t" in text


def test_a_run_that_failed_is_told_and_in_no_mean(one):
  runs = (of_joules(one, 10.0), of_joules(one, 12.0), of_joules(one, 1.0, 3))
  repeats = Repeats(5, runs)
  report = repeats_document(repeats)
  assert (report["repeat"], report["runs_done"]) == (5, 2)
  assert report["joules"]["mean"] == 16.5 and report["exit_code"] == 3
  text = repeats_table(repeats)
  assert "3 runs of 5" in text and "run 3: exit code 3" in text
  assert "mean of 2" in text


def test_a_mean_with_an_unknown_run_is_unknown_and_says_why(one):
  lost = of_joules(one, None)
  energies = (
    Energy(
      lost.window.energies[0].domain,
      None,
      None,
      "counter",
      reasons=("it is lost",),
    ),
    replace(lost.window.energies[1], joules=5.0),
  )
  lost = replace(lost, window=replace(lost.window, energies=energies))
  repeats = Repeats(2, (of_joules(one, 10.0), lost))
  report = repeats_document(repeats)
  assert report["joules"]["mean"] is None
  assert "unknown in 1 of 2 runs: GPU: lost" in report["joules"]["reason"]
  gpu, cpu = report["domains"]
  assert gpu["joules"]["mean"] is None
  assert gpu["joules"]["reason"] == "unknown in 1 of 2 runs: it is lost"
  assert cpu["joules"]["mean"] == 5.0
  assert "<unknown>" in repeats_table(repeats)


@pytest.fixture
def measure(monkeypatch, tmp_path, capsys):
  """Runs `measure` here, on a simulated GPU of 300 W; code, text, JSON."""
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")

  def run(*arguments):
    path = tmp_path / "energy.json"
    with installed(Gpu(power=300.0), Gpu(power=70.0, uuid=UUIDS[1])):
      code = main(["measure", f"--json={path}", *arguments])
    return code, capsys.readouterr().err, json.loads(path.read_text())

  return run


def test_a_command_is_repeated_and_idle_measured_once(measure, tmp_path):
  log = tmp_path / "log"
  code, text, report = measure(
    "--idle=0.3", "-r3", "--", "sh", "-c", f"echo x >> {log}; sleep 0.2"
  )
  assert code == 0 and log.read_text() == "x\n" * 3
  assert report["runs_done"] == 3 and len(report["runs"]) == 3
  seconds = report["seconds"]["mean"]
  assert report["joules"]["mean"] == pytest.approx(300 * seconds, rel=0.05)
  starts = [run["monotonic_origin_seconds"] for run in report["runs"]]
  assert starts == sorted(starts) and len(set(starts)) == 3
  idle = {run["domains"][0]["idle_watts"] for run in report["runs"]}
  assert len(idle) == 1 and idle.pop() == pytest.approx(300, rel=0.05)
  assert text.count("is idle (") == 1
  apart = [d for d in report["domains"] if not d["counted"]]
  assert [d["domain"] for d in apart] == [UUIDS[1]]


def test_a_failure_stops_the_repeats_and_is_passed_on(measure, tmp_path):
  script = f"test -e {tmp_path}/second && exit 4; touch {tmp_path}/second"
  code, text, report = measure("--idle=0", "-r5", "--", "sh", "-c", script)
  assert code == 4 and (len(report["runs"]), report["runs_done"]) == (2, 1)
  assert "run 2: exit code 4" in text and "2 runs of 5" in text


def test_a_first_run_that_fails_has_no_mean(measure):
  code, text, report = measure("--idle=0", "-r2", "--", "false")
  assert code == 1 and report["joules"]["mean"] is None
  assert report["joules"]["reason"] == "no run ended well"
  assert "mean of" not in text and "<unknown>" not in text


def test_an_interrupt_that_a_command_outlives_ends_the_repeats():
  script = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGINT, lambda *_: None)\n"
    "os.kill(os.getppid(), signal.SIGINT)\n"
    "time.sleep(0.3)\n"
  )
  # Apart from the threads of this process, which would take the signal.
  done = subprocess.run(
    [
      *(sys.executable, "-m", "jaxpower", "measure", "--meter=estimate"),
      *("-r9", "--idle=0", "--", sys.executable, "-c", script),
    ],
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 0 and "1 run of 9" in done.stderr


def test_a_wrong_number_of_repeats_is_one_line(capsys):
  for number in ("0", "-1", "x", "99999999"):
    with pytest.raises(SystemExit) as ended:
      main(["measure", "-r", number, "--", "true"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "--repeat" in told and told.count("\n") == 1
