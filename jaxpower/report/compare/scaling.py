"""What joules per example and speed are on several numbers of devices.

Of sweeps that vary `devices` two rows of trials are taken: those of one global
batch, whose share on each device shrinks (strong scaling), and those of one
batch a device, whose global batch grows (weak scaling). Of each kind that row
which has the most numbers of devices, of several the one with the largest
batch.

What sending and waiting cost is measured, not modelled: on several devices an
example costs more joules than on one device with as large a batch of its own,
where nothing is sent and nobody is waited for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.compare.costs import (
  JOULES_PER_EXAMPLE,
  all_known,
  examples_per_second,
  median_known,
  ran,
)
from jaxpower.report.compare.fitted_settings import fit_settings
from jaxpower.report.compare.model import Fit
from jaxpower.report.compare.statistics import Estimate, converted
from jaxpower.report.compare.system import DEVICES
from jaxpower.wording import setting

BATCH = "batch_size"
PER = 1000  # examples to which joules are told

Same = Literal["global", "device"]


@dataclass(frozen=True, kw_only=True)
class Point:
  """What examples cost on so many devices at one batch size.

  Attributes:
    group: Its index in the comparison.
    devices: How many each trial trained on.
    batch: Examples per update over all devices.
    joules: Per 1000 examples.
    examples_per_second: Of training, the median of trials.
    idle_joules: What the other GPUs of the machine took meanwhile per 1000
      examples, the median of trials; None where that is not known.
  """

  group: int
  devices: int
  batch: int
  joules: Estimate | None
  examples_per_second: float | None
  idle_joules: float | None

  @property
  def per_device(self) -> int:
    """Examples per update on each device."""
    return self.batch // self.devices


@dataclass(frozen=True, kw_only=True)
class Step:
  """A point of a row, beside the first one of it.

  Attributes:
    point: The costs.
    speed_up: How many times as many examples a second as the first one.
    ratio: The joules of an example over those of the first one.
    sent: Joules per 1000 examples beyond those of one device with as large a
      batch of its own; None where no such device was run, 0 on one device.
    sent_known: Whether that differs measurably from nothing.
  """

  point: Point
  speed_up: float | None
  ratio: Estimate | None
  sent: float | None
  sent_known: bool


@dataclass(frozen=True, kw_only=True)
class Row:
  """Points of rising numbers of devices that share a batch size.

  `same` is which: the "global" one, or that per "device"; `size` is it;
  `others` are the values of what else varies.
  """

  comparison: Comparison
  same: Same
  size: int
  others: dict[str, Any]
  steps: tuple[Step, ...]

  @property
  def batch(self) -> str:
    """Names the batch: "batch 512 over all devices", "batch 64 per device"."""
    which = "over all devices" if self.same == "global" else "per device"
    return f"batch {self.size} {which}"


def find(comparison: Comparison) -> list[Row]:
  """Finds the rows of a comparison, those of one global batch first."""
  if DEVICES not in comparison.paths:
    return []
  points: dict[str, list[Point]] = {}
  settings: dict[str, dict[str, Any]] = {}
  fit = fit_settings(
    [group.records for group in comparison.groups], JOULES_PER_EXAMPLE
  )
  for point, others in _points(comparison, fit):
    key = setting(others)
    settings[key] = others
    points.setdefault(key, []).append(point)
  return [
    row
    for key, of_setting in points.items()
    for row in _rows(comparison, fit, of_setting, settings[key])
  ]


def _points(
  comparison: Comparison, fit: Fit
) -> Iterator[tuple[Point, dict[str, Any]]]:
  """Yields what each group cost, and what it varies but devices and batch."""
  for index, group in enumerate(comparison.groups):
    trials = ran(group.records)
    numbers = {number_of_devices(record) for record in trials}
    batches = {record.config.get(BATCH) for record in trials}
    if len(numbers) != 1 or len(batches) != 1 or None in numbers | batches:
      continue
    (devices,), (batch,) = numbers, batches
    others = {
      path: value
      for path, value in group.varied.items()
      if path not in (DEVICES, BATCH)
    }
    cost = fit.cost(index)
    point = Point(
      group=index,
      devices=devices or 1,
      batch=batch or 0,
      joules=None
      if cost is None
      else converted(cost, lambda joules: PER * joules),
      examples_per_second=median_known(map(examples_per_second, trials)),
      idle_joules=median_known(map(_idle, trials)),
    )
    yield point, others


def number_of_devices(record: TrialRecord) -> int | None:
  """Returns on how many devices a trial trained; None where unknown."""
  return len(record.provenance.get("devices") or ()) or None


def _idle(record: TrialRecord) -> float | None:
  """Returns the joules of a machine's other GPUs per 1000 examples."""
  if record.apart_joules_by_phase is None or not record.examples:
    return None
  known = all_known(record.apart_joules_by_phase.get("train", {}).values())
  return None if known is None else PER * sum(known) / record.examples


def _rows(
  comparison: Comparison,
  fit: Fit,
  points: Sequence[Point],
  others: dict[str, Any],
) -> Iterator[Row]:
  """Makes the row of one global batch and that of one batch a device."""
  sizes: dict[Same, dict[int, list[Point]]] = {"global": {}, "device": {}}
  for point in sorted(points, key=lambda point: point.devices):
    sizes["global"].setdefault(point.batch, []).append(point)
    sizes["device"].setdefault(point.per_device, []).append(point)
  alone = {point.batch: point for point in points if point.devices == 1}
  for same, by_size in sizes.items():
    size = max(by_size, key=lambda size: (len(by_size[size]), size))
    first, *more = by_size[size]
    if more:
      steps = (
        _step(fit, point, first, alone.get(point.per_device))
        for point in (first, *more)
      )
      yield Row(
        comparison=comparison,
        same=same,
        size=size,
        others=others,
        steps=tuple(steps),
      )


def _step(fit: Fit, point: Point, first: Point, alone: Point | None) -> Step:
  """Sets a point beside the first of its row, and beside one device alone.

  `alone` is the one device with as large a batch as each of the point's.
  """
  speeds = all_known((point.examples_per_second, first.examples_per_second))
  joules = all_known((point.joules, alone.joules)) if alone else None
  over_alone = fit.ratio(point.group, alone.group) if alone else None
  return Step(
    point=point,
    speed_up=speeds[0] / speeds[1] if speeds else None,
    ratio=fit.ratio(point.group, first.group),
    sent=joules[0].value - joules[1].value if joules else None,
    # Of one seed there is no interval, and the difference is as seen.
    sent_known=over_alone is not None and not _leaves_open(over_alone),
  )


def _leaves_open(ratio: Estimate) -> bool:
  """Whether a ratio has an interval, and 1 is in it."""
  low, high = ratio.low, ratio.high
  return low is not None and high is not None and low <= 1 <= high
