"""How near the meter comes to the truth, on drawn power and a simulated clock.

Claim: mean error at most 1.5 times the limit of the sensor as it is (its value
read every 2 ms and interpolated); the 95 % bound covers the truth in 95 % of
windows, in 90 % of those of the worst kind of power, sums over eight GPUs in
step included, and is at most four times the mean error. Sensors, kinds of power
and the load of the machine at the start are drawn (drawn_power.py). The
gain of a board is not the reading's fault: truth is what an ideal sensor of the
same gain shows. Cost: some minutes of one core, no device.

  PYTHONPATH=. python benchmarks/meter_accuracy.py --first-seed 5000
"""

import argparse
import json
import math
import os
import platform
import random
import sys
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.drawn_power import KINDS, Power, Sensor, draw_sensor
from jaxpower.power.reading import Domain, Reading
from jaxpower.power.sampler import Sampler
from jaxpower.power.window_energy import measure_window

# Of one run: seconds of each window, and how many of them.
LENGTHS = {0.1: 6, 0.5: 5, 2.0: 3, 10.0: 1}
START = 1000.0  # of the clock
BEFORE = 3.0  # seconds of power before, so that nothing looks before the start
FIRST_WINDOW = 2.1  # seconds after the start: Monitor waits 2 s at most
LIMIT_INTERVAL = 2e-3  # seconds between the reads of the limit
# Mean seconds by which a wake-up is late until LOADED_SECONDS: a quiet
# machine, two and eight busy threads a core.
LOADS = {"quiet": 1e-4, "load 2": 10e-3, "load 8": 30e-3}
LOADED_SECONDS = 3.0
LATE_SHARE, LATE = 0.02, 2e-3  # of all wake-ups are so much later at most
GPUS = 8


@dataclass
class Clock:
  """A clock that goes when it is told."""

  now: float = START

  def __call__(self) -> float:
    return self.now


class DrawnSource:
  """One drawn sensor as a source; its reads take time."""

  def __init__(
    self, sensor: Sensor, power: Power, seconds: float, clock: Clock, seed: int
  ):
    dice = np.random.default_rng(seed)
    self.sensor, self._clock, self._dice = sensor, clock, random.Random(seed)
    begin = START - BEFORE / 2
    ticks = sensor.ticks(dice, begin, seconds + BEFORE)
    updates = ticks
    if sensor.has_counter and not sensor.seen:
      updates = replace(sensor, has_counter=False, jitter=0.0).ticks(
        dice, begin, seconds + BEFORE
      )
    self.ticks, self.updates = ticks.tolist(), updates.tolist()
    self.counts = sensor.counts(power, ticks).tolist()
    self.readings = sensor.readings(power, updates).tolist()
    average = sensor.power_window > 0.5
    method = "power_average" if average else "power_instant"
    self._domain = Domain(
      f"GPU-{seed}",
      "gpu",
      "counter" if sensor.has_counter else method,
      power_window_seconds=sensor.power_window if average else 0.0,
    )

  @property
  def domains(self) -> tuple[Domain, ...]:
    return (self._domain,)

  def read(self) -> tuple[Reading]:
    """Reads at some instant inside the call."""
    begin = self._clock.now
    seconds = self._dice.uniform(0.2, 1.0) * self.sensor.call_seconds
    at = begin + self._dice.random() * seconds
    self._clock.now = begin + seconds
    joules = None
    if self.sensor.has_counter:
      joules = self.counts[bisect_right(self.ticks, at) - 1]
    watts = self.readings[bisect_right(self.updates, at) - 1]
    return (Reading(self._domain.name, begin, self._clock.now, joules, watts),)

  def limit(self, start: float, end: float) -> float:
    """Returns the joules of reads every LIMIT_INTERVAL, interpolated."""
    reads = LIMIT_INTERVAL + 0.6 * self.sensor.call_seconds
    counter = self.sensor.has_counter
    ticks = np.asarray(self.ticks if counter else self.updates)
    ticks = (np.ceil(ticks / reads) - 0.5) * reads
    edges = np.array([start, end])
    if counter:
      return float(np.diff(np.interp(edges, ticks, self.counts))[0])
    shift = (
      self.sensor.power_window / 2 if self._domain.power_window_seconds else 0.0
    )
    ticks = ticks - shift
    inside = ticks[(ticks > start) & (ticks < end)]
    at = np.concatenate([[start], inside, [end]])
    watts = np.interp(at, ticks, self.readings)
    return float(np.sum(np.diff(at) * (watts[1:] + watts[:-1]) / 2))

  def describe(self) -> dict[str, object]:
    return {}

  def close(self) -> None: ...


