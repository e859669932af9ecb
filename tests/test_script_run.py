"""Commands under the meter: real processes, their windows and their ends."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from jaxpower import records, trial
from jaxpower.attempts import read
from jaxpower.config import Trial, trial_id
from jaxpower.messages import Progress, Task, TrialError
from jaxpower.power import Monitor, SimulatedSource
from jaxpower.records import TrialRecord
from jaxpower.script import process, template, watch
from jaxpower.script import run as script_run

ROOT = pathlib.Path(__file__).parent.parent
WATTS = 100.0
BEGIN = """
import os, signal, subprocess, sys, time
from jaxpower import attach
run = attach()
def train(report, accuracies, **more):
  for n, accuracy in enumerate(accuracies, 1):
    time.sleep(0.03)
    with run.phase("eval"):
      time.sleep(0.02)
    if run.report(accuracy=accuracy, examples=100 * n, **more) and report:
      return print("told", n)
"""
BASE = Trial(
  framework="command",
  target_accuracy=0.7,
  budget_examples=1000,
  evaluate_every_examples=100,
  idle_seconds=0.02,
  crossing="first",
)
Run = Callable[..., TrialRecord]


@pytest.fixture
def run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Run:
  """Runs a script under a meter that reads 100 W all the time."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("PYTHONPATH", str(ROOT))

  def run(
    code: str,
    stop: Callable[[], bool] = lambda: False,
    timeout_seconds: float = 0.0,
    tell: Callable[[Progress], None] = lambda progress: None,
    **fields: Any,
  ) -> TrialRecord:
    (tmp_path / "train.py").write_text(code)
    fields = {"command": f"{sys.executable} train.py {{seed}}"} | fields
    config = dataclasses.replace(BASE, **fields)
    config.command_files = template.checksums(config, tmp_path)
    task = Task(
      config, {}, str(tmp_path / "out"), timeout_seconds=timeout_seconds
    )
    with Monitor([SimulatedSource(WATTS)]) as monitor:
      return script_run.run(
        task, monitor=monitor, provenance={"cpu": "x"}, tell=tell, stop=stop
      )

  return run


def output(tmp_path: pathlib.Path) -> str:
  (path,) = (tmp_path / "out" / "commands").glob("*/output.txt")
  return path.read_text()


def left_over() -> list[psutil.Process]:
  """The processes that a trial left; not the helper that Python keeps."""
  children = psutil.Process().children(recursive=True)
  return [
    c for c in children if "resource_tracker" not in " ".join(c.cmdline())
  ]


def test_phases_are_cut_at_the_instants_of_the_script(
  run: Run, tmp_path: pathlib.Path
) -> None:
  said: list[Progress] = []
  record = run(
    BEGIN + "train(True, [0.1, 0.5, 0.8, 0.9], loss=0.5)\ntime.sleep(0.05)",
    tell=said.append,
  )
  assert record.status == "reached", record
  assert [look.accuracy for look in record.curve] == [0.1, 0.5, 0.8]
  assert record.examples == 300
  assert record.looks_to_target == 3
  seconds = record.seconds_by_phase
  assert list(seconds) == ["idle", "setup", "train", "eval", "other"]
  # Three times what it slept, and what a busy machine adds.
  assert 0.09 <= seconds["train"] < 0.5
  assert 0.06 <= seconds["eval"] < 0.5
  assert seconds["other"] >= 0.05
  for phase, spent in seconds.items():
    assert record.joules_by_phase[phase] == pytest.approx(WATTS * spent)
  assert record.joules_to_accuracy == pytest.approx(WATTS * seconds["train"])
  assert record.joules_to_accuracy_with_eval == pytest.approx(
    WATTS * (seconds["train"] + seconds["eval"])
  )
  # The phases are the whole time, without gap or overlap.
  (path,) = (tmp_path / "out" / "timelines").glob("*.windows.parquet")
  _, *windows = pq.read_table(path).to_pylist()  # but for the idle one
  ends = [w["start_seconds"] + w["seconds"] for w in windows]
  starts = [w["start_seconds"] for w in windows]
  assert ends[:-1] == pytest.approx(starts[1:], abs=1e-9)
  assert not record.partial
  assert "told 3" in output(tmp_path)
  told = [p for p in said if p.accuracy]
  assert [p.accuracy for p in told] == [0.1, 0.5, 0.8]
  for progress in told:  # so that the live line has watts
    assert progress.seconds and progress.joules
    assert progress.joules / progress.seconds == pytest.approx(WATTS)
  assert told[-1].seconds == pytest.approx(record.train_seconds)
  assert record.provenance["versions"]["python"]
  assert records.from_json(records.to_json(record)).curve == record.curve


