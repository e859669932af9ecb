"""What trials spent, by the parts that other tools ask for.

Over all phases, since that is what other trackers count: a training to its
target is a part of it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.compare.costs import add, all_phases
from jaxpower.report.given.carbon import JOULES_PER_KWH
from jaxpower.wording import number

ESTIMATED = ", estimated"  # behind the way in which a modelled part was read


def seconds(record: TrialRecord) -> float | None:
  """Returns how long the phases took whose joules are known; None: unknown."""
  return sum(record.seconds_by_phase.values()) or None


def kwh(record: TrialRecord) -> float | None:
  """Returns the kWh of a whole trial; None where a phase's are unknown."""
  joules = all_phases(record)
  return None if joules is None else joules / JOULES_PER_KWH


def kwh_by_kind(record: TrialRecord) -> dict[str, float | None]:
  """Returns the kWh of each kind of domain: cpu, gpu, dram.

  A kind without a domain is not there; of one with an unknown domain the sum is
  unknown.
  """
  by_kind: dict[str, float | None] = {}
  for name, joules in record.joules_by_domain.items():
    kind = str(_domain(record, name).get("kind") or "")
    so_far = by_kind.get(kind, 0.0)
    by_kind[kind] = add(
      so_far, None if joules is None else joules / JOULES_PER_KWH
    )
  return by_kind


def methods(records: Iterable[TrialRecord]) -> dict[str, str]:
  """Says for each kind of domain how it was read: "model, estimated".

  Several ways of one kind are joined by "or".
  """
  found: dict[str, dict[str, None]] = {}
  for record in records:
    for name in record.joules_by_domain:
      domain = _domain(record, name)
      words = str(domain.get("method") or "unknown method")
      words += ESTIMATED if domain.get("estimated") else ""
      found.setdefault(str(domain.get("kind") or ""), {})[words] = None
  return {kind: " or ".join(words) for kind, words in found.items()}


def models(records: Iterable[TrialRecord]) -> list[str]:
  """Says by which watts CPU time became joules, and what these cover."""
  found: dict[str, None] = {}
  for record in records:
    for name in record.joules_by_domain:
      assumed = _domain(record, name).get("assumptions") or {}
      busy = assumed.get("busy_watts_per_core")
      idle = assumed.get("idle_watts_per_core")
      if busy is None or idle is None:
        continue
      covers, source = assumed.get("covers"), assumed.get("source")
      found[
        f"CPU time counts {number(busy)} W for a busy core and"
        f" {number(idle)} W for an idle one"
        + (f", which covers {covers}" if covers else "")
        + (f" ({source})" if source else "")
      ] = None
  return list(found)


def cover_all(records: Iterable[TrialRecord]) -> bool:
  """Whether every trial's model of CPU power says that it covers more."""
  return all(
    any(
      (_domain(record, name).get("assumptions") or {}).get("covers")
      for name in record.joules_by_domain
    )
    for record in records
  )


def recorder(records: Iterable[TrialRecord]) -> str:
  """Names the versions of jaxpower that recorded trials: "jaxpower 0.1.0"."""
  versions = dict.fromkeys(
    str(version)
    for record in records
    if (version := (record.provenance.get("versions") or {}).get("jaxpower"))
  )
  return " ".join(("jaxpower", " and ".join(versions))).strip()


def _domain(record: TrialRecord, name: str) -> Mapping[str, Any]:
  """Returns what the meter says of a domain; empty where it says nothing."""
  for domain in record.meter.get("domains") or ():
    if domain.get("domain") == name:
      return domain
  return {}
