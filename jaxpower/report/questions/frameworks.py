"""What did the same training cost in each framework, and where did it go?

A ratio says something of two frameworks only where nothing else differs. So it
is made between trials whose configs are equal but for framework and seed, and
which one comparison holds: the same machine, devices and meter. Where the first
framework and another ran the same config in different places, a warning says
what differed, since a table that stands side by side looks as if it compared.

Seeds are drawn in pairs: a seed gives both frameworks the same first weights
and the same order of examples, so what it does to both cancels in the ratio. A
trial that missed its target would have cost more than it spent; which of
several others was cheapest is therefore marked only where no end of the misses
could make it another one.
"""

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.cells import (
  UNKNOWN,
  at_least,
  bounded,
  estimate,
  interval,
  interval_note,
  name_among,
  number_or_unknown,
)
from jaxpower.report.compare.comparable import CPU, NO_UUID, flat
from jaxpower.report.compare.comparison import (
  Compared,
  Comparison,
  joules_per_1000,
)
from jaxpower.report.compare.costs import (
  SECONDS,
  add,
  all_known,
  by_seed,
  costs,
  costs_by_seed,
  ran,
)
from jaxpower.report.compare.statistics import (
  Cost,
  Estimate,
  median,
  paired_ratio,
)
from jaxpower.report.findings import Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import (
  join_names,
  joule_unit,
  joules_name,
  label,
  labels,
  measured_or_estimated,
  memory,
  number,
  opening,
  percent,
  value,
)

PLACE = 30
# In these fields trials of the same config may differ.
FREE_FIELDS = ("framework", "seed")
# These fields are named even where they do not vary.
ALWAYS_NAMED = ("model.name", "batch_size")
PHASES = ("setup", "compile", "warmup", "train", "eval", "infer")
# The fields of a Comparison in which two places may differ, and what trials in
# the same place would have been.
PLACES = {
  "devices": "run on the same devices",
  "machine": "run on the same machine",
  "domains": "seen by the same meter",
  "estimated": "both measured",
}
COST_NOTES = (
  "compile + warm-up: what making the executables cost the trial that made"
  " them, and running them once before training.",
  "Peak memory is what each framework says of itself; their counters differ.",
)


@dataclass(frozen=True, kw_only=True)
class Side:
  """What the trials of one config cost in one framework: medians over seeds.

  `joules` and `seconds` are those to the target, all others those to the end
  of training. None where one of the trials that ran does not know it.
  """

  records: tuple[TrialRecord, ...]
  reached: int
  ran: int
  joules: Estimate | None
  seconds: Estimate | None
  joules_per_1000_examples: float | None
  joules_per_1000_examples_bound: float | None
  examples_per_second: Estimate | None
  joules_to_prepare: float | None
  joules_by_phase: dict[str, float | None]
  peak_memory_bytes: float | None


@dataclass(frozen=True, kw_only=True)
class SameConfig:
  """Trials of one config within one comparison, by framework.

  `key` is the config without framework and seed, the same wherever it was run;
  `settings` are the fields that name it to a reader; `device_known` is whether
  the records say on which device the trials ran.
  """

  key: str
  comparison: Comparison
  settings: dict[str, Any]
  by_framework: dict[str, Side]
  device_known: bool


@dataclass(frozen=True, kw_only=True)
class Ratio:
  """What one framework cost over what another did, in the same config.

  `joules` and `seconds` are those to the target; None where one is unknown or
  `under` has no median. There `joules_at_most` may bound the ratio from above.
  `under_is_cheapest` holds where none but `over` can be cheaper than `under`,
  however the misses would have ended. `seed_pairs` counts seeds that both have.
  """

  config: SameConfig
  over: str
  under: str
  under_is_cheapest: bool
  joules: Estimate | None
  seconds: Estimate | None
  joules_per_example: Estimate | None
  joules_at_most: float | None
  seed_pairs: int


@dataclass(frozen=True)
class Separate:
  """A framework that ran a config of the first one, but in another place.

  `here` is where the first one ran it. `differs` is the field of `PLACES` in
  which the two places are unlike; empty where none of these is.
  """

  framework: str
  here: Comparison
  there: Comparison
  differs: str


