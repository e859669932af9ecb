"""Which comparisons are of CPU time by another name: all joules are modelled.

Where CPUs alone are modelled and nothing is measured, joules are CPU seconds
times so many watts: a ratio of them is one of CPU time, and energy and time to
the target are nearly one and the same number.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jaxpower.records import TrialRecord

if TYPE_CHECKING:
  from jaxpower.report.compare.comparison import Comparison


def only_cpu_time(comparison: "Comparison") -> bool:
  """Returns whether all joules of a comparison are modelled from CPU time."""
  return is_cpu_time(comparison.records)


def is_cpu_time(records: Iterable[TrialRecord]) -> bool:
  """Returns whether all joules of some trials are modelled from CPU time.

  Trials without a meter, which failed before they had one, decide nothing.
  """
  domains = [d for record in records for d in _counted(record)]
  return bool(domains) and all(
    domain.get("estimated") and domain.get("kind") == "cpu"
    for domain in domains
  )


def covers_server(records: Iterable[TrialRecord]) -> bool:
  """Returns whether all joules are by fits that hold the whole server.

  Power supply, fans and memory are in these then; counters leave them out.
  """
  domains = [d for record in records for d in _counted(record)]
  return bool(domains) and all(
    (domain.get("assumptions") or {}).get("covers") for domain in domains
  )


def watts(records: Iterable[TrialRecord]) -> tuple[tuple[float, float], ...]:
  """Lists, each once, the watts a core by which trials were modelled.

  Pairs of the watts of an idle core and of those that a busy one adds.
  """
  assumed = (
    domain.get("assumptions") or {}
    for record in records
    for domain in _counted(record)
  )
  pairs = (
    (a.get("idle_watts_per_core"), a.get("busy_watts_per_core"))
    for a in assumed
  )
  return tuple(
    dict.fromkeys(
      (idle, busy)
      for idle, busy in pairs
      if idle is not None and busy is not None
    )
  )


def _counted(record: TrialRecord) -> list[dict[str, Any]]:
  """Returns the domains of the job, as the meter described them."""
  domains = record.meter.get("domains", ())
  return [domain for domain in domains if domain.get("counted", True)]
