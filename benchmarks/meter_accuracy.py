"""How near the meter comes to the truth, on simulated sensors and clock.

Claim: mean error at most 1.5 times that of perfectly known ticks with
interpolated edges; the 95 % bound covers the truth in 95 % of windows and is
at most four times the mean error. The power of each seed's
work is drawn anew, and what it is matters more than how often it is looked at:
so many seeds and few windows of each. Cost: four minutes, no device.

  PYTHONPATH=. python benchmarks/meter_accuracy.py
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxpower.power.counter import from_counter
from jaxpower.power.reading import Reading
from jaxpower.power.sampler import Sampler
from jaxpower.power.simulated import SensorModel, SimulatedSource
from jaxpower.power.waveform import Sine, Square, Steps, Waveform
from jaxpower.power.window_energy import energy_of

LENGTHS = (0.1, 0.5, 2.0, 10.0)
LIMITS = {  # mean error of the interpolated-edges limit, or the target itself
  "counter 20 ms": (0.014, 0.0024, 0.0006, 0.0001),
  "counter 100 ms": (0.054, 0.0098, 0.002, 0.0004),
}
TARGETS = {
  **{name: tuple(1.5 * x for x in row) for name, row in LIMITS.items()},
  "power 25 of 100 ms": (None, None, 0.03, 0.015),
}
SENSORS = {
  "counter 20 ms": SensorModel(0.02, 0.1, power_window=0.025, quantum=1e-3),
  "counter 100 ms": SensorModel(0.1, 0.1, power_window=0.025, quantum=1e-3),
  "power 25 of 100 ms": SensorModel(
    power_period=0.1, power_window=0.025, has_counter=False
  ),
}


def waveforms(seed: int) -> dict[str, Waveform]:
  """Five kinds of training power, drawn anew for each seed."""
  dice = random.Random(seed)
  steps = [dice.uniform(0.005, 0.4) for _ in range(900)]
  epochs = [
    x
    for _ in range(60)
    for x in (dice.uniform(0.8, 3.0), dice.uniform(0.05, 0.25))
  ]
  return {
    "steps of 230 ms": Square(120.0, 600.0, dice.uniform(0.21, 0.25), 0.6),
    "steps of 37 ms": Square(200.0, 600.0, dice.uniform(0.035, 0.045), 0.7),
    "sine of 370 ms": Sine(350.0, 200.0, dice.uniform(0.33, 0.41)),
    "random steps": Steps([dice.uniform(90, 700) for _ in steps], steps),
    "epochs and evaluations": Steps(
      [
        dice.uniform(480, 650) if i % 2 == 0 else dice.uniform(110, 220)
        for i in range(len(epochs))
      ],
      epochs,
    ),
  }


@dataclass
class Clock:
  """A clock that goes when it is told."""

  now: float = 1000.0

  def __call__(self) -> float:
    return self.now


class SlowSource(SimulatedSource):
  """A simulated sensor whose reads take time, as those of a driver do."""

  def __init__(self, *args, clock: Clock, dice: random.Random, **kwargs):
    super().__init__(*args, clock=clock, **kwargs)
    self._moving, self._dice = clock, dice

  def read(self) -> tuple[Reading]:
    begin = self._moving.now
    self._moving.now += self._dice.uniform(2e-5, 2e-4)
    (reading,) = super().read()
    self._moving.now += self._dice.uniform(2e-5, 2e-4)
    parts = {f: getattr(reading, f) for f in reading.__slots__}
    return (Reading(**{**parts, "begin": begin, "end": self._moving.now}),)


def run_sampler(
  waveform: Waveform,
  sensor: SensorModel,
  seconds: float,
  seed: int,
  edges: Sequence[float] = (),
) -> tuple[Sampler, SimulatedSource]:
  """Lets the real sampler run in simulated time, woken up late now and then.

  At the edges of windows it is nudged, as by the monitor.
  """
  dice = random.Random(seed)
  clock = Clock()
  parts = {**vars(sensor), "phase": dice.uniform(0, 0.1)}
  source = SlowSource(
    waveform, sensor=SensorModel(**parts), clock=clock, dice=dice
  )
  sampler = Sampler([source], clock=clock)
  end = clock.now + seconds
  waiting = sorted(edges, reverse=True)
  while clock.now < end:
    due = sampler.poll()
    if waiting and waiting[-1] <= due:
      due = waiting.pop()
      sampler.nudge()
    late = dice.expovariate(1 / 1e-4) + (2e-3 if dice.random() < 0.02 else 0)
    clock.now = max(clock.now, due) + late
  return sampler, source


@dataclass
class Cell:
  """Errors and bounds of many windows, each relative to its truth."""

  errors: list[float]
  bounds: list[float]
  limits: list[float]
  plain: list[float]
  unknown: int = 0

  @property
  def mean_error(self) -> float:
    return sum(self.errors) / len(self.errors)

  @property
  def mean_bound(self) -> float:
    return sum(self.bounds) / len(self.bounds)

  @property
  def covered(self) -> float:
    pairs = zip(self.errors, self.bounds, strict=True)
    return sum(error <= bound for error, bound in pairs) / len(self.errors)

  def summary(self) -> dict[str, float | int | None]:
    count = len(self.errors)
    return {
      "windows": count,
      "unknown": self.unknown,
      "mean_error": self.mean_error,
      "limit_here": sum(self.limits) / count if self.limits else None,
      "plain_difference": sum(self.plain) / count if self.plain else None,
      "covered": self.covered,
      "bound_over_error": self.mean_bound / self.mean_error,
    }


def measure_cells(
  sensor_name: str,
  seeds: Sequence[int],
  lengths: Sequence[float] = LENGTHS,
  windows: int = 12,
) -> dict[str, dict[float, Cell]]:
  """Cells by waveform and length for one sensor."""
  cells: dict[str, dict[float, Cell]] = {}
  for seed in seeds:
    for name, waveform in waveforms(seed).items():
      row = cells.setdefault(name, {})
      for length in lengths:
        cell = row.setdefault(length, Cell([], [], [], []))
        dice = random.Random(f"{seed} {name} {length}")
        _fill(cell, waveform, SENSORS[sensor_name], length, windows, dice)
  return cells


def _fill(
  cell: Cell,
  waveform: Waveform,
  sensor: SensorModel,
  length: float,
  windows: int,
  dice: random.Random,
) -> None:
  """Windows one after the other, with pauses, at random phases."""
  spans, start = [], 1003.0
  for _ in range(windows):
    start += dice.uniform(0.2, 0.9)
    end = start + length * dice.uniform(0.93, 1.07)
    spans.append((start, end))
    start = end
  edges = [edge for span in spans for edge in span]
  sampler, source = run_sampler(
    waveform, sensor, start - 998.0, dice.randrange(10**6), edges
  )
  (history,) = sampler.channels[0].histories
  for start, end in spans:
    truth = source.truth(start, end)
    energy = energy_of(history, start, end)
    if energy.joules is None or energy.joules_bound is None:
      cell.unknown += 1
      continue
    cell.errors.append(abs(energy.joules - truth) / truth)
    cell.bounds.append(energy.joules_bound / truth)
    if sensor.has_counter:
      cell.limits.append(_limit(source, start, end) / truth)
      cell.plain.append(_plain(source, start, end) / truth)


def _limit(source: SimulatedSource, start: float, end: float) -> float:
  """The error with every tick known exactly."""
  sensor = source.sensor
  first = start - 1000.0 - sensor.phase
  count = int((end - start) / sensor.energy_period) + 4
  base = int(first / sensor.energy_period) - 1
  ticks = [
    (base + i) * sensor.energy_period + sensor.phase + 1000 + 1e-9
    for i in range(count)
  ]
  joules = [sensor.joules(source.waveform, t - 1000.0) for t in ticks]
  energy = from_counter(ticks, [0.0] * count, joules, {}, start, end)
  assert energy.joules is not None
  return abs(energy.joules - source.truth(start, end))


def _plain(source: SimulatedSource, start: float, end: float) -> float:
  """The error of the counter's difference, read at both edges."""
  sensor, waveform = source.sensor, source.waveform
  after = sensor.joules(waveform, end - 1000)
  before = sensor.joules(waveform, start - 1000)
  return abs(after - before - source.truth(start, end))


