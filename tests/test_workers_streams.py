import subprocess
import sys

import pytest

CODE = """
import os, sys
from jaxpower.workers import streams
streams.open_missing()
number = os.open(os.devnull, os.O_RDONLY)
print("said")
print("told", file=sys.stderr)
os._exit(0 if number > 2 and sys.stdin.read() == "" else 9)
"""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_closed_stream_is_no_other_files(closed: tuple[int, ...]) -> None:
  shell = " ".join(f"{number}>&-" for number in closed)
  command = f'exec "$0" -c "$1" {shell}'
  done = subprocess.run(
    ["sh", "-c", command, sys.executable, CODE],
    stdin=subprocess.DEVNULL,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert done.stderr == ("" if 2 in closed else "told\n")
