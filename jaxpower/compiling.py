"""What a trial compiles, or takes from an earlier one, and what that costs."""

import dataclasses
from collections.abc import Hashable
from typing import Any

from jaxpower import accounting, heap
from jaxpower.power import Monitor
from jaxpower.records import Compilation, CompileCost
from jaxpower.wings import Wing

REPEATED = "compile_repeat"  # the phase of compiling once more, to measure it


@dataclasses.dataclass(frozen=True)
class Compiled:
  """The programs of a spec, as a wing compiled them.

  Attributes:
    programs: The wing's own.
    compilation: What compiling them cost.
    flops_per_step: The operations of one update; None if not known.
  """

  programs: Any
  compilation: Compilation
  flops_per_step: float | None


def compiled(
  wing: Wing,
  spec: Hashable,
  cached: Compiled | None,
  monitor: Monitor,
  times: int,
) -> Any:
  """Returns the programs of a spec, compiled so often unless cached."""
  programs = monitor.measure("compile", _programs, wing, spec, cached)
  for _ in range(times - 1 if cached is None else 0):
    programs = None  # so that no two lie in memory
    programs = monitor.measure(REPEATED, _compile, wing, spec)
  return programs


def noted(
  wing: Wing, spec: Hashable, programs: Any, monitor: Monitor
) -> Compiled:
  """Notes with new programs what compiling them cost in this trial.

  Counting their operations takes as long as tracing them once more; it is part
  of the setup, so that no energy of a trial is nobody's.
  """
  flops = monitor.measure("setup", wing.flops_per_step, spec)
  windows = monitor.windows()
  first, *more = (
    CompileCost(seconds=window.seconds, joules=window.joules)
    for phase in ("compile", REPEATED)
    for window in accounting.of_phase(windows, phase)
  )
  cost = Compilation(
    seconds=first.seconds,
    joules=first.joules,
    from_disk=getattr(programs, "from_disk", None),
    repeats=(first, *more),
  )
  return Compiled(programs, cost, flops)


def _programs(wing: Wing, spec: Hashable, cached: Compiled | None) -> Any:
  """Returns the programs of a spec: the cached ones, or compiles them."""
  return _compile(wing, spec) if cached is None else cached.programs


def _compile(wing: Wing, spec: Hashable) -> Any:
  """Compiles the programs of a spec, and gives back the memory it took."""
  programs = wing.compile_programs(spec)
  heap.give_back()
  return programs
