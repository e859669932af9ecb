"""Trials whose configs are equal but for framework and seed, and their ratios.

A ratio of two frameworks says something only where nothing else differs. So
trials are grouped by config within one comparison, which already holds kind of
device and meter fixed, and ratios are made inside such a group alone.

Seeds are drawn in pairs: a seed gives both frameworks the same first weights
and the same order of examples, so what it does to both cancels in the ratio. A
trial that missed its target would have cost more than it spent; the cheapest
of several others is therefore named only where no true cost of the misses could
make it another one.
"""

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import flat
from jaxpower.report.compare.comparison import Comparison, joules_per_1000
from jaxpower.report.compare.costs import (
  SECONDS,
  add,
  all_known,
  costs,
  costs_by_seed,
  exact_by_seed,
  ran,
)
from jaxpower.report.compare.repeats import status_by_seed
from jaxpower.report.compare.statistics import (
  Estimate,
  median,
  paired_ratio,
)
from jaxpower.report.compare.system import GPU, NO_UUID

# In these fields trials of the same config may differ.
FREE_FIELDS = ("framework", "seed")
# These fields are named even where they do not vary.
ALWAYS_NAMED = ("model.name", "batch_size")
PHASES = ("setup", "compile", "warmup", "train", "eval", "infer")


@dataclass(frozen=True, kw_only=True)
class FrameworkCosts:
  """What the trials of one config cost in one framework: medians over seeds.

  `joules` and `seconds` are those to the target, all others those to the end
  of training. None where one of the trials that ran does not know it.
  `seeds` were tried, of which `ran` trained and `reached` met the target.
  """

  records: tuple[TrialRecord, ...]
  seeds: int
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
  by_framework: dict[str, FrameworkCosts]
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
        name: _framework_costs(by_framework[name])
        for name in sorted(by_framework)
      },
      device_known=_is_device_known(comparison),
    )
    for key, by_framework in configs.items()
  )


def _without_free_fields(config: Any) -> Any:
  """Copies a config without its free fields, those of its origin too."""
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
  if any(domain.startswith(GPU) for domain in comparison.domains):
    return True
  return bool(comparison.devices) and not any(
    NO_UUID in device for device in comparison.devices
  )


# Costs of one framework


def _framework_costs(trials: Sequence[TrialRecord]) -> FrameworkCosts:
  completed = ran(trials)
  statuses = list(status_by_seed(trials).values())
  per_1000, per_1000_bound = joules_per_1000(trials)
  return FrameworkCosts(
    records=tuple(trials),
    seeds=len(statuses),
    reached=statuses.count("reached"),
    ran=len(statuses) - statuses.count("failed"),
    joules=median(costs(trials) or ()),
    seconds=median(costs(trials, SECONDS) or ()),
    joules_per_1000_examples=per_1000,
    joules_per_1000_examples_bound=per_1000_bound,
    examples_per_second=median(
      tuple(exact_by_seed(trials, _examples_per_second).values())
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


def _median(numbers: Iterable[float | None]) -> float | None:
  present = all_known(numbers)
  return statistics.median(present) if present else None


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


def ratios_to_others(config: SameConfig, over: str) -> Iterator[Ratio]:
  """Divides the costs of one framework by those of each other one."""
  if over not in config.by_framework:
    return
  others = {
    name: costs for name, costs in config.by_framework.items() if name != over
  }
  cheapest = _cheapest(others)
  for under in others:
    yield _ratio(config, over, under, under == cheapest)


def _ratio(
  config: SameConfig, over: str, under: str, under_is_cheapest: bool
) -> Ratio:
  both = [config.by_framework[name].records for name in (over, under)]
  joules_over, joules_under = map(costs_by_seed, both)
  seconds = (costs_by_seed(trials, SECONDS) for trials in both)
  joules_per_example = (
    exact_by_seed(trials, lambda trial: trial.joules_per_example)
    for trials in both
  )
  joules = paired_ratio(joules_over, joules_under)
  # A lower bound of what is divided by bounds the ratio from above.
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


def _cheapest(by_framework: Mapping[str, FrameworkCosts]) -> str | None:
  """Names the framework of the lowest median; None where misses decide it."""
  medians = {
    name: costs.joules for name, costs in by_framework.items() if costs.ran
  }
  present = {name: joules for name, joules in medians.items() if joules}
  if not present or len(present) < len(medians):
    return None
  # A lower bound of a median is the least that it can be, so the lowest exact
  # median is the cheapest one even where all others are bounds.
  name = min(present, key=lambda name: present[name].value)
  return None if present[name].at_least else name