@dataclass(frozen=True, kw_only=True)
class SideBySide:
  """What records say of several frameworks, given in alphabetical order.

  The first one, which is jax wherever it ran, is set against each other one:
  by `ratios`; `separate` share a config with it, but no place; `unmatched` not
  even that. `numerics` are those in which frameworks differ, by name and
  framework: all values on record.
  """

  frameworks: tuple[str, ...]
  comparisons: tuple[Comparison, ...]
  configs: tuple[SameConfig, ...]
  ratios: tuple[Ratio, ...]
  separate: tuple[Separate, ...]
  unmatched: tuple[str, ...]
  numerics: dict[str, dict[str, tuple[Any, ...]]]


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers with one section; with none where there is but one framework."""
  side_by_side = find(compared)
  return () if side_by_side is None else (tell(side_by_side),)


# Values


def find(compared: Compared) -> SideBySide | None:
  """Finds costs and ratios by framework; None for fewer than two of them."""
  frameworks = tuple(sorted({r.framework for r in compared.records}))
  if len(frameworks) < 2:
    return None
  first = frameworks[0]
  configs = tuple(
    config
    for comparison in compared.comparisons
    for config in same_configs(comparison)
  )
  return SideBySide(
    frameworks=frameworks,
    comparisons=compared.comparisons,
    configs=configs,
    ratios=tuple(r for config in configs for r in _ratios(config, first)),
    separate=tuple(_separate(configs, first)),
    unmatched=tuple(_unmatched(configs, frameworks)),
    numerics=_numerics(compared.records, frameworks),
  )


def same_configs(comparison: Comparison) -> tuple[SameConfig, ...]:
  """Groups trials by config and framework, in the order of what varies."""
  configs: dict[str, dict[str, list[TrialRecord]]] = {}
  for group in comparison.groups:
    for record in group.records:
      config = _without_free_fields(record.config)
      key = json.dumps(config, sort_keys=True)
      by_framework = configs.setdefault(key, {})
      by_framework.setdefault(record.framework, []).append(record)
  return tuple(
    SameConfig(
      key=key,
      comparison=comparison,
      settings=_settings(next(iter(by_framework.values()))[0]),
      by_framework={
        name: _side(by_framework[name]) for name in sorted(by_framework)
      },
      device_known=_is_device_known(comparison),
    )
    for key, by_framework in configs.items()
  )


def _without_free_fields(config: Any) -> Any:
  """A config without its free fields, also in the trial it starts from."""
  if not isinstance(config, dict):
    return config
  return {
    name: _without_free_fields(item)
    for name, item in config.items()
    if name not in FREE_FIELDS
  }


def _settings(record: TrialRecord) -> dict[str, Any]:
  config = flat(record.config)
  always = {path: config.get(path) for path in ALWAYS_NAMED}
  settings = {path: item for path, item in always.items() if item is not None}
  settings |= record.varied
  return {path: settings[path] for path in settings if path not in FREE_FIELDS}


def _is_device_known(comparison: Comparison) -> bool:
  """Whether a GPU's UUID, or that it was the CPU, is on record."""
  if any(domain.startswith("GPU-") for domain in comparison.domains):
    return True
  return bool(comparison.devices) and not any(
    NO_UUID in device for device in comparison.devices
  )


# Costs of one framework


def _side(trials: Sequence[TrialRecord]) -> Side:
  completed = ran(trials)
  per_1000, per_1000_bound = joules_per_1000(trials)
  return Side(
    records=tuple(trials),
    reached=sum(record.status == "reached" for record in trials),
    ran=len(completed),
    joules=median(costs(trials) or ()),
    seconds=median(costs(trials, SECONDS) or ()),
    joules_per_1000_examples=per_1000,
    joules_per_1000_examples_bound=per_1000_bound,
    examples_per_second=median(
      _exact_costs(map(_examples_per_second, completed))
    ),
    joules_to_prepare=_median(
      add(_phase_joules(record, "compile"), _phase_joules(record, "warmup"))
      for record in completed
    ),
    joules_by_phase={
      phase: _median(_phase_joules(record, phase) for record in completed)
      for phase in PHASES
    },
    peak_memory_bytes=_median(record.peak_memory_bytes for record in completed),
  )


def _exact_costs(numbers: Iterable[float | None]) -> list[Cost]:
  """Costs of which none is a lower bound; none where one is unknown."""
  return [Cost(number) for number in all_known(numbers) or ()]


def _median(numbers: Iterable[float | None]) -> float | None:
  known = all_known(numbers)
  return statistics.median(known) if known else None


def _examples_per_second(record: TrialRecord) -> float | None:
  if record.examples is None or not record.train_seconds:
    return None
  return record.examples / record.train_seconds


