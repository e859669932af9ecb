"""Faults of our own are one line; the trace is in a file."""

import errno
import pathlib
import signal
import subprocess
import sys
import tempfile

import pytest

from jaxpower.cli import crash

ROOT = pathlib.Path(__file__).parent.parent


def test_a_fault_of_our_own_is_one_line_and_a_file(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

  def fail() -> int:
    raise KeyError("a\x1b[2J\nb")

  assert crash.guard("run", fail) == 70
  line = capsys.readouterr().err
  assert line.startswith(r"run: internal error: KeyError: 'a\x1b[2J\nb'; the")
  assert line.count("\n") == 1
  (file,) = tmp_path.iterdir()
  assert str(file) in line
  assert "in fail" in file.read_text()
  assert file.stat().st_mode & 0o077 == 0


def test_codes_pass() -> None:
  def leave(error: BaseException) -> int:
    raise error

  assert crash.guard("run", lambda: 3) == 3
  assert crash.guard("run", lambda: None) == 0
  with pytest.raises(SystemExit):
    crash.guard("run", leave, SystemExit(2))


def test_ctrl_c_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
  def interrupted() -> int:
    raise KeyboardInterrupt

  assert crash.guard("report", interrupted) == 130
  assert capsys.readouterr().err == "report: interrupted\n"


def test_ctrl_c_while_modules_load_shows_no_trace() -> None:
  def ended(error: str) -> tuple[int, str]:
    code = f"import jaxpower.cli; raise {error}"
    done = subprocess.run(
      [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    return done.returncode, done.stderr

  assert ended("KeyboardInterrupt") == (-signal.SIGINT, "")
  code, trace = ended("KeyError")
  assert code == 1
  assert "Traceback" in trace


def test_a_full_disk_under_stdout_is_one_line() -> None:
  with open("/dev/full", "w") as full:
    done = subprocess.run(
      [sys.executable, "scripts/report.py", "--lifecycle_template"],
      cwd=ROOT,
      stdout=full,
      stderr=subprocess.PIPE,
      text=True,
    )
  line = "report: cannot write: No space left on device\n"
  assert (done.returncode, done.stderr) == (74, line)


def test_a_full_disk_is_no_fault_of_ours(
  capsys: pytest.CaptureFixture[str],
) -> None:
  def fail() -> int:
    raise OSError(errno.ENOSPC, "No space left on device", "/data/x")

  assert crash.guard("run", fail) == 74
  assert capsys.readouterr().err == (
    "run: cannot write /data/x: No space left on device\n"
  )
