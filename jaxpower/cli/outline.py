"""Says what a sweep would run and what it would cost: `--dry-run`."""

import dataclasses
import pathlib
import socket
from collections.abc import Iterable, Mapping, Sequence

from jaxpower import forecast
from jaxpower.cli.progress import settings_of, trial_name
from jaxpower.cli.report import unreadable
from jaxpower.config import Trial, trial_id
from jaxpower.folder import record_files
from jaxpower.records import TrialRecord
from jaxpower.sweep import Plan
from jaxpower.wording import count, duration, energy, join_names

MOST_FOLDERS = 100  # beside the run folder that are looked into; chosen
MOST_NAMED = 2  # of them, in a line; chosen
# Equal trials that are read, in the order of the sweep: each setting has one
# among them before any has two. Chosen: 1,000 take half a second.
MOST_READ = 1_000


@dataclasses.dataclass(frozen=True)
class Basis:
  """By what the cost of the trials left is judged.

  Attributes:
    records: Of trials that ended.
    source: Which these are, in words; "" for those of the run folder.
    probed: The trial that one of them cuts short.
  """

  records: Sequence[TrialRecord]
  source: str = ""
  probed: Trial | None = None


def basis_of(plan: Plan) -> Basis:
  """Finds what tells the cost of a plan: its records, else equal trials'.

  Those of run folders beside its own, of the same config to the last field.
  """
  own = [plan.recorded[name] for name in plan.ids if name in plan.recorded]
  ran = [record for record in own if record.status != "failed"]
  if ran or not plan.left:
    return Basis(ran)
  elsewhere, unread = equal_trials(plan.folder, plan.ids)
  found = [record for records in elsewhere.values() for record in records]
  return Basis(found, _where(elsewhere, unread) if found else "")


def equal_trials(
  folder: pathlib.Path, names: Iterable[str]
) -> tuple[dict[str, list[TrialRecord]], int]:
  """Finds records of trials in the run folders beside one, by their names.

  Returns them by folder, and how many more there are than are read.
  """
  beside = folder.absolute().parent
  places = {name: place for place, name in enumerate(names)}
  if not beside.is_dir():
    return {}, 0
  found: dict[str, list[TrialRecord]] = {}
  folders = sorted(path for path in beside.iterdir() if path != folder)
  unread, left = 0, MOST_READ
  for other in folders[:MOST_FOLDERS]:
    equal = places.keys() & record_files.trial_ids(other)
    first = sorted(equal, key=places.__getitem__)[:left]
    unread, left = unread + len(equal) - len(first), left - len(first)
    records = [
      record
      for name in first
      if (record := record_files.newest(other, name)) is not None
      and record.status != "failed"
    ]
    if records:
      found[str(folder.parent / other.name)] = records
  return found, unread


def _where(elsewhere: Mapping[str, Sequence[TrialRecord]], unread: int) -> str:
  """Says where equal trials ran: their folders, and machines but this one."""
  records = [record for records in elsewhere.values() for record in records]
  named = [*elsewhere][:MOST_NAMED]
  if more := len(elsewhere) - len(named):
    named.append(f"{more} more")
  hosts = {str(record.provenance.get("host") or "") for record in records}
  others = sorted(hosts - {socket.gethostname(), ""})[:MOST_NAMED]
  on = f", run on {join_names(others)}" if others else ""
  some = f"{len(records)} of " if unread else ""
  trials = count(len(records) + unread, "equal trial")
  return f"by {some}{trials} in {join_names(named)}{on}"


def outline(plan: Plan, basis: Basis | None = None) -> str:
  """Lists the trials of a plan, and what running those left would take."""
  left = plan.ids_left
  lines = []
  for index, name in enumerate(plan.ids, start=1):
    state = "to run" if name in left else plan.recorded[name].status
    told = trial_name(plan, plan.trials[index - 1])
    lines.append(f"{index:>4}  {name}  {state:8}  {told}")
  recorded = len(plan.trials) - len(left)
  beyond = len(plan.order) - len(plan.trials)
  more = f", {beyond} more recorded beyond them" if beyond else ""
  in_order = [name for name in plan.ids if name in left]
  expected = _expected(plan, in_order, basis or basis_of(plan))
  return "\n".join(
    [
      f"{len(plan.trials)} trials in {plan.folder}: {recorded} recorded,"
      f" {len(left)} to run{more}{expected}",
      *lines,
      *(f"{p}; that trial is run again" for p in plan.unusable.values()),
      *unreadable(plan.folder, plan.rejected),
    ]
  )


def _expected(plan: Plan, left: Sequence[str], basis: Basis) -> str:
  """Says what trials left will take: what is not known is said to be so."""
  if not left:
    return ""
  aliases = {}
  if basis.probed is not None:
    aliases[basis.records[0].trial_id] = trial_id(basis.probed)
  judged = forecast.forecast(settings_of(plan), basis.records, aliases)
  cost, lacking = judged.together(left)
  if cost.seconds is None:
    return (
      "; expected time and joules: unknown until a trial is recorded (--probe"
      " runs a short one now)"
    )
  estimated = any(record.estimated for record in basis.records)
  joules = (
    "joules unknown" if cost.joules is None else energy(cost.joules, estimated)
  )
  most = "at most " if basis.probed is not None else ""
  notes = [basis.source] if basis.source else []
  if basis.probed is not None:
    name = trial_name(plan, basis.probed)
    notes.append(
      f"if all train to the end of their budgets; by a probe of {name}"
    )
  elif others := judged.judged(left):
    notes.append(f"{others} of them judged by their neighbours")
  if lacking:
    notes.append(f"without {lacking} of which nothing is known")
  note = f" ({'; '.join(notes)})" if notes else ""
  return f"; expected: {most}{duration(cost.seconds)}, {joules}{note}"
