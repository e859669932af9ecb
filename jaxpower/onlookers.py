"""Calls those who watch a sweep, so that none of them can stop it.

A terminal closes, a disk with a log fills, `head` has read enough: what is
shown fails, and what is measured goes on. The first failure ends the showing,
and is told where it can be: in the records that follow, and as a warning at
the end.
"""

from collections.abc import Callable
from typing import Any


class Onlookers:
  """Callbacks that are called until one of them fails.

  Attributes:
    problem: Why nothing is shown any more; "" while it is.
  """

  def __init__(self) -> None:
    self.problem = ""

  def call(self, callback: Callable[..., None], *news: Any) -> None:
    """Calls a callback with its news, unless one has failed before."""
    if self.problem:
      return
    try:
      callback(*news)
    except (Exception, SystemExit) as error:  # noqa: BLE001, see above
      reason = " ".join(f"{type(error).__name__}: {error}".split())
      self.problem = f"what happened was not shown from here on ({reason})"
