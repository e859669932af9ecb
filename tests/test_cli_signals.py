"""Runs of `run.py` that are told to end, or cannot show anything."""

import contextlib
import os
import pathlib
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1

import pytest

from jaxpower.cli.signals import EndedAtOnceError, Signals
from jaxpower.folder import record_files

ROOT = pathlib.Path(__file__).parent.parent
# scripts/run.py with workers that take no time and need no framework.
# It hears signals, also where the tests run under nohup.
HEARD = [int(number) for number in (SIGINT, SIGTERM, SIGHUP, SIGUSR1)]
RUN = (
  "import signal, sys;"
  f"[signal.signal(number, signal.SIG_DFL) for number in {HEARD}];"
  "from jaxpower import report; from jaxpower.workers import worker;"
  "from jaxpower.report.findings import Report;"
  "from jaxpower.report.compare.comparison import Compared;"
  "from tests import quick_worker;"
  "worker.COMMAND = quick_worker.COMMAND;"
  "from jaxpower.cli import crash, run;"
  "run.report.write = lambda *_, **__: Report(Compared((), (), ()), ());"
  "run.report.show = lambda *_: print('the report');"
  "sys.exit(crash.guard('run', run.main, sys.argv, ''))"
)
CONFIG = (
  "from jaxpower import Sweep\ndef get_config(_): return Sweep(seeds=2)\n"
)
CONTINUES = "what is finished is recorded, the same command continues\n"


def command(folder: pathlib.Path) -> list[str]:
  (folder / "mine.py").write_text(CONFIG)
  flags = f"--config={folder / 'mine.py'}", f"--out={folder / 'run'}"
  return [sys.executable, "-c", RUN, *flags]


def statuses(folder: pathlib.Path) -> list[str]:
  found = record_files.read(folder / "run")
  assert not found.rejected
  return [record.status for record in found.records]


@contextlib.contextmanager
def running(folder: pathlib.Path, do: str) -> Iterator[subprocess.Popen[str]]:
  """A run in the middle of its first trial; its stderr is to be read."""
  process = subprocess.Popen(
    command(folder),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    cwd=ROOT,
    env=os.environ | {"QUICK_DO": do},
  )
  try:
    assert process.stderr is not None
    assert process.stderr.readline().startswith("training on 1 x cpu")
    yield process
  finally:
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
  ("number", "code"),
  [
    (signal.SIGINT, 130),
    (signal.SIGTERM, 143),
    (signal.SIGHUP, 129),
    (signal.SIGUSR1, 138),
  ],
)
def test_the_first_signal_stops_at_the_next_look(
  number: signal.Signals, code: int, tmp_path: pathlib.Path
) -> None:
  with running(tmp_path, "wait") as run:
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
  assert (run.returncode, out) == (code, "")
  assert f"{number.name}: stops at the next look of the running trial" in err
  assert err.endswith(f"stopped by {number.name}; {CONTINUES}")
  assert statuses(tmp_path) == []


def test_the_second_signal_ends_at_once(tmp_path: pathlib.Path) -> None:
  with running(tmp_path, "hang") as run:
    run.send_signal(signal.SIGTERM)
    assert run.stderr is not None
    while "SIGTERM: stops" not in run.stderr.readline():
      pass
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
  assert run.returncode == 143
  assert err.endswith(f"ended at once by SIGTERM; {CONTINUES}")


def test_the_first_signal_ends_waiting_for_a_lost_folder(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("TMPDIR", str(tmp_path))
  with running(tmp_path, "lose the folder") as run:
    assert run.stderr is not None
    while "its record waits in memory" not in run.stderr.readline():
      pass
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=3)
  assert run.returncode == 143
  (spare,) = tmp_path.glob("jaxpower-*.json")
  assert str(spare) in err
  assert not (tmp_path / "run").exists()


def test_a_signal_that_was_ignored_stays_so() -> None:
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
  try:
    with Signals() as signals:
      os.kill(os.getpid(), signal.SIGHUP)
      assert not signals.stop()
      os.kill(os.getpid(), signal.SIGUSR1)
      assert signals.stop()
      assert (signals.name, signals.exit_code) == ("SIGUSR1", 138)
      with pytest.raises(EndedAtOnceError):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
  finally:
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
  ("shell", "told"),
  [
    ("<&-", True),
    ("<&- >&- 2>&-", False),
    ("2>/dev/full", True),
    (">/dev/full", False),
    ("2>&1 | head -1", False),
    ("2> >(head -c 1)", True),
  ],
)
def test_what_is_shown_stops_nothing(
  shell: str, told: bool, tmp_path: pathlib.Path
) -> None:
  words = shlex.join(command(tmp_path))
  done = subprocess.run(
    ["bash", "-o", "pipefail", "-c", f"{words} {shell}"],
    capture_output=True,
    text=True,
    cwd=ROOT,
  )
  assert done.returncode == 0, done.stderr
  assert statuses(tmp_path) == ["reached"] * 2
  assert ("the report" in done.stdout) == told
  if shell == ">/dev/full":
    assert "the report could not be printed (No space left" in done.stderr


def test_a_lost_terminal_stops_nothing(tmp_path: pathlib.Path) -> None:
  ours, terminal = pty.openpty()
  run = subprocess.Popen(
    command(tmp_path), stdout=terminal, stderr=terminal, cwd=ROOT
  )
  os.close(terminal)
  os.read(ours, 1)
  os.close(ours)
  assert run.wait(60) == 0
  assert statuses(tmp_path) == ["reached"] * 2


def test_one_failed_trial_is_exit_code_1(tmp_path: pathlib.Path) -> None:
  done = subprocess.run(
    command(tmp_path),
    capture_output=True,
    text=True,
    cwd=ROOT,
    env=os.environ | {"QUICK_DO": "die"},
  )
  assert done.returncode == 1
  assert done.stderr.endswith(
    "2 of 2 trials failed; --retry-failed runs them again\n"
  )
  assert statuses(tmp_path) == ["failed"] * 2