def _phase_joules(record: TrialRecord, phase: str) -> float | None:
  # A trial that takes executables from a cache spends nothing on compiling:
  # `record.compile` says what they cost the trial that compiled them.
  if phase == "compile":
    return record.compile.joules if record.compile else None
  return record.joules_by_phase.get(phase)


# Ratios of two frameworks


def _ratios(config: SameConfig, over: str) -> Iterator[Ratio]:
  """One framework over each other one."""
  if over not in config.by_framework:
    return
  others = {
    name: side for name, side in config.by_framework.items() if name != over
  }
  cheapest = _cheapest(others)
  for under in others:
    yield _ratio(config, over, under, under == cheapest)


def _ratio(
  config: SameConfig, over: str, under: str, under_is_cheapest: bool
) -> Ratio:
  sides = [config.by_framework[name].records for name in (over, under)]
  joules_over, joules_under = map(costs_by_seed, sides)
  seconds = (costs_by_seed(trials, SECONDS) for trials in sides)
  joules_per_example = map(_joules_per_example_by_seed, sides)
  joules = paired_ratio(joules_over, joules_under)
  # A lower bound below the line bounds the ratio from above.
  inverse = paired_ratio(joules_under, joules_over) if joules is None else None
  return Ratio(
    config=config,
    over=over,
    under=under,
    under_is_cheapest=under_is_cheapest,
    joules=joules,
    seconds=paired_ratio(*seconds),
    joules_per_example=paired_ratio(*joules_per_example),
    joules_at_most=1 / inverse.value if inverse and inverse.value else None,
    seed_pairs=len(joules_over.keys() & joules_under.keys()),
  )


def _cheapest(sides: Mapping[str, Side]) -> str | None:
  """The framework of the lowest median, if no miss can make it another."""
  medians = {name: side.joules for name, side in sides.items() if side.ran}
  known = {name: joules for name, joules in medians.items() if joules}
  if not known or len(known) < len(medians):
    return None
  # A lower bound of a median is the least that it can be, so the lowest known
  # median is the cheapest one even where all others are bounds.
  name = min(known, key=lambda name: known[name].value)
  return None if known[name].at_least else name


def _joules_per_example_by_seed(
  records: Sequence[TrialRecord],
) -> dict[tuple[int, int], Cost]:
  trials = by_seed(records)
  joules = _exact_costs(trial.joules_per_example for trial in trials.values())
  return dict(
    zip(trials, joules, strict=False)
  )  # of none, where one is unknown


# What cannot be compared, and what differs in any case


def _separate(configs: Sequence[SameConfig], first: str) -> Iterator[Separate]:
  """Frameworks that ran a config of the first one, but nowhere beside it."""
  places: dict[tuple[str, str], list[Comparison]] = {}
  for config in configs:
    for name in config.by_framework:
      places.setdefault((config.key, name), []).append(config.comparison)
  for (key, name), there in places.items():
    here = places.get((key, first), [])
    if name != first and here and not any(place in here for place in there):
      unlike = (
        field
        for field in PLACES
        if getattr(here[0], field) != getattr(there[0], field)
      )
      yield Separate(name, here[0], there[0], next(unlike, ""))


def _unmatched(
  configs: Sequence[SameConfig], frameworks: Sequence[str]
) -> Iterator[str]:
  """Frameworks that ran no config which the first one ran too."""
  keys = {
    name: {config.key for config in configs if name in config.by_framework}
    for name in frameworks
  }
  first, *others = frameworks
  return (name for name in others if not keys[name] & keys[first])


def _numerics(
  records: Sequence[TrialRecord], frameworks: Sequence[str]
) -> dict[str, dict[str, tuple[Any, ...]]]:
  """The numerics in which frameworks differ, with the values of each."""
  differing = {}
  for name in sorted({name for record in records for name in record.numerics}):
    # By their JSON, since a value may be a list, which no set can hold.
    values: dict[str, dict[str, Any]] = {key: {} for key in frameworks}
    for record in records:
      if name in record.numerics:
        item = record.numerics[name]
        values[record.framework][json.dumps(item)] = item
    if any(v.keys() != values[frameworks[0]].keys() for v in values.values()):
      differing[name] = {key: tuple(v.values()) for key, v in values.items()}
  return differing


# Words


