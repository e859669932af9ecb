"""The same trial in several frameworks: cases, and the ratios within them.

A ratio is made only between trials of equal configs, framework and seed apart,
that stand on common ground: the same machine, devices and meter.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.costs import SECONDS, TRAIN, Counting, costs
from jaxpower.report.groups import Comparison
from jaxpower.report.statistics import Cost, Estimate, middle, paired_ratio

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
      told=_told(next(iter(sides.values()))[0]),
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


def _told(record: TrialRecord) -> dict[str, Any]:
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