def merge(cells: Sequence[Cell]) -> Cell:
  """All windows of several cells as one."""
  return Cell(
    [e for c in cells for e in c.errors],
    [b for c in cells for b in c.bounds],
    [x for c in cells for x in c.limits],
    [x for c in cells for x in c.plain],
    sum(c.unknown for c in cells),
  )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--seeds", type=int, default=40)
  parser.add_argument("--first-seed", type=int, default=0)
  parser.add_argument("--out", type=Path)
  parser.add_argument("--detail", action="store_true")
  args = parser.parse_args()
  seeds = range(args.first_seed, args.first_seed + args.seeds)
  results = {}
  for sensor in SENSORS:
    cells = measure_cells(sensor, seeds)
    print(f"\n{sensor}")
    print(
      "  seconds  mean error  target   limit here  plain    covered"
      "  bound/error"
    )
    for length, target in zip(LENGTHS, TARGETS[sensor], strict=True):
      merged = merge([by_length[length] for by_length in cells.values()])
      row = merged.summary()
      results[f"{sensor}, {length} s"] = {**row, "target": target}
      print(
        f"  {length:<7g}  {row['mean_error']:9.3%}  {_percent(target)}"
        f"  {_percent(row['limit_here'])}   {_percent(row['plain_difference'])}"
        f"  {row['covered']:7.1%}  {row['bound_over_error']:6.2f}"
        + (f"  unknown {row['unknown']}" if row["unknown"] else "")
      )
      if args.detail:
        for name, by_length in cells.items():
          one = by_length[length].summary()
          print(
            f"     {one['mean_error']:.3%} {one['covered']:.1%}"
            f" {one['bound_over_error']:.2f} {name}"
          )
  if args.out:
    args.out.write_text(json.dumps(results, indent=1) + "\n")


def _percent(value: float | int | None) -> str:
  return "   -   " if value is None else f"{value:7.3%}"


if __name__ == "__main__":
  main()
