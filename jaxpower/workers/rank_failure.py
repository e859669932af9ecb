"""Why a trial over several processes failed: one cause, and nobody left.

Several ranks fail when one dies, since the connections between them break
before the kernel shows the death. So the cause is looked for before anything
is raised, and a death counts for more than any error.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# How long after an error a rank's death is looked for, and how often. Chosen,
# not fitted: a killed process was seen to be dead 0.1 to 5.5 ms after its pipe
# had closed (eight kills, two idle cores).
FIND_CAUSE_SECONDS = 2.0
POLL_SECONDS = 0.02


class DistributedError(RuntimeError):
  """A process of a trial over several died, failed or hung; says why."""


@contextlib.contextmanager
def report_cause(
  cause_of: Callable[[Exception], str], stop: Callable[[], None]
) -> Iterator[None]:
  """Stops all ranks on any error of the body, and raises its cause.

  Args:
    cause_of: Returns the cause of an error in a line, or "".
    stop: Kills the other ranks and waits until they are gone.

  Raises DistributedError with the cause; the error itself if none is known.
  """
  try:
    yield
  except Exception as error:
    cause = cause_of(error)
    stop()
    if not cause:
      raise
    raise DistributedError(cause) from error
  except BaseException:  # an interrupt: no cause to look for
    stop()
    raise


def find_death(ranks: Callable[[], Sequence[Any]]) -> str:
  """Looks for a moment whether a rank is dead; says how, or "".

  `ranks` returns those that are not stopped, each of the shape of a
  `workers.rank_process.RankProcess`.
  """
  deadline = time.monotonic() + FIND_CAUSE_SECONDS
  while (left := ranks()) and time.monotonic() < deadline:
    for rank in left:
      if reason := rank.exit_reason():
        return reason
    time.sleep(POLL_SECONDS)
  return ""


def known_cause(error: Exception) -> str:
  """Returns the line of an error that says a cause already, else ""."""
  return str(error) if isinstance(error, DistributedError) else ""