def run_sampler(
  sources: Sequence[DrawnSource],
  clock: Clock,
  seconds: float,
  seed: int,
  edges: Iterable[float] = (),
  load: float = LOADS["quiet"],
) -> Sampler:
  """Lets the real sampler run in simulated time, nudged at the edges."""
  dice = random.Random(seed)
  sampler = Sampler(sources, clock=clock)
  end = clock.now + seconds
  waiting = sorted(edges, reverse=True)
  while clock.now < end:
    due = sampler.poll()
    if waiting and waiting[-1] <= due:
      due = waiting.pop()
      clock.now = max(clock.now, due)
      sampler.nudge()
    loaded = clock.now < START + LOADED_SECONDS
    late = dice.expovariate(1 / (load if loaded else LOADS["quiet"]))
    if dice.random() < LATE_SHARE:
      late += dice.uniform(0, LATE)
    clock.now = max(clock.now, due) + late
  return sampler


def draw_windows(dice: random.Random) -> list[tuple[float, float, float]]:
  """Draws windows one after the other: nominal seconds, start, end."""
  lengths = [length for length, n in LENGTHS.items() for _ in range(n)]
  dice.shuffle(lengths)
  windows, start = [], START + FIRST_WINDOW
  for length in lengths:
    start += dice.uniform(0.05, 0.8)
    end = start + length * dice.uniform(0.93, 1.07)
    windows.append((length, start, end))
    start = end
  return windows


@dataclass(frozen=True)
class Outcome:
  """One window: error, bound and limit over its true energy; and what it was.

  `error` is None where the joules were unknown.
  """

  group: dict[str, str]
  error: float | None
  bound: float
  limit: float


