"""What should one know before one believes these ratios?

Asked of each comparison, and answered in a line for each thing that its
records show: joules that are CPU time by another name, a machine that was
shared, GPUs of it that nobody used, trials that were begun more than once,
trials that ran beside others of their sweep, idle power that drifted, batch
sizes that were judged at one learning rate or computed in pieces, and targets
that few evaluations led to. No section where there is nothing.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.config import COMMAND
from jaxpower.records import TrialRecord
from jaxpower.report.cells import name_among
from jaxpower.report.compare.comparable import is_seen
from jaxpower.report.compare.comparison import Compared, Comparison
from jaxpower.report.compare.cpu_time import only_cpu_time, watts
from jaxpower.report.findings import Section
from jaxpower.report.given import Given
from jaxpower.wording import (
  MOST_NAMES,
  as_given,
  capitalised,
  count,
  join_names,
  joule_unit,
  number,
  quantity,
  setting,
  whole_percent,
)

PLACE = 18
TITLE = "Limits of these numbers"
# Chosen: as `power.load.BUSY_SHARE`, by which a trial is warned.
BUSY_SHARE = 0.1
# Chosen: half an interval between looks is then at most a twentieth of the
# cost. On coarser grids the ratio of two settings is one of a few looks.
FEW_LOOKS = 10
TWICE = 2
# Chosen: by so much of their median idle watts of like trials may differ
# untold. Idle power is some tenths of a GPU's power in small networks, so a
# tenth of it moves what is told without it by some hundredths.
IDLE_DRIFT = 0.1
RATE = "optimizer.learning_rate"
BOARD_FIELDS = ("power_limit_watts", "sm_clock_mhz")


@dataclass(frozen=True)
class Pieces:
  """A batch size, the pieces it was computed in, and whether in every trial."""

  batch: int
  sizes: tuple[int, ...]
  every_trial: bool = True


@dataclass(frozen=True)
class BegunAgain:
  """Trials that were begun more than once, and what that cost.

  Attributes:
    trials: How many.
    of: Among how many.
    twice: Whether none was begun more than twice.
    joules: Those that no other number counts; None where any are unknown.
    seconds: As `joules`.
    estimated: Whether any joule is modelled.
  """

  trials: int
  of: int
  twice: bool
  joules: float | None
  seconds: float
  estimated: bool = False


@dataclass(frozen=True)
class Company:
  """Trials that ran beside others of their sweep.

  Attributes:
    trials: How many.
    of: Among how many.
    at_once: How many ran at once, at most; None where that is not known, as
      where a scheduler gave each a part of a machine.
    checked: What company was found to cost, in words; empty where it was not
      checked.
    shared: Domains of which each trial was billed a part.
  """

  trials: int
  of: int
  at_once: int | None = None
  checked: tuple[str, ...] = ()
  shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdleDrift:
  """How far the idle power of like trials on one machine lay apart.

  Attributes:
    times: How often it was measured.
    least_watts: The least that was found.
    most_watts: The most.
    estimated: Whether these are modelled.
  """

  times: int
  least_watts: float
  most_watts: float
  estimated: bool


@dataclass(frozen=True)
class Limits:
  """What one should know of a comparison.

  Attributes:
    name: The comparison's name among several; empty where it is alone.
    cpu_time: Watts of an idle core and those that a busy one adds, each pair
      once, where all joules are modelled from CPU time; None where not.
    shared: How many trials trained beside much other work.
    busiest: The largest share of the cores that this had.
    trials: How many trials trained.
    begun_again: Trials begun more than once; None where there are none.
    apart: How many other GPUs the machines had, at most; their joules while
      the trials trained, which are in no number, and how many trials tell it.
    company: Trials that ran beside others; None where there are none.
    idle_drift: What idle power did where it drifted; None where not.
    one_rate: The learning rate, where batch sizes differ and it does not.
    pieces: Batch sizes that were computed in pieces.
    few_looks: Settings to whose target fewer than FEW_LOOKS evaluations led,
      each with the least number of these.
    settings: How many settings there are.
    commands: Whether all trials are commands.
  """

  name: str = ""
  cpu_time: tuple[tuple[float, float], ...] | None = None
  shared: int = 0
  busiest: float = 0.0
  trials: int = 0
  begun_again: BegunAgain | None = None
  apart: tuple[int, float, int] | None = None
  company: Company | None = None
  idle_drift: IdleDrift | None = None
  one_rate: float | None = None
  pieces: tuple["Pieces", ...] = ()
  few_looks: tuple[tuple[str, int], ...] = ()
  settings: int = 0
  commands: bool = False


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers in one section; in none where nothing is to be known."""
  return tell(find(compared))


