"""Worker processes without PyTorch: spawned, killed, dead with their parent."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from jaxpower.learn_torch.distributed import process

pytest.importorskip("torch")  # the workers that are spawned here import it


def test_spawning_and_killing_loads_nothing_heavy() -> None:
  code = (
    "import sys, jaxpower.learn_torch.distributed.process\n"
    "print(*sorted({'torch', 'numpy', 'jax', 'flax'} & set(sys.modules)))\n"
  )
  command = [sys.executable, "-c", code]
  done = subprocess.run(command, capture_output=True, text=True)
  assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_worker_that_hangs_is_killed() -> None:
  worker = process.spawn(1, 2)
  os.kill(worker.pid, signal.SIGSTOP)  # it sees no pipe being closed
  worker.kill()
  worker.wait_killed()
  assert not psutil.pid_exists(worker.pid)


def test_a_worker_dies_with_its_parent() -> None:
  # It is stopped: it sees no pipe being closed.
  code = (
    "import os, signal\n"
    "from jaxpower.learn_torch.distributed import process\n"
    "worker = process.spawn(1, 2)\n"
    "assert worker.receive() is None\n"
    "os.kill(worker.pid, signal.SIGSTOP)\n"
    "print(worker.pid, flush=True)\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
  )
  command = [sys.executable, "-c", code]
  # Not read to its end, which a child that lives on would never let come.
  with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert parent.wait(60) == -signal.SIGKILL
  try:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(child) and time.monotonic() < deadline:
      time.sleep(0.02)
    assert not psutil.pid_exists(child)
  finally:
    if psutil.pid_exists(child):
      os.kill(child, signal.SIGKILL)