def measure(seed: int, number: int, gpus: int = 1) -> list[Outcome]:
  """Measures the windows of one drawn run."""
  drawn = np.random.default_rng((seed, number, gpus))
  dice = random.Random(f"{seed} {number} {gpus}")
  kind = list(KINDS)[number % len(KINDS)]
  load = list(LOADS)[max(0, number // len(KINDS) % 4 - 1)]
  sensor = draw_sensor(drawn, int(drawn.integers(10**6)))
  windows = draw_windows(dice)
  seconds = windows[-1][2] - START + 1.5
  count = int((seconds + 2 * BEFORE) * 1e3)
  watts = KINDS[kind](drawn, count)
  clock = Clock()
  sources, powers = [], []
  for _ in range(gpus):
    scale = dice.uniform(0.95, 1.05) if gpus > 1 else 1.0
    powers.append(Power(scale * watts, START - BEFORE))
    sources.append(
      DrawnSource(sensor, powers[-1], seconds, clock, dice.randrange(10**6))
    )
  edges = [edge for window in windows for edge in window[1:]]
  sampler = run_sampler(
    sources, clock, seconds, dice.randrange(10**6), edges, LOADS[load]
  )
  group = {**name_sensor(sensor), "kind": kind, "load": load}
  group["gpus"] = str(gpus)
  outcomes = []
  for length, start, end in windows:
    busy = load != "quiet" and start < START + LOADED_SECONDS
    group["load"] = f"{load}, {'during' if busy else 'after'}"
    facts = {**group, "length": f"{length} s"}
    outcomes.append(judge(sampler, sources, powers, start, end, facts))
  return outcomes


def name_sensor(sensor: Sensor) -> dict[str, str]:
  """Names the groups that a sensor's windows belong to."""
  what = f"counter {sensor.period * 1e3:.0f} ms"
  if sensor.seen:
    what = f"counter, part time {sensor.seen * 1e3:.0f} ms"
  elif not sensor.has_counter:
    what = f"power {sensor.power_window * 1e3:.0f} of 100 ms"
  wanders = " from tick to tick" if sensor.wanders and sensor.jitter else ""
  return {
    "sensor": what,
    "jitter": f"{sensor.jitter:.0%}{wanders}",
    "latency": f"{sensor.latency * 1e3:.0f} ms",
    "call": f"{sensor.call_seconds * 1e3:.1f} ms",
  }


def judge(
  sampler: Sampler,
  sources: Sequence[DrawnSource],
  powers: Sequence[Power],
  start: float,
  end: float,
  group: dict[str, str],
) -> Outcome:
  """Holds one window, summed over its GPUs, against the truth."""
  window = measure_window(sampler, "", start, end)
  truths = [
    source.sensor.gain * float(power.joules(end) - power.joules(start))
    for source, power in zip(sources, powers, strict=True)
  ]
  truth = math.fsum(truths)
  limit = abs(math.fsum(s.limit(start, end) for s in sources) - truth) / truth
  joules, bound = window.joules, window.joules_bound
  if joules is None or bound is None:
    return Outcome(group, None, 0.0, limit)
  return Outcome(group, abs(joules - truth) / truth, bound / truth, limit)


def summarise(outcomes: Sequence[Outcome]) -> dict[str, float | int | None]:
  """Figures of a group of windows; shares of their true energy."""
  known = [o for o in outcomes if o.error is not None]
  row: dict[str, float | int | None] = {
    "windows": len(outcomes),
    "unknown": len(outcomes) - len(known),
  }
  if not known:
    return row
  errors = [o.error for o in known if o.error is not None]
  mean, limit = float(np.mean(errors)), float(np.mean([o.limit for o in known]))
  covered = [o.error <= o.bound for o in known if o.error is not None]
  return {
    **row,
    "mean_error": mean,
    "limit": limit,
    "error_over_limit": mean / limit,
    "covered": float(np.mean(covered)),
    "bound_over_error": float(np.mean([o.bound for o in known])) / mean,
  }


def grouped(outcomes: Sequence[Outcome]) -> dict[str, dict[str, dict]]:
  """Summaries by every value of every group, and of all."""
  groups = defaultdict(lambda: defaultdict(list))
  for outcome in outcomes:
    groups["all"]["all"].append(outcome)
    for name, value in outcome.group.items():
      groups[name][value].append(outcome)
  return {
    name: {value: summarise(parts[value]) for value in sorted(parts)}
    for name, parts in groups.items()
  }


def show(results: dict[str, dict[str, dict]]) -> None:
  """Prints a table of every group."""
  head = "windows unknown  mean error  limit  over limit  covered  bound/error"
  for name, parts in results.items():
    print(f"\n{name:28} {head}")
    for value, row in parts.items():
      if "covered" not in row:
        print(f"  {value:26} {row['windows']:7} {row['unknown']:7}")
        continue
      print(
        f"  {value:26} {row['windows']:7} {row['unknown']:7}"
        f"  {row['mean_error']:10.3%} {row['limit']:7.3%}"
        f"  {row['error_over_limit']:8.2f}  {row['covered']:7.1%}"
        f"  {row['bound_over_error']:8.2f}"
      )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--runs", type=int, default=960)
  parser.add_argument("--runs-in-step", type=int, default=96)
  parser.add_argument("--first-seed", type=int, default=0)
  parser.add_argument("--out", type=Path)
  args = parser.parse_args()
  begin, seed = time.process_time(), args.first_seed
  one = [o for i in range(args.runs) for o in measure(seed, i)]
  eight = [o for i in range(args.runs_in_step) for o in measure(seed, i, GPUS)]
  results = {"1 GPU": grouped(one), f"sum of {GPUS} GPUs": grouped(eight)}
  for title, parts in results.items():
    print(f"\n== {title}")
    show(parts)
  if args.out:
    facts = {
      "date": datetime.now(UTC).date().isoformat(),
      "machine": f"{os.cpu_count()} cores, {platform.machine()}",
      "python": platform.python_version(),
      "command": " ".join(["python", *sys.argv]),
      "cpu_seconds": round(time.process_time() - begin),
    }
    document = {"facts": facts, "results": results}
    args.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
  main()
