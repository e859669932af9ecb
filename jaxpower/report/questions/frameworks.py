"""Frameworks side by side: what each cost, the ratio, and where it went.

Whether frameworks may be set against each other, and how they differ.

The same trial in several frameworks: cases, and the ratios within them.

A ratio is made only between trials of equal configs, framework and seed apart,
that stand on common ground: the same machine, devices and meter.
"""

import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.cells import (
  bounded,
  estimate,
  interval,
  interval_note,
  name_among,
)
from jaxpower.report.compare.comparable import CPU, NO_UUID
from jaxpower.report.compare.comparison import (
  Compared,
  Comparison,
  compare,
  joules_per_1000,
)
from jaxpower.report.compare.costs import SECONDS, TRAIN, Counting, costs
from jaxpower.report.compare.statistics import (
  Cost,
  Estimate,
  median,
  middle,
  paired_ratio,
)
from jaxpower.report.findings import Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import labels, number, opening, percent, value

APART = ("framework", "seed")

USUAL = ("model.name", "batch_size")  # told even where they do not vary


@dataclass(frozen=True)
class Case:
  """Trials of one config on common ground, by framework.

  `key` names the config wherever it was run; `told` is what tells a person of
  it: model, batch size and what else the sweep varies.
  """

  key: str
  ground: Comparison
  told: dict[str, Any]
  sides: dict[str, tuple[TrialRecord, ...]]


@dataclass(frozen=True)
class Ratio:
  """What one framework cost over what another did, in the same case.

  `better` says that `under` is the cheapest of the others, however the misses
  would have ended. `at_most` holds where only `over` has a known median: the
  ratio is below that. `pairs` counts the seeds that both have.
  """

  case: Case
  over: str
  under: str
  better: bool
  joules: Estimate | None
  seconds: Estimate | None
  joules_per_example: Estimate | None
  at_most: float | None
  pairs: int


def cases(ground: Comparison) -> tuple[Case, ...]:
  """The cases of one comparison, in the order of what varies."""
  found: dict[str, dict[str, list[TrialRecord]]] = {}
  for group in ground.groups:
    for record in group.records:
      sides = found.setdefault(_key(record), {})
      sides.setdefault(record.framework, []).append(record)
  return tuple(
    Case(
      key=key,
      ground=ground,
      told=_told_settings(next(iter(sides.values()))[0]),
      sides={name: tuple(sides[name]) for name in sorted(sides)},
    )
    for key, sides in found.items()
  )


def ratios(case: Case, over: str) -> tuple[Ratio, ...]:
  """One framework over each other one of a case."""
  if over not in case.sides:
    return ()
  others = [name for name in case.sides if name != over]
  best = _cheapest({name: case.sides[name] for name in others})
  return tuple(_ratio(case, over, name, name == best) for name in others)


def each(
  records: Sequence[TrialRecord],
  read: Callable[[TrialRecord], float | None],
) -> list[float] | None:
  """A number of every trial that ran; None where one is not known."""
  found = [read(r) for r in records if r.status != "failed"]
  known = [number for number in found if number is not None]
  return known if known and len(known) == len(found) else None


def _ratio(case: Case, over: str, under: str, better: bool) -> Ratio:
  dividend, divisor = case.sides[over], case.sides[under]
  a, b = _by_seed(dividend, TRAIN), _by_seed(divisor, TRAIN)
  joules = paired_ratio(a, b)
  upside_down = paired_ratio(b, a) if joules is None else None
  return Ratio(
    case=case,
    over=over,
    under=under,
    better=better,
    joules=joules,
    seconds=paired_ratio(
      _by_seed(dividend, SECONDS), _by_seed(divisor, SECONDS)
    ),
    joules_per_example=paired_ratio(
      _per_example(dividend), _per_example(divisor)
    ),
    at_most=1 / upside_down.value
    if upside_down and upside_down.value
    else None,
    pairs=len(a.keys() & b.keys()),
  )


def _cheapest(sides: dict[str, tuple[TrialRecord, ...]]) -> str | None:
  """The side of the lowest median, if no miss can make another cheaper."""
  known = {name: costs(records) for name, records in sides.items()}
  medians = {n: found for n in known if (found := middle(known[n] or ()))}
  if not medians or None in known.values():
    return None
  # A lower bound of the median is the least that it can be.
  best = min(medians, key=lambda name: medians[name].value)
  return None if medians[best].at_least else best


def _by_seed(
  records: Sequence[TrialRecord], counting: Counting
) -> dict[tuple[int, int], Cost]:
  """What each trial that ran cost; empty where one is not known."""
  ran = [record for record in records if record.status != "failed"]
  found = costs(ran, counting) or ()
  return dict(zip(_seeds(ran), found, strict=False))


def _per_example(
  records: Sequence[TrialRecord],
) -> dict[tuple[int, int], Cost]:
  ran = [record for record in records if record.status != "failed"]
  found = each(ran, lambda record: record.joules_per_example) or ()
  return dict(zip(_seeds(ran), map(Cost, found), strict=False))


def _seeds(records: Sequence[TrialRecord]) -> list[tuple[int, int]]:
  """The seed of each trial, and how many came before with the same one."""
  seen: Counter[int] = Counter()
  names = []
  for record in records:
    names.append((record.seed, seen[record.seed]))
    seen[record.seed] += 1
  return names