# Values


def find(compared: Compared) -> tuple[Limits, ...]:
  """Finds what one should know of each comparison."""
  comparisons = compared.comparisons
  return tuple(_limits(c, name_among(c, comparisons)) for c in comparisons)


def _limits(comparison: Comparison, name: str) -> Limits:
  trials = comparison.records
  shares = [s for record in trials if (s := busy_share(record)) is not None]
  return Limits(
    name=name,
    cpu_time=watts(trials) if only_cpu_time(comparison) else None,
    shared=sum(share > BUSY_SHARE for share in shares),
    busiest=max(shares, default=0.0),
    trials=sum(record.status != "failed" for record in trials),
    begun_again=begun_again(trials),
    apart=apart_gpus(trials),
    company=in_company(trials),
    idle_drift=idle_drift(trials),
    one_rate=one_rate(trials),
    pieces=pieces(trials),
    few_looks=few_looks(comparison),
    settings=len(comparison.groups),
    commands=all(r.framework == COMMAND for r in trials),
  )


def busy_share(record: TrialRecord) -> float | None:
  """Returns the share of the cores that a trial could not have in training.

  Others had it, or the hypervisor; None where it was not read.
  """
  cores = record.provenance.get("cpus_usable")
  other = (record.other_load_cores or {}).get("train")
  stolen = (record.steal_cores or {}).get("train")
  if not cores or other is None:
    return None
  return max(other, stolen or 0.0) / cores


def begun_again(records: Iterable[TrialRecord]) -> BegunAgain | None:
  """Adds up what trials lost that were begun more than once."""
  records = tuple(records)
  again = [record for record in records if len(record.attempts) > 1]
  if not again:
    return None
  joules = [record.joules_lost for record in again]
  known = [lost for lost in joules if lost is not None]
  return BegunAgain(
    trials=len(again),
    of=len(records),
    twice=all(len(record.attempts) == TWICE for record in again),
    joules=math.fsum(known) if len(known) == len(joules) else None,
    seconds=math.fsum(record.seconds_lost or 0.0 for record in again),
    estimated=any(record.estimated for record in again),
  )


def apart_gpus(
  records: Iterable[TrialRecord],
) -> tuple[int, float, int] | None:
  """Sums what the machine's other GPUs took while trials trained.

  Returns how many GPUs there were, at most, their joules, and over how many
  trials; a trial that does not know all of them is left out. GPUs that other
  trials had meanwhile are no others: their joules are those trials'. None where
  there is no other GPU.
  """
  records = tuple(records)
  used = {g for r in records for g in (r.company or {}).get("gpus") or ()}
  trained = [
    {gpu: joules for gpu, joules in by_gpu.items() if gpu not in used}
    for record in records
    for by_gpu in [(record.apart_joules_by_phase or {}).get("train") or {}]
  ]
  found = [
    [joules for joules in by_gpu.values() if joules is not None]
    for by_gpu in trained
    if by_gpu and None not in by_gpu.values()
  ]
  if not found:
    return None
  joules = math.fsum(math.fsum(values) for values in found)
  return max(map(len, found)), joules, len(found)


def in_company(records: Iterable[TrialRecord]) -> Company | None:
  """Finds the trials that ran beside others, and what is known of that."""
  records = tuple(records)
  facts = [record.company for record in records if record.company]
  if not facts:
    return None
  at_once = [fact["at_once"] for fact in facts if fact.get("at_once")]
  found = [fact["interference"] for fact in facts if fact.get("interference")]
  shared = [name for fact in facts for name in fact.get("shared") or ()]
  return Company(
    trials=len(facts),
    of=len(records),
    at_once=max(at_once, default=None),
    checked=tuple(dict.fromkeys(map(_company_cost, found))),
    shared=tuple(dict.fromkeys(shared)),
  )


def _company_cost(found: Mapping[str, Any]) -> str:
  """Says what company costs: "3.1 % more joules (-0.5 to +6.8 %)"."""
  more = 100 * found["more"]
  text = f"{abs(more):.1f} % {'more' if more >= 0 else 'fewer'} {found['of']}"
  low, high = found.get("low"), found.get("high")
  if low is None or high is None:
    return text
  return f"{text} ({100 * low:+.1f} to {100 * high:+.1f} %)"


