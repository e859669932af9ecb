"""Trials whose configs are equal but for framework and seed, and their ratios.

A ratio of two frameworks says something only where nothing else differs. So
trials are grouped by config within one comparison, which already holds kind of
device and meter fixed, and ratios are made inside such a group alone.

All groups of a comparison are fitted together (`compare.model`), once for each
thing counted. Seeds and boards are blocks: a seed gives both frameworks the
same first weights and the same order of examples, so what it does to both
cancels in the ratio. Joules to the target are examples to the target times
joules per example, and the two are told apart: where frameworks learn alike by
construction a difference in examples is the luck of rounding.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import flat
from jaxpower.report.compare.comparison import Comparison, joules_per_1000
from jaxpower.report.compare.costs import (
  EXAMPLES,
  JOULES_PER_EXAMPLE,
  SECONDS,
  TRAIN,
  add,
  by_seed,
  examples_per_second,
  median_known,
  missed_within,
  ran,
)
from jaxpower.report.compare.fitted_settings import fit_settings
from jaxpower.report.compare.model import Fit
from jaxpower.report.compare.repeats import status_by_seed
from jaxpower.report.compare.statistics import Estimate, converted
from jaxpower.report.compare.system import GPU, NO_UUID

# In these fields trials of the same config may differ.
FREE_FIELDS = ("framework", "seed")
# These fields are named even where they do not vary.
ALWAYS_NAMED = ("model.name", "batch_size")
PHASES = ("setup", "compile", "warmup", "train", "eval", "infer")


# What is fitted, each by a model of its own.
COUNTED = {
  "joules": TRAIN,
  "seconds": SECONDS,
  "joules_per_example": JOULES_PER_EXAMPLE,
  "examples": EXAMPLES,
}


@dataclass(frozen=True, kw_only=True)
class FrameworkCosts:
  """What the trials of one config cost in one framework.

  Estimates are of the typical seed. Of `joules`, `seconds` and `examples`,
  which are those to the target, there is none where more than half of the seeds
  missed it, nor where one of the trials that ran does not know its own; `steps`
  are the updates of so many examples. All other numbers are of the whole
  training, medians over trials.

  Attributes:
    records: All trials, failed ones too.
    seeds: How many were tried.
    ran: How many of them trained.
    reached: How many met the target.
    missed_within: The joules that every trial which missed it had spent at
      least; None where that is unknown or none missed.
    joules_per_1000_examples_bound: The meter's, at 95 %.
  """

  records: tuple[TrialRecord, ...]
  seeds: int
  ran: int
  reached: int
  missed_within: float | None
  joules: Estimate | None
  seconds: Estimate | None
  examples: Estimate | None
  steps: Estimate | None
  joules_per_1000_examples: Estimate | None
  joules_per_1000_examples_bound: float | None
  examples_per_second: float | None
  joules_to_prepare: float | None
  joules_by_phase: dict[str, float | None]
  peak_memory_bytes: float | None

  @property
  def missed(self) -> int:
    """How many seeds trained and did not meet the target."""
    return self.ran - self.reached


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

  `joules`, `seconds` and `examples` are those to the target; None where one
  side has no estimate. Their intervals hold for all ratios of a comparison at
  once. `cheapest_other` names the framework but `over` of the lowest estimate;
  None where one of them ran and has none. `seed_pairs` counts seeds that both
  have.
  """

  config: SameConfig
  over: str
  under: str
  cheapest_other: str | None
  joules: Estimate | None
  seconds: Estimate | None
  joules_per_example: Estimate | None
  examples: Estimate | None
  seed_pairs: int


@dataclass(frozen=True)
class SameConfigs:
  """All configs of one comparison, and the ratios of their frameworks."""

  configs: tuple[SameConfig, ...]
  ratios: tuple[Ratio, ...]


def same_configs(comparison: Comparison, over: str) -> SameConfigs:
  """Groups trials by config and framework, in the order of what varies.

  The costs of framework `over` are divided by those of each other one.
  """
  trials = _by_config(comparison)
  cells = [(key, name) for key in trials for name in sorted(trials[key])]
  of_cells = [trials[key][name] for key, name in cells]
  fits = {
    name: fit_settings(of_cells, count) for name, count in COUNTED.items()
  }
  place = {cell: index for index, cell in enumerate(cells)}
  device_known = _is_device_known(comparison)
  configs = tuple(
    SameConfig(
      key=key,
      comparison=comparison,
      settings=_settings(next(iter(by_framework.values()))[0]),
      by_framework={
        name: _framework_costs(by_framework[name], fits, place[key, name])
        for name in sorted(by_framework)
      },
      device_known=device_known,
    )
    for key, by_framework in trials.items()
  )
  return SameConfigs(configs, _ratios(configs, over, fits, place))


