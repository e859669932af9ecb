"""Frameworks side by side: what each cost, the ratio, and where it went."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxpower.records import TrialRecord
from jaxpower.report import fairness
from jaxpower.report.cases import Case, Ratio, cases, each, ratios
from jaxpower.report.costs import SECONDS, costs
from jaxpower.report.groups import Comparison, compare, joules_per_1000, title
from jaxpower.report.labels import labels, number, opening, percent, value
from jaxpower.report.sections import Section
from jaxpower.report.statistics import Cost, Estimate, median
from jaxpower.report.tables import (
  Table,
  bounded,
  estimate,
  interval,
  interval_note,
)

PHASES = ("setup", "compile", "warmup", "train", "eval", "infer")
NOTES = (
  "compile + warm-up: what making the executables cost the trial that made"
  " them, and running them once before training.",
  "Peak memory is what each framework says of itself; their counters differ.",
)


def section(records: Sequence[TrialRecord]) -> Section | None:
  """Costs, ratios and phases by framework; None where there is only one."""
  frameworks = sorted({record.framework for record in records})
  if len(frameworks) < 2:
    return None
  grounds = compare(records)
  found = [case for ground in grounds for case in cases(ground)]
  first = frameworks[0]  # "jax", wherever it is among them
  made = [ratio for case in found for ratio in ratios(case, first)]
  head = Head.of(found, grounds)
  return Section(
    "Frameworks side by side",
    (
      _costs(head, found),
      *([_ratios(head, made)] if made else []),
      _phases(head, found),
    ),
    (
      *filter(None, map(_sentence, made)),
      *fairness.unmatched(found, frameworks),
      *dict.fromkeys(fairness.shared(found)),
      *fairness.numerics(records, frameworks),
    ),
    tuple(dict.fromkeys(fairness.warnings(found, first))),
  )


@dataclass(frozen=True)
class Head:
  """The first columns of every table: where, and what the case was."""

  grounds: Sequence[Comparison]
  told: dict[str, str]

  @classmethod
  def of(cls, found: Sequence[Case], grounds: Sequence[Comparison]) -> "Head":
    """With a column for every field that some case tells of."""
    return cls(grounds, labels(dict.fromkeys(p for c in found for p in c.told)))

  @property
  def columns(self) -> tuple[str, ...]:
    """Their headings."""
    where = ("where",) if len(self.grounds) > 1 else ()
    return (*where, *self.told.values())

  def cells(self, case: Case) -> tuple[str, ...]:
    """Their cells in the row of a case."""
    where = title(case.ground, self.grounds)
    return (
      *((where,) if len(self.grounds) > 1 else ()),
      *(value(case.told[p]) if p in case.told else "-" for p in self.told),
    )


def _costs(head: Head, found: Sequence[Case]) -> Table:
  targets = {case.ground.target_accuracy for case in found}
  target = percent(targets.pop()) if len(targets) == 1 else "target"
  energy, short = _energy(found)
  columns = (
    *head.columns,
    "framework",
    "reached",
    f"{energy} to {target}",
    "seconds",
    f"{short} per 1000 examples",
    "examples per second",
    f"compile + warm-up {short}",
    "peak memory",
  )
  return Table(
    columns,
    tuple(
      (
        *head.cells(case),
        framework,
        f"{sum(r.status == 'reached' for r in side)} of {len(side)}",
        estimate(median(costs(side) or ())),
        estimate(median(costs(side, SECONDS) or ())),
        bounded(*joules_per_1000(side)),
        estimate(_median(side, _speed)),
        _middle(side, _preparing),
        _memory(side),
      )
      for case in found
      for framework, side in case.sides.items()
    ),
    _notes(found),
  )


def _notes(found: Sequence[Case]) -> tuple[str, ...]:
  ran = [
    sum(record.status != "failed" for record in side)
    for case in found
    for side in case.sides.values()
  ]
  several = [count for count in ran if count > 1]
  return (*([interval_note(min(several))] if several else []), *NOTES)


def _ratios(head: Head, made: Sequence[Ratio]) -> Table:
  over = made[0].over
  energy, short = _energy([ratio.case for ratio in made])
  columns = (
    *head.columns,
    f"{over} over",
    energy,
    "seconds",
    f"{short} per example",
    "seeds in pairs",
  )
  return Table(
    columns,
    tuple(
      (
        *head.cells(ratio.case),
        _under(ratio),
        _told(ratio),
        estimate(ratio.seconds),
        estimate(ratio.joules_per_example),
        str(ratio.pairs) if ratio.pairs > 1 else "none",
      )
      for ratio in made
    ),
    (
      f"Below 1: {over} took less. In brackets the 95 % bootstrap interval,"
      " drawn over the seeds that both have; without pairs, over each side's"
      " own seeds.",
    ),
  )


def _phases(head: Head, found: Sequence[Case]) -> Table:
  short = _energy(found)[1]
  return Table(
    (*head.columns, "framework", *(f"{phase} {short}" for phase in PHASES)),
    tuple(
      (
        *head.cells(case),
        framework,
        *(_middle(side, _spent(phase)) for phase in PHASES),
      )
      for case in found
      for framework, side in case.sides.items()
    ),
    (
      "Medians over all trials that ran, to their end and not only to the"
      " target; compile is that of the trial that made the executables.",
    ),
  )


def _sentence(ratio: Ratio) -> str:
  """What the ratio says, where it is the one to the better of the others."""
  at, joules = opening(ratio.case.told), ratio.joules
  energy = _energy([ratio.case])[0]
  if ratio.at_most is not None:
    return (
      f"{at}: {ratio.over} cost less than {number(ratio.at_most)} times the"
      f" {energy} of {ratio.under}, which missed too often for a median."
    )
  if joules is None or not ratio.better:
    return ""
  under = ratio.under
  if len(ratio.case.sides) > 2:
    under += ", the better of the others"
  if joules.at_least:
    return (
      f"{at}: {ratio.over} cost at least {number(joules.value)} times the"
      f" {energy} of {under}."
    )
  times = f"{number(joules.value)} times"
  if joules.low is None or joules.high is None:
    return (
      f"{at}: {ratio.over} cost {times} the {energy} of {under}; one seed tells"
      " no interval."
    )
  ends = interval(joules)
  if joules.low <= 1 <= joules.high:
    return (
      f"{at}: the seeds do not tell {ratio.over} from {under}: ratio"
      f" {number(joules.value)} ({ends})."
    )
  return f"{at}: {ratio.over} cost {times} ({ends}) the {energy} of {under}."


def _under(ratio: Ratio) -> str:
  marked = ratio.better and len(ratio.case.sides) > 2
  return f"{ratio.under} (the better)" if marked else ratio.under


def _told(ratio: Ratio) -> str:
  if ratio.joules is None and ratio.at_most is not None:
    return f"< {number(ratio.at_most)}"
  return estimate(ratio.joules)


def _energy(found: Sequence[Case]) -> tuple[str, str]:
  if any(case.ground.estimated for case in found):
    return "estimated joules", "estimated J"
  return "joules", "J"


def _median(
  side: Sequence[TrialRecord], read: Callable[[TrialRecord], float | None]
) -> Estimate | None:
  return median([Cost(number) for number in each(side, read) or ()])


def _middle(
  side: Sequence[TrialRecord], read: Callable[[TrialRecord], float | None]
) -> str:
  found = each(side, read)
  return number(statistics.median(found)) if found else "unknown"


def _memory(side: Sequence[TrialRecord]) -> str:
  found = each(side, lambda record: record.peak_memory_bytes)
  if not found:
    return "unknown"
  mebibytes = statistics.median(found) / 2**20
  if mebibytes < 1024:
    return f"{number(mebibytes)} MiB"
  return f"{number(mebibytes / 1024)} GiB"


def _speed(record: TrialRecord) -> float | None:
  if record.examples is None or not record.train_seconds:
    return None
  return record.examples / record.train_seconds


def _preparing(record: TrialRecord) -> float | None:
  compiling, warming = _spent("compile")(record), _spent("warmup")(record)
  if compiling is None or warming is None:
    return None
  return compiling + warming


def _spent(phase: str) -> Callable[[TrialRecord], float | None]:
  """How to read the joules of a phase from a record."""
  if phase == "compile":
    return lambda record: record.compile.joules if record.compile else None
  return lambda record: record.joules_by_phase.get(phase)