def idle_drift(records: Iterable[TrialRecord]) -> IdleDrift | None:
  """Finds how far idle power drifted among like trials on one machine.

  Of the trials that measured it themselves. Where several kinds of trials
  drifted, the one that did most, in relation to its median; None where none did
  by more than IDLE_DRIFT.
  """
  measured: dict[Any, list[TrialRecord]] = {}
  for record in records:
    if record.idle_watts and record.idle_seconds_ago is None:
      measured.setdefault(_idles_like(record), []).append(record)
  worst, found = IDLE_DRIFT, None
  for alike in measured.values():
    watts = [record.idle_watts for record in alike if record.idle_watts]
    apart = (max(watts) - min(watts)) / statistics.median(watts)
    if apart > worst:
      estimated = any(record.estimated for record in alike)
      worst = apart
      found = IdleDrift(len(watts), min(watts), max(watts), estimated)
  return found


def _idles_like(record: TrialRecord) -> tuple[Any, ...]:
  """Returns what idle power depends on besides the machine's own ways."""
  names = ("devices", "cores", "processes", *BOARD_FIELDS)
  host = record.provenance.get("host")
  return host, record.framework, *map(record.config.get, names)


def one_rate(records: Iterable[TrialRecord]) -> float | None:
  """Returns the learning rate of all batch sizes, where there is only one.

  None where one batch size ran, where rates differ, or were scaled, or where a
  command has its own.
  """
  batches: set[int] = set()
  rates: set[float] = set()
  for record in records:
    optimizer = record.config.get("optimizer") or {}
    batch, rate = (
      record.config.get("batch_size"),
      optimizer.get("learning_rate"),
    )
    if batch is None or rate is None or not is_seen(record.config, RATE):
      continue
    if optimizer.get("scaling", "none") != "none":
      return None
    batches.add(batch)
    rates.add(rate)
  return rates.pop() if len(batches) > 1 and len(rates) == 1 else None


def pieces(records: Iterable[TrialRecord]) -> tuple[Pieces, ...]:
  """Lists batch sizes that were computed in pieces.

  A batch divided over devices or cores, each of which takes its part whole, is
  not.
  """
  sizes: dict[int, list[int | None]] = {}
  for record in records:
    batch = record.config.get("batch_size")
    piece = record.numerics.get("micro_batch")
    devices = len(record.provenance.get("devices") or ()) or 1
    devices *= record.numerics.get("batch_divided_over_cores", 1)
    if batch and piece:
      in_pieces = piece * devices < batch
      sizes.setdefault(batch, []).append(piece if in_pieces else None)
  return tuple(
    Pieces(batch, tuple(sorted({s for s in found if s})), None not in found)
    for batch, found in sorted(sizes.items())
    if any(found)
  )


def looks_to_target(record: TrialRecord) -> int | None:
  """Counts the evaluations of training up to the one that met the target.

  None where none did, or where it was met before any training.
  """
  seconds = record.seconds_to_accuracy
  if not seconds:
    return None
  # A command may not tell its steps; its first look is after training.
  looks = [look for look in record.curve if look.steps != 0]
  before = sum(look.train_seconds < seconds for look in looks)
  return min(before + 1, len(looks)) or None


def few_looks(comparison: Comparison) -> tuple[tuple[str, int], ...]:
  """Lists settings to whose target few evaluations led, with the fewest."""
  found = []
  for group in comparison.groups:
    looks = [n for record in group.records if (n := looks_to_target(record))]
    if looks and min(looks) < FEW_LOOKS:
      found.append((setting(group.varied), min(looks)))
  return tuple(found)


# Words


def tell(limits: Sequence[Limits]) -> tuple[Section, ...]:
  """Tells the limits of all comparisons; those that share a line, once."""
  warnings, lines = _once(limits, _warnings), _once(limits, _lines)
  if not warnings and not lines:
    return ()
  return (Section(title=TITLE, warnings=warnings, lines=lines),)


def _once(
  limits: Sequence[Limits], tell: Callable[[Limits], Iterable[str]]
) -> tuple[str, ...]:
  """Collects lines, each once; named where they are not of all comparisons."""
  names: dict[str, list[str]] = {}
  for each in limits:
    for line in tell(each):
      names.setdefault(line, []).append(each.name)
  return tuple(
    line if len(whose) == len(limits) else f"{'; '.join(whose)}: {line}"
    for line, whose in names.items()
  )


def _warnings(limits: Limits) -> list[str]:
  if not limits.shared:
    return []
  verb = "was" if limits.shared == 1 else "were"
  return [
    f"{limits.shared} of {limits.trials} trials {verb} trained beside other"
    f" work, which had up to {whole_percent(limits.busiest)} % of the cores:"
    " seconds and joules are those of a shared machine. Run them again on a"
    " quiet one."
  ]


