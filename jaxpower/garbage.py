"""Keeps Python's search for garbage away from what is made to stay.

Records have no cycles and stay to the end: each search of 10,000 of them takes
a quarter of a second, and while they are read there are many.
"""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def not_sought() -> Iterator[None]:
  """Looks for no garbage meanwhile."""
  was_enabled = gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    if was_enabled:
      gc.enable()


@contextlib.contextmanager
def kept() -> Iterator[None]:
  """Looks for no garbage meanwhile, nor later in what was made meanwhile."""
  with not_sought():
    try:
      yield
    finally:
      gc.freeze()
