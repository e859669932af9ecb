import os
import signal
import subprocess
import sys

from jaxpower.workers import lifeline

CHILD = """
import os, signal, time
from jaxpower.workers import lifeline
lifeline.shield()
for number in lifeline.SHIELDED:
  os.kill(os.getpid(), number)
print(*(signal.getsignal(n) == signal.SIG_IGN for n in lifeline.SHIELDED))
"""


def test_what_is_sent_to_a_group_does_not_end_a_child_that_is_starting() -> (
  None
):
  with lifeline.held_back():
    child = subprocess.Popen(
      [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True
    )
  for number in lifeline.SHIELDED:  # long before it can have ignored them
    child.send_signal(number)
  out, _ = child.communicate(timeout=60)
  assert (child.returncode, out.split()) == (
    0,
    ["True"] * len(lifeline.SHIELDED),
  )
  assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {*lifeline.SHIELDED}


def test_a_child_whose_parent_is_gone_already_ends() -> None:
  module = "from jaxpower.workers import lifeline"
  code = f"{module}; lifeline.die_with({os.getpid() + 1})"
  command = [sys.executable, "-c", f"{code}; print('alive')"]
  done = subprocess.run(command, capture_output=True, text=True)
  assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_descriptor_is_kept_from_children() -> None:
  reading, writing = os.pipe()
  os.set_inheritable(writing, True)
  lifeline.keep_to_oneself((reading, writing))
  assert not os.get_inheritable(writing)
  os.close(reading)
  os.close(writing)