@pytest.mark.parametrize(
  ("code", "reason"),
  [
    ("print('well'); raise SystemExit('no such data')", "exit code 1: no such"),
    ("open('data.npz')", "name its files in the command"),
    ("os.kill(os.getpid(), signal.SIGSEGV)", "signal 11 (SIGSEGV)"),
    ("print('done')", "ended without a report"),
    ("train(True, [91.0])\ntime.sleep(60)", "divide percents by 100"),
    ("train(True, [float('nan')])", "an accuracy of nan"),
    ("time.sleep(60)", "not over after 0.5 s (timeout_seconds)"),
    (
      "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
      "not over after 0.5 s (timeout_seconds)",
    ),
  ],
)
def test_a_command_that_makes_no_record_says_why(
  code: str, reason: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(watch, "GRACE_SECONDS", 0.1)
  timeout = 0.5 if "timeout" in reason else 0.0
  with pytest.raises(TrialError) as failed:
    run(BEGIN + code, timeout_seconds=timeout)
  assert reason in str(failed.value)
  assert "\n" not in str(failed.value)


def test_a_program_that_is_none_is_told(run: Run) -> None:
  with pytest.raises(TrialError, match="cannot be started: Permission denied"):
    run("", command="./train.py {seed}")


def test_output_is_searched_and_the_command_ended_gently(
  run: Run, tmp_path: pathlib.Path
) -> None:
  record = run(
    "import signal, subprocess, sys, time\n"
    "def leave(*_): print('leaving'); sys.exit(5)\n"
    "signal.signal(signal.SIGTERM, leave)\n"
    "subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
    "for a in (0.5, 0.75, 0.9, 0.95):\n"
    "  time.sleep(0.03); print('loss 0.1'); print(f'accuracy {a}')\n"
    "time.sleep(60)",
    metrics=(r"accuracy (?P<accuracy>\S+)", r"loss (?P<loss>\S+)"),
  )
  assert record.status == "reached"
  assert record.curve[1].accuracy == 0.75
  assert record.curve[1].loss == 0.1
  assert record.examples is None
  assert record.curve[0].steps is None
  assert record.joules_to_accuracy == pytest.approx(
    WATTS * (record.seconds_to_accuracy or 0)
  )
  assert any("count as training" in line for line in record.warnings)
  assert any("reports no examples" in line for line in record.warnings)
  assert "leaving" in output(tmp_path)
  assert left_over() == []


def test_a_file_of_metrics_is_read_with_its_own_instants(run: Run) -> None:
  record = run(
    "import json, time\n"
    "def say(**facts):\n"
    "  with open('log.jsonl', 'a') as f: f.write(json.dumps(facts) + '\\n')\n"
    "say(phase='train', monotonic=time.monotonic())\n"
    "for n, a in enumerate((0.5, 0.8)):\n"
    "  time.sleep(0.1); say(accuracy=a, examples=n, loss=.1,"
    " monotonic=time.monotonic())\n"
    "time.sleep(0.2)",
    metrics_file="log.jsonl",
    stop_at_target=False,
  )
  assert record.status == "reached"
  first, second = record.curve
  assert second.train_seconds - first.train_seconds == pytest.approx(
    0.1, abs=0.05
  )


def test_a_script_that_does_not_listen_is_ended(run: Run) -> None:
  record = run(BEGIN + "train(False, [0.8] * 1000)")
  assert record.status == "reached"
  assert record.provenance["command_exit"] == "signal 15 (SIGTERM)"
  assert record.seconds_by_phase["other"] < 5


def test_a_crash_after_training_is_a_warning(run: Run) -> None:
  record = run(BEGIN + "train(True, [0.8])\nraise SystemExit(3)")
  assert record.status == "reached"
  assert any("ended with exit code 3" in line for line in record.warnings)


@pytest.mark.parametrize(
  ("accuracies", "more", "fields", "status"),
  [
    ("[0.1] * 20", "", {}, "missed"),  # the budget of 1000 examples
    ("[0.1] * 20", "", {"patience": 2}, "missed"),
    ("[0.1] * 3", "", {}, "missed"),  # ends by itself
    ("[0.1] * 20", ", loss=float('inf')", {}, "diverged"),
    ("[0.8, 0.1, 0.8, 0.8]", "", {"crossing": "confirmed"}, "reached"),
  ],
)
def test_the_rules_are_those_of_every_trial(
  accuracies: str, more: str, fields: dict[str, Any], status: str, run: Run
) -> None:
  record = run(BEGIN + f"train(True, {accuracies}{more})", **fields)
  assert record.status == status
  looks = {"[0.1] * 3": 3, "[0.8, 0.1, 0.8, 0.8]": 4}.get(accuracies, 10)
  looks = 3 if "patience" in fields else 1 if more else looks
  assert len(record.curve) == looks


def test_processes_of_one_training_are_told_the_same(
  run: Run, tmp_path: pathlib.Path
) -> None:
  record = run(
    "import os, subprocess, sys\n"
    "rank = int(os.environ.setdefault('RANK', '0'))\n"
    "other = None if rank else subprocess.Popen([sys.executable, __file__],"
    " env={**os.environ, 'RANK': '1'})\n"
    + BEGIN
    + "train(True, [0.1, 0.2, 0.8, 0.9] if rank == 0 else [0.9] * 9)\n"
    "if other: other.wait()"
  )
  assert [look.accuracy for look in record.curve] == [0.1, 0.2, 0.8]
  assert output(tmp_path).count("told 3") == 2


def test_a_stop_ends_the_command_without_a_record(
  run: Run, tmp_path: pathlib.Path
) -> None:
  asked = threading.Event()
  threading.Timer(0.4, asked.set).start()
  with pytest.raises(trial.Stopped):
    run(BEGIN + "time.sleep(60)", stop=asked.is_set)
  (attempt,) = read(tmp_path / "out")
  assert attempt.ended == "interrupted"
  assert left_over() == []


def test_an_edited_script_is_not_run_as_the_old_one(
  run: Run, tmp_path: pathlib.Path
) -> None:
  config = dataclasses.replace(
    BASE,
    command=f"{sys.executable} train.py",
    command_files={"train.py": "0" * 64},
  )
  (tmp_path / "train.py").write_text("print(1)")
  task = Task(config, {}, str(tmp_path))
  with (
    Monitor([SimulatedSource(WATTS)]) as monitor,
    pytest.raises(TrialError, match=r"train\.py has changed since"),
  ):
    script_run.run(
      task,
      monitor=monitor,
      provenance={},
      tell=lambda progress: None,
      stop=lambda: False,
    )


def test_variables_are_those_of_the_sweep() -> None:
  given = {"PYTHONPATH": "mine", "PYTHONSAFEPATH": None}
  variables = {
    "PYTHONPATH": "ours",
    "PYTHONSAFEPATH": "1",
    "HOME": "/x",
    script_run.GIVEN: json.dumps(given),
  }
  assert script_run.child_environment(variables) == {
    "PYTHONPATH": "mine",
    "HOME": "/x",
    "PYTHONUNBUFFERED": "1",
    "PATH": template.search_path({}),
  }


def test_nothing_is_left_of_a_command_whose_worker_is_killed(
  tmp_path: pathlib.Path,
) -> None:
  code = (
    "import os, pathlib, sys\n"
    "from jaxpower.script.process import Process, Spawned\n"
    "line = 'sleep 61 & setsid sleep 61 & echo $$ > pid; wait'\n"
    f"folder = pathlib.Path({str(tmp_path)!r})\n"
    "with Process(['sh', '-c', line], folder, os.environ, hear_lines=False)"
    " as p:\n"
    "  while True: list(p.hear(1))\n"
  )
  worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
  try:
    until(lambda: (tmp_path / "pid").exists())
    until(lambda: len(sleeping(worker.pid)) == 2)
    left = [psutil.Process(worker.pid), *sleeping(worker.pid)]
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    until(lambda: not any(p.is_running() for p in left))
  finally:
    worker.kill()
    worker.wait()


def sleeping(pid: int) -> list[psutil.Process]:
  children = psutil.Process(pid).children(recursive=True)
  return [child for child in children if "sleep" in child.name()]


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
  deadline = time.monotonic() + seconds
  while not true():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def test_the_id_is_in_the_folder(run: Run, tmp_path: pathlib.Path) -> None:
  record = run(BEGIN + "train(True, [0.9])")
  folder = tmp_path / "out" / "commands" / record.trial_id
  assert (folder / "output.txt").is_file()
  assert record.config["command_files"]["train.py"]
  assert trial_id(BASE) != record.trial_id


def test_a_command_ignores_no_signal_that_a_worker_ignores(
  tmp_path: pathlib.Path,
) -> None:
  (control, ours), (theirs, status) = os.pipe(), os.pipe()
  code = (
    "import os, sys\n"
    "from jaxpower.workers import lifeline\n"
    "lifeline.shield()\n"
    "os.execv(sys.executable, [sys.executable, '-I', '-S', *sys.argv[1:]])\n"
  )
  pipes = (str(control), str(status), str(tmp_path / "socket"))
  command = ("grep", "SigIgn", "/proc/self/status")
  done = subprocess.run(
    [sys.executable, "-c", code, str(process.GUARD), *pipes, *command],
    pass_fds=(control, status),
    capture_output=True,
    text=True,
  )
  for descriptor in (control, ours, theirs, status):
    os.close(descriptor)
  _, mask = done.stdout.split()
  # Bit n - 1 is signal n; 32 and 33 are the C library's own.
  assert int(mask, 16) & 0x7FFFFFFF == 0, mask