def tell(side_by_side: SideBySide) -> Section:
  """Tells costs, ratios and phases by framework, and what was not compared."""
  first = side_by_side.frameworks[0]
  configs, ratios = side_by_side.configs, side_by_side.ratios
  warnings = (
    *(_separate_warning(first, separate) for separate in side_by_side.separate),
    *filter(None, map(_unknown_device_warning, configs)),
  )
  return Section(
    title="Frameworks side by side",
    warnings=tuple(dict.fromkeys(warnings)),
    tables=(
      _cost_table(side_by_side),
      *([_ratio_table(side_by_side)] if ratios else []),
      _phase_table(side_by_side),
    ),
    lines=(
      *filter(None, map(_ratio_sentence, ratios)),
      *(_unmatched_sentence(first, name) for name in side_by_side.unmatched),
      *dict.fromkeys(filter(None, map(_same_device_sentence, configs))),
      *starmap(_numerics_sentence, side_by_side.numerics.items()),
    ),
  )


def _cost_table(side_by_side: SideBySide) -> Table:
  targets = {c.comparison.target_accuracy for c in side_by_side.configs}
  target = percent(targets.pop()) if len(targets) == 1 else "target"
  estimated = _is_estimated(side_by_side.configs)
  unit = joule_unit(estimated)
  columns = (
    *_config_columns(side_by_side),
    "framework",
    "reached",
    f"{joules_name(estimated)} to {target}",
    "seconds",
    f"{unit} per 1000 examples",
    "examples per second",
    f"compile + warm-up {unit}",
    "peak memory",
  )
  seeds = [
    side.ran
    for config in side_by_side.configs
    for side in config.by_framework.values()
    if side.ran > 1
  ]
  notes = (interval_note(min(seeds)),) if seeds else ()
  rows = _side_rows(side_by_side, _cost_cells)
  return Table(columns, rows, (*notes, *COST_NOTES))


def _cost_cells(side: Side) -> tuple[str, ...]:
  return (
    f"{side.reached} of {len(side.records)}",
    estimate(side.joules),
    estimate(side.seconds),
    bounded(side.joules_per_1000_examples, side.joules_per_1000_examples_bound),
    estimate(side.examples_per_second),
    number_or_unknown(side.joules_to_prepare),
    UNKNOWN
    if side.peak_memory_bytes is None
    else memory(side.peak_memory_bytes),
  )


def _ratio_table(side_by_side: SideBySide) -> Table:
  ratios = side_by_side.ratios
  over = ratios[0].over
  estimated = _is_estimated([ratio.config for ratio in ratios])
  columns = (
    *_config_columns(side_by_side),
    f"{over} over",
    joules_name(estimated),
    "seconds",
    f"{joule_unit(estimated)} per example",
    "seeds in pairs",
  )
  rows = tuple(
    (
      *_config_cells(side_by_side, ratio.config),
      f"{ratio.under} (the better)"
      if _is_best_of_several(ratio)
      else ratio.under,
      _joules_ratio(ratio),
      estimate(ratio.seconds),
      estimate(ratio.joules_per_example),
      str(ratio.seed_pairs) if ratio.seed_pairs > 1 else "none",
    )
    for ratio in ratios
  )
  note = (
    f"Below 1: {over} took less. In brackets the 95 % bootstrap interval,"
    " drawn over the seeds that both have; without pairs, over each side's"
    " own seeds."
  )
  return Table(columns, rows, (note,))


def _phase_table(side_by_side: SideBySide) -> Table:
  unit = joule_unit(_is_estimated(side_by_side.configs))
  columns = (
    *_config_columns(side_by_side),
    "framework",
    *(f"{phase} {unit}" for phase in PHASES),
  )
  rows = _side_rows(
    side_by_side,
    lambda side: tuple(map(number_or_unknown, side.joules_by_phase.values())),
  )
  note = (
    "Medians over all trials that ran, to their end and not only to the"
    " target; compile is that of the trial that made the executables."
  )
  return Table(columns, rows, (note,))


def _config_columns(side_by_side: SideBySide) -> tuple[str, ...]:
  """Heads the first columns of every table: where, and which config."""
  where = ("where",) if len(side_by_side.comparisons) > 1 else ()
  return (*where, *labels(_paths(side_by_side)).values())


def _config_cells(
  side_by_side: SideBySide, config: SameConfig
) -> tuple[str, ...]:
  comparisons, settings = side_by_side.comparisons, config.settings
  where = [name_among(config.comparison, comparisons)]
  return (
    *(where if len(comparisons) > 1 else ()),
    *(
      value(settings[path]) if path in settings else "-"
      for path in _paths(side_by_side)
    ),
  )


