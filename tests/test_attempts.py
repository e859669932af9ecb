import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from jaxpower import attempts
from jaxpower.attempts import LEDGER, Attempt, Journal

NAME = "0123456789ab"


def lines(folder: pathlib.Path) -> list[dict]:
  """The lines of a ledger; a writer that saw a torn one leaves one empty."""
  found = (folder / LEDGER).read_text().splitlines()
  return [json.loads(line) for line in found if line]


def test_an_attempt_leaves_its_phases_its_looks_and_its_end(
  tmp_path: pathlib.Path,
) -> None:
  spent = iter(range(1, 100))
  with Journal(tmp_path, NAME, "jax", lambda: float(next(spent))) as journal:
    journal.phase("setup")
    journal.look(512, accuracy=0.5)
    journal.end("reached")
  assert [line["event"] for line in lines(tmp_path)] == [
    "began",
    "phase",
    "look",
    "ended",
  ]
  (attempt,) = attempts.read(tmp_path)
  assert attempt.trial_id == NAME
  assert attempt.number == 1
  assert attempt.pid == os.getpid()
  assert attempt.framework == "jax"
  assert attempt.examples == 512
  assert attempt.ended == "reached"
  assert attempt.joules == lines(tmp_path)[-1]["joules"] > 0
  assert attempt.seconds > 0
  assert not list((tmp_path / attempts.BEATS).glob("*"))


def test_an_error_ends_an_attempt_as_failed(tmp_path: pathlib.Path) -> None:
  with (
    pytest.raises(ZeroDivisionError),
    Journal(tmp_path, NAME, "jax", lambda: 3.0),
  ):
    _ = 1 / 0
  (attempt,) = attempts.read(tmp_path)
  assert (attempt.ended, attempt.joules) == ("failed", 3.0)
  assert attempts.joules_lost([attempt]) == 3.0


KILLED = """
import pathlib, sys, time
from jaxpower.attempts import Journal
began = time.monotonic()
folder = pathlib.Path(sys.argv[1])
with Journal(folder, "0123456789ab", "jax", time.monotonic_ns):
  print("began", flush=True)
  time.sleep(60)
"""


def test_a_kill_between_two_lines_costs_at_least_the_last_beat(
  tmp_path: pathlib.Path,
) -> None:
  with subprocess.Popen(
    [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE
  ) as process:
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
  (attempt,) = attempts.read(tmp_path)
  assert attempt.ended is None
  assert attempt.joules is not None
  assert 0.5 < attempt.seconds < 1.6
  # The next attempt notes the end of the one before, with the beat's numbers.
  with Journal(tmp_path, NAME, "jax", lambda: 1.0) as journal:
    assert journal.now.number == 2
    assert [a.ended for a in journal.before] == ["killed"]
    journal.end("missed")
  first, second = attempts.read(tmp_path)
  assert (first.seconds, first.joules) == (attempt.seconds, attempt.joules)
  assert (first.ended, second.ended) == ("killed", "missed")
  assert not list((tmp_path / attempts.BEATS).glob("*"))


def test_the_sweep_says_how_a_worker_died(tmp_path: pathlib.Path) -> None:
  journal = Journal(tmp_path, NAME, "jax", lambda: 1.0)
  journal.__enter__()  # and no exit: as if it were killed
  assert [a.ended for a in attempts.end(tmp_path, NAME, "hung")] == ["hung"]
  assert [a.ended for a in attempts.end(tmp_path, NAME)] == ["hung"]
  assert attempts.end(tmp_path, "ffffffffffff") == []
  journal.end("failed")


def test_unknown_joules_stay_unknown(tmp_path: pathlib.Path) -> None:
  with Journal(tmp_path, NAME, "jax", lambda: None) as journal:
    journal.end("missed")
  (attempt,) = attempts.read(tmp_path)
  assert attempt.joules is None
  assert attempts.joules_lost([attempt]) is None


def test_a_torn_last_line_harms_no_other(tmp_path: pathlib.Path) -> None:
  with Journal(tmp_path, NAME, "jax", lambda: 1.0) as journal:
    journal.end("missed")
  path = tmp_path / LEDGER
  path.write_bytes(path.read_bytes() + b'{"event": "began", "attempt": "0')
  assert len(attempts.read(tmp_path)) == 1
  with Journal(tmp_path, NAME, "jax", lambda: 1.0) as journal:
    journal.end("missed")
  assert [a.number for a in attempts.read(tmp_path)] == [1, 2]


@pytest.mark.parametrize(
  "line",
  [
    b"\0\0\0",
    b"[]",
    b"null",
    b"{}",
    b'{"attempt": "x", "trial_id": "0123456789ab"}',
    b'{"attempt": "x", "joules": "many", "trial_id": "0123456789ab"}',
    b"[" * 100_000,
    b"\xff\xfe",
  ],
)
def test_nonsense_is_left_out(tmp_path: pathlib.Path, line: bytes) -> None:
  (tmp_path / LEDGER).write_bytes(line + b"\n")
  assert attempts.read(tmp_path) == []


def test_a_number_that_is_none_does_not_reach_an_attempt(
  tmp_path: pathlib.Path,
) -> None:
  with Journal(tmp_path, NAME, "jax", lambda: 2.0) as journal:
    journal.end("missed")
  facts = lines(tmp_path)[-1] | {"joules": "many", "seconds": -1}
  with (tmp_path / LEDGER).open("a") as file:
    file.write(json.dumps(facts) + "\n")
  assert attempts.read(tmp_path)[0].joules == 2.0


def _many(folder: pathlib.Path, number: int) -> None:
  name = f"{number:012d}"
  with Journal(folder, name, "jax", lambda: 1.0) as journal:
    for look in range(100):
      journal.look(look)
    journal.end("missed")


def test_many_writers_lose_no_line(tmp_path: pathlib.Path) -> None:
  spawn = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(4, spawn) as pool:
    list(pool.map(_many, [tmp_path] * 4, range(4)))
  assert len(lines(tmp_path)) == 4 * 102
  assert {a.examples for a in attempts.read(tmp_path)} == {99}


def test_a_ledger_that_cannot_be_written_stops_nothing(
  tmp_path: pathlib.Path,
) -> None:
  (tmp_path / "file").write_text("no folder")
  with Journal(tmp_path / "file", NAME, "jax", lambda: 1.0) as journal:
    journal.phase("train")
    journal.end("missed")
  assert len(journal.problems) == 1
  assert "ledger" in journal.problems[0]


def test_lost_is_what_no_record_counts() -> None:
  known = Attempt(
    attempt="a",
    trial_id=NAME,
    number=1,
    began="",
    host="",
    pid=1,
    framework="jax",
    joules=10.0,
    seconds=5.0,
    joules_counted=4.0,
    seconds_counted=2.0,
  )
  assert attempts.joules_lost([known, known]) == 12.0
  assert attempts.seconds_lost([known]) == 3.0
  assert attempts.joules_lost([]) == 0.0