def _told_settings(record: TrialRecord) -> dict[str, Any]:
  usual = {path: _at(record.config, path) for path in USUAL}
  told = {path: item for path, item in usual.items() if item is not None}
  return told | {
    path: item for path, item in record.varied.items() if path not in APART
  }


def _at(config: Any, path: str) -> Any:
  for name in path.split("."):
    config = config.get(name) if isinstance(config, dict) else None
  return config


def _key(record: TrialRecord) -> str:
  return json.dumps(_without(record.config), sort_keys=True)


def _without(config: Any) -> Any:
  """A config less framework and seed, also those of a trial it starts from."""
  if not isinstance(config, dict):
    return config
  return {
    name: _without(item) for name, item in config.items() if name not in APART
  }


def warnings(found: Sequence[Case], first: str) -> Iterator[str]:
  """Why a framework may not be set against the first one, though it ran."""
  grounds: dict[tuple[str, str], list[Comparison]] = {}
  for case in found:
    for name in case.sides:
      grounds.setdefault((case.key, name), []).append(case.ground)
  for (key, name), there in grounds.items():
    here = grounds.get((key, first), [])
    if name != first and here and not any(place in here for place in there):
      yield _apart(first, here[0], name, there[0])
  for case in found:
    if len(case.sides) > 1 and not _placed(case.ground):
      who = " and ".join(case.sides)
      yield f"Whether {who} ran on the same device is not recorded."


def same_devices(found: Sequence[Case]) -> Iterator[str]:
  """Says on which devices frameworks ran side by side."""
  for case in found:
    ground = case.ground
    if len(case.sides) > 1 and ground.devices and _placed(ground):
      where = " + ".join(ground.devices)
      if ground.devices == (CPU,):
        where = f"the CPU of {ground.machine or 'an unnamed machine'}"
      yield f"Same devices, same meter: {', '.join(case.sides)} on {where}."


def unmatched(
  found: Sequence[Case], frameworks: Sequence[str]
) -> Iterator[str]:
  """Names frameworks that ran nothing which the first one ran too."""
  first, *others = frameworks
  keys = {
    name: {case.key for case in found if name in case.sides}
    for name in frameworks
  }
  for name in others:
    if not keys[name] & keys[first]:
      yield (
        f"{name} ran nothing that {first} ran too: their configs differ in"
        " more than the framework, so no ratio is made."
      )


def numerics(
  records: Sequence[TrialRecord], frameworks: Sequence[str]
) -> Iterator[str]:
  """What differs between the frameworks by nature, a line each."""
  for key in sorted({key for record in records for key in record.numerics}):
    said = {name: _numeric(records, name, key) for name in frameworks}
    if len(set(said.values())) > 1:
      told = "; ".join(f"{name} {words}" for name, words in said.items())
      yield f"By nature: {key.replace('_', ' ')}: {told}."


def _placed(ground: Comparison) -> bool:
  """Whether it is known on which device the trials of a ground ran."""
  if any(domain.startswith("GPU-") for domain in ground.domains):
    return True
  return bool(ground.devices) and not any(
    NO_UUID in device for device in ground.devices
  )


def _apart(first: str, here: Comparison, name: str, there: Comparison) -> str:
  facts = (
    ("run on the same devices", " + ".join, lambda c: c.devices),
    ("run on the same machine", str, lambda c: c.machine),
    ("seen by the same meter", " + ".join, lambda c: c.domains),
    ("both measured", _how, lambda c: c.estimated),
  )
  for what, words, read in facts:
    if read(here) != read(there):
      a, b = (words(read(ground)) or "unknown" for ground in (here, there))
      return (
        f"{first} and {name} were not {what}: {first}: {a}; {name}: {b}. No"
        " ratio between them is made."
      )
  return f"{first} and {name} stand on no common ground: no ratio is made."


def _how(estimated: bool) -> str:
  return "estimated" if estimated else "measured"


def _numeric(records: Sequence[TrialRecord], framework: str, key: str) -> str:
  facts = [r.numerics for r in records if r.framework == framework]
  words = {_word(fact[key]) for fact in facts if key in fact}
  by_length = sorted(words, key=lambda word: (len(word), word))  # 64 or 512
  return " or ".join(by_length) or "not recorded"


def _word(item: object) -> str:
  return item if isinstance(item, str) else json.dumps(item)


PHASES = ("setup", "compile", "warmup", "train", "eval", "infer")

NOTES = (
  "compile + warm-up: what making the executables cost the trial that made"
  " them, and running them once before training.",
  "Peak memory is what each framework says of itself; their counters differ.",
)


PLACE = 30


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers the question from records, or with nothing."""
  answered = section(compared.records)
  return (answered,) if answered else ()


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
    title="Frameworks side by side",
    tables=(
      _costs(head, found),
      *([_ratio_table(head, made)] if made else []),
      _phases(head, found),
    ),
    lines=(
      *filter(None, map(_sentence, made)),
      *unmatched(found, frameworks),
      *dict.fromkeys(same_devices(found)),
      *numerics(records, frameworks),
    ),
    warnings=tuple(dict.fromkeys(warnings(found, first))),
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
    where = name_among(case.ground, self.grounds)
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


def _ratio_table(head: Head, made: Sequence[Ratio]) -> Table:
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
        _joules_ratio(ratio),
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


def _joules_ratio(ratio: Ratio) -> str:
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
