"""Keeps the compiled programs of a worker, as many as its process can bear.

Compiled code takes memory maps, of which the kernel gives a process 65,530
(vm.max_map_count): 363 for the programs of a small CNN, given back when they
are let go of. So only those used last are kept. What XLA and the allocator
keep for good, 3.8 MB for each, goes with the process: after so many
compilations a new worker is to take over (docs/reliability.md).
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

KEPT = 32  # chosen: 12,000 maps; more settings than most sweeps have
MOST_COMPILED = 128  # chosen: 0.5 GB that is not given back


class ProgramCache(OrderedDict[Hashable, Any]):
  """Programs by spec, those used last; a dict.

  Attributes:
    compiled: How many were put in that were not there.
  """

  def __init__(self, kept: int = KEPT):
    super().__init__()
    self._kept = kept
    self.compiled = 0

  def get(self, key: Hashable, default: Any = None) -> Any:
    """Returns the programs of a spec, which are used now."""
    if key not in self:
      return default
    self.move_to_end(key)
    return self[key]

  def __setitem__(self, key: Hashable, value: Any) -> None:
    self.compiled += key not in self
    super().__setitem__(key, value)
    self.move_to_end(key)
    while len(self) > self._kept:
      self.popitem(last=False)

  @property
  def worn(self) -> bool:
    """Whether the process has compiled so much that it should be renewed."""
    return self.compiled >= MOST_COMPILED