def _side_rows(
  side_by_side: SideBySide, cells: Callable[[Side], tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
  """Makes a row of each config and framework, with these cells to its right."""
  return tuple(
    (*_config_cells(side_by_side, config), framework, *cells(side))
    for config in side_by_side.configs
    for framework, side in config.by_framework.items()
  )


def _paths(side_by_side: SideBySide) -> tuple[str, ...]:
  """The fields that name some config."""
  configs = side_by_side.configs
  return tuple(dict.fromkeys(path for c in configs for path in c.settings))


def _is_estimated(configs: Iterable[SameConfig]) -> bool:
  return any(config.comparison.estimated for config in configs)


def _is_best_of_several(ratio: Ratio) -> bool:
  return ratio.under_is_cheapest and len(ratio.config.by_framework) > 2


def _joules_ratio(ratio: Ratio) -> str:
  if ratio.joules is None and ratio.joules_at_most is not None:
    return f"< {number(ratio.joules_at_most)}"
  return estimate(ratio.joules)


# Sentences


def _ratio_sentence(ratio: Ratio) -> str:
  """Says the ratio to the cheapest of the others; empty for all others."""
  setting, joules = opening(ratio.config.settings), ratio.joules
  energy = joules_name(ratio.config.comparison.estimated)
  over, under = ratio.over, ratio.under
  if ratio.joules_at_most is not None:
    return (
      f"{setting}: {over} cost less than {number(ratio.joules_at_most)} times"
      f" the {energy} of {under}, which missed too often for a median."
    )
  if joules is None or not ratio.under_is_cheapest:
    return ""
  if _is_best_of_several(ratio):
    under += ", the better of the others"
  cost = f"{setting}: {over} cost {at_least(joules)} times"
  if joules.at_least:
    return f"{cost} the {energy} of {under}."
  if joules.low is None or joules.high is None:
    return f"{cost} the {energy} of {under}; one seed tells no interval."
  if joules.low <= 1 <= joules.high:
    return (
      f"{setting}: the seeds do not tell {over} from {under}: ratio"
      f" {number(joules.value)} ({interval(joules)})."
    )
  return f"{cost} ({interval(joules)}) the {energy} of {under}."


def _unmatched_sentence(first: str, name: str) -> str:
  return (
    f"{name} ran nothing that {first} ran too: their configs differ in more"
    " than the framework, so no ratio is made."
  )


def _same_device_sentence(config: SameConfig) -> str:
  """Says on which devices frameworks ran side by side; empty if unknown."""
  comparison = config.comparison
  alone = len(config.by_framework) < 2
  if alone or not comparison.devices or not config.device_known:
    return ""
  where = value(comparison.devices)
  if comparison.devices == (CPU,):
    where = f"the CPU of {comparison.machine or 'an unnamed machine'}"
  names = ", ".join(config.by_framework)
  return f"Same devices, same meter: {names} on {where}."


def _numerics_sentence(name: str, values: Mapping[str, Sequence[Any]]) -> str:
  texts = (
    f"{framework} {_any_of(items)}" for framework, items in values.items()
  )
  return f"By nature: {label(name)}: {'; '.join(texts)}."


def _any_of(items: Sequence[Any]) -> str:
  by_length = sorted(map(value, items), key=lambda text: (len(text), text))
  return " or ".join(by_length) or "not recorded"  # "64 or 512", not reversed


def _separate_warning(first: str, separate: Separate) -> str:
  other, field = separate.framework, separate.differs
  if not field:
    return f"{first} and {other} stand on no common ground: no ratio is made."
  here, there = (
    _place(comparison, field) for comparison in (separate.here, separate.there)
  )
  return (
    f"{first} and {other} were not {PLACES[field]}: {first}: {here}; {other}:"
    f" {there}. No ratio between them is made."
  )


def _place(comparison: Comparison, field: str) -> str:
  if field == "estimated":
    return measured_or_estimated(comparison.estimated)
  return value(getattr(comparison, field)) or UNKNOWN


def _unknown_device_warning(config: SameConfig) -> str:
  if len(config.by_framework) < 2 or config.device_known:
    return ""
  names = join_names(list(config.by_framework))
  return f"Whether {names} ran on the same device is not recorded."
