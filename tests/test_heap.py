import subprocess
import sys

import pytest

from jaxpower import heap

# Takes 100 MB of the heap, frees it, and says what stays of it: in MiB.
TAKES = """
import os
from jaxpower import heap
def resident():
  with open("/proc/self/statm") as file:
    return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
before = resident()
blocks = [bytearray(b"x") * 100_000 for _ in range(1000)]
end = bytearray(b"x") * 100_000  # above them: the heap cannot shrink by its end
del blocks
kept = resident() - before
heap.give_back()
print(kept, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's alone")
def test_the_heap_is_kept_until_it_is_given_back():
  done = subprocess.run(
    [sys.executable, "-c", TAKES],
    env=heap.KEPT,
    capture_output=True,
    text=True,
    check=True,
  )
  kept, given_back = map(float, done.stdout.split())
  assert kept > 80
  assert given_back < 10


def test_a_libc_without_it_is_no_error(monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: object())
  heap.give_back()
