"""Where trials ran, as a reader is told: one place by name, several by number.

Boards and hosts that count as equal are pooled; their UUIDs and names are in
the records.
"""

from collections.abc import Iterable

from jaxpower.records import TrialRecord
from jaxpower.report.compare.system import (
  CPU,
  GPU,
  devices,
  hardware,
  machine,
)


def machines_of(records: Iterable[TrialRecord]) -> str:
  """Names the machine, or of several how many there are of which CPU."""
  machines = {name: r for r in records if (name := machine(r))}
  if len(machines) < 2:
    return next(iter(machines), "")
  cpus = sorted({str(r.provenance.get("cpu") or "") for r in machines.values()})
  of = f" of {' or '.join(cpus)}" if all(cpus) else ""
  return f"{len(machines)} hosts{of}"


def devices_of(records: Iterable[TrialRecord]) -> tuple[str, ...]:
  """Names the devices by UUID, or of several sets how many of which kind."""
  sets = {names: r for r in records if (names := devices(r))}
  if len(sets) < 2:
    return next(iter(sets), ())
  uuids = {name for names in sets for name in names if name != CPU}
  return (_boards(uuids, sets.values()),)


def domains_of(records: Iterable[TrialRecord]) -> tuple[str, ...]:
  """Names the domains, or of several sets of boards how many of which kind."""
  sets = {
    frozenset(n for n in r.joules_by_domain if n.startswith(GPU)): r
    for r in records
    if r.joules_by_domain
  }
  names = sorted({name for r in records for name in r.joules_by_domain})
  if len(sets) < 2:
    return tuple(names)
  uuids = {uuid for boards in sets for uuid in boards}
  others = (name for name in names if not name.startswith(GPU))
  return _boards(uuids, sets.values()), *others


def _boards(uuids: Iterable[str], records: Iterable[TrialRecord]) -> str:
  """Counts boards: "8 boards of NVIDIA H200"."""
  kinds = {hardware(r).partition(" x ")[2] or hardware(r) for r in records}
  of = f" of {' or '.join(sorted(kinds))}" if all(kinds) else ""
  return f"{len(set(uuids))} boards{of}"