def _by_config(
  comparison: Comparison,
) -> dict[str, dict[str, list[TrialRecord]]]:
  """Puts trials together by config, as JSON, and by framework."""
  configs: dict[str, dict[str, list[TrialRecord]]] = {}
  for group in comparison.groups:
    for record in group.records:
      config = _without_free_fields(record.config)
      key = json.dumps([config, _batch_norms(record)], sort_keys=True)
      by_framework = configs.setdefault(key, {})
      by_framework.setdefault(record.framework, []).append(record)
  return configs


def _batch_norms(record: TrialRecord) -> str:
  """Says over what several devices' batch norms went; empty for one device.

  Older versions took the global batch in JAX, whatever PyTorch took, so it is
  the record that is asked, and not the config.
  """
  several = len(record.provenance.get("devices") or ()) > 1
  return str(record.numerics.get("batch_norm", "")) if several else ""


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


def _framework_costs(
  trials: Sequence[TrialRecord], fits: Mapping[str, Fit], place: int
) -> FrameworkCosts:
  """Gathers costs; `place` is the setting's index in the fits."""
  completed = ran(trials)
  statuses = list(status_by_seed(trials).values())
  estimates = {name: fit.cost(place) for name, fit in fits.items()}
  per_example = estimates["joules_per_example"]
  _, per_1000_bound = joules_per_1000(trials)
  return FrameworkCosts(
    records=tuple(trials),
    seeds=len(statuses),
    ran=len(statuses) - statuses.count("failed"),
    reached=statuses.count("reached"),
    missed_within=missed_within(completed),
    joules=estimates["joules"],
    seconds=estimates["seconds"],
    examples=estimates["examples"],
    steps=_steps(estimates["examples"], trials[0]),
    joules_per_1000_examples=per_example
    and converted(per_example, lambda joules: 1000 * joules),
    joules_per_1000_examples_bound=per_1000_bound,
    examples_per_second=median_known(map(examples_per_second, completed)),
    joules_to_prepare=median_known(
      add(_phase_joules(record, "compile"), _phase_joules(record, "warmup"))
      for record in completed
    ),
    joules_by_phase={
      phase: median_known(_phase_joules(record, phase) for record in completed)
      for phase in PHASES
    },
    peak_memory_bytes=median_known(
      record.peak_memory_bytes for record in completed
    ),
  )


def _steps(examples: Estimate | None, trial: TrialRecord) -> Estimate | None:
  """Divides examples by the batch, which all trials of a config share."""
  batch = trial.config.get("batch_size")
  if examples is None or not isinstance(batch, int) or batch < 1:
    return None
  return converted(examples, lambda number: number / batch)


def _phase_joules(record: TrialRecord, phase: str) -> float | None:
  # A trial that takes executables from a cache spends nothing on compiling:
  # `record.compile` says what they cost the trial that compiled them.
  if phase == "compile":
    return record.compile.joules if record.compile else None
  return record.joules_by_phase.get(phase)


# Ratios of two frameworks


def _ratios(
  configs: Sequence[SameConfig],
  over: str,
  fits: Mapping[str, Fit],
  place: Mapping[tuple[str, str], int],
) -> tuple[Ratio, ...]:
  """Divides the costs of one framework by those of each other one."""
  listed = [
    (config, under)
    for config in configs
    for under in config.by_framework
    if over in config.by_framework and under != over
  ]
  pairs = [
    (place[config.key, over], place[config.key, under])
    for config, under in listed
  ]
  ratios = {name: fit.ratios(pairs) for name, fit in fits.items()}
  return tuple(
    Ratio(
      config=config,
      over=over,
      under=under,
      cheapest_other=_cheapest_but(config.by_framework, over),
      seed_pairs=_seed_pairs(config, over, under),
      **{name: of_pairs[index] for name, of_pairs in ratios.items()},
    )
    for index, (config, under) in enumerate(listed)
  )


def _seed_pairs(config: SameConfig, *frameworks: str) -> int:
  seeds = [set(by_seed(config.by_framework[f].records)) for f in frameworks]
  return len(set.intersection(*seeds))


def _cheapest_but(
  by_framework: Mapping[str, FrameworkCosts], over: str
) -> str | None:
  """Names the other framework of the lowest estimate; None if one has none."""
  joules = {
    name: costs.joules
    for name, costs in by_framework.items()
    if costs.ran and name != over
  }
  known = {name: each.value for name, each in joules.items() if each}
  if not known or len(known) < len(joules):
    return None
  return min(known, key=known.__getitem__)