def _lines(limits: Limits) -> list[str]:
  lines = []
  if limits.cpu_time is not None:
    lines.append(cpu_time_line(limits.cpu_time))
  if limits.begun_again is not None:
    lines.append(_again_line(limits.begun_again))
  if limits.apart is not None:
    gpus, joules, trials = limits.apart
    lines.append(
      f"The machine's {count(gpus, 'other GPU')} took {quantity(joules, 'J')}"
      f" while {count(trials, 'trial')} trained; that is in no number here."
    )
  if limits.company is not None:
    lines += company_lines(limits.company)
  if limits.idle_drift is not None:
    lines.append(_idle_line(limits.idle_drift))
  if limits.one_rate is not None:
    lines.append(
      "The learning rate was the same for every batch size:"
      f" {as_given(limits.one_rate)}. A batch size that needs another one looks"
      f" worse than it is; vary {RATE} too"
      + ("." if limits.commands else ", or set optimizer.scaling.")
    )
  if limits.pieces:
    lines.append(_pieces_line(limits.pieces))
  if limits.few_looks:
    lines.append(_looks_line(limits))
  return lines


def company_lines(company: Company) -> list[str]:
  """Says how trials ran beside others, and what they shared."""
  who = f"{company.trials} of {count(company.of, 'trial')}"
  if company.at_once is None:
    ran = f"{who} had a part of a machine, and who had the rest is not known."
  else:
    ran = f"{who} ran beside others, {company.at_once} at once"
    if company.checked:
      ran += f": in company a trial took {join_names(company.checked, 'or')}."
    else:
      ran += "; what that cost them was not checked."
  if not company.shared:
    return [ran]
  verb = "is" if len(company.shared) == 1 else "are"
  return [
    ran,
    f"{join_names(company.shared)} {verb} shared by them: each was billed an"
    " equal part, which is an estimate.",
  ]


def _idle_line(drift: IdleDrift) -> str:
  modelled = " (estimated)" if drift.estimated else ""
  return (
    f"Idle power drifted: measured {count(drift.times, 'time')} it was"
    f" {number(drift.least_watts)} to {number(drift.most_watts)} W{modelled}."
    " Joules without idle energy take what each trial's minute had."
  )


def _again_line(again: BegunAgain) -> str:
  verb = "was" if again.trials == 1 else "were"
  times = "twice" if again.twice else "more than once"
  unit = joule_unit(again.estimated)
  lost = "an unknown number of joules"
  if again.joules is not None:
    lost = f"{number(again.joules)} {unit}"
  return (
    f"{again.trials} of {again.of} trials {verb} begun {times}; {lost} and"
    f" {number(again.seconds)} s were lost that way, which no other number"
    " counts."
  )


def cpu_time_line(watts: Sequence[tuple[float, float]]) -> str:
  """Says that joules are CPU time, and by which watts."""
  models = [
    f"CPU seconds times {number(busy)} W, and {number(idle)} W for each core,"
    " busy or not"
    for idle, busy in watts
  ]
  modelled = "; or ".join(models) or "CPU seconds times watts"
  return (
    f"Every joule is estimated: {modelled}. Ratios are ratios of CPU time, and"
    " show nothing that a clock does not."
  )


def _pieces_line(pieces: Sequence[Pieces]) -> str:
  alike: dict[str, list[str]] = {}
  for each in pieces:
    how = f"{join_names(list(map(str, each.sizes)), 'or')} examples at a time"
    how += "" if each.every_trial else " in some trials"
    alike.setdefault(how, []).append(str(each.batch))
  parts = [
    f"batch {join_names(batches)} {'was' if len(batches) == 1 else 'were'}"
    f" computed {how}"
    for how, batches in alike.items()
  ]
  return (
    f"{capitalised('; '.join(parts))}: joules per example are those of the"
    " pieces, not of the batch taken whole."
  )


def _looks_line(limits: Limits) -> str:
  few, settings = limits.few_looks, limits.settings
  names = [name for name, _ in few if name]
  fewest = min(looks for _, looks in few)
  whose = f" of {'; '.join(names)}" if names else ""
  if len(few) == settings > 1:
    whose = " of every setting"
  elif len(few) > MOST_NAMES:
    whose = f" of {len(few)} of {settings} settings"
  more = (
    "have the script report more often,"
    if limits.commands
    else "lower evaluate_every_examples"
  )
  return (
    f"Few evaluations led to the target{whose}: in one trial only {fewest}. A"
    f" cost is known to one of them; {more} for {FEW_LOOKS} or more."
  )
