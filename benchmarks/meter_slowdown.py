"""What a step loses to the sampler, to a hundredth of a per cent.

Claim: under 0.1 % of step time at the default. Whole runs with and without a
meter differ by more than that on a machine that is not alone
(meter_overhead.py), so steps are paired within one run: one in which the
sampler read or woke, against its nearest neighbours in which it did not. An
instant falls into a long step more often than into a short one, so runs without
a meter, whose instants are drawn by chance, alternate with these and are taken
off. What is left times the reads a second is the share of time lost. Cost:
three minutes on two cores.

  PYTHONPATH=. python benchmarks/meter_slowdown.py --out benchmarks/x.json
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.meter_overhead import PCI, use_c, write
from jaxpower.power import Monitor, SensorModel
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed

NEAR = 5  # neighbours on each side
REACH = 5e-4  # seconds before a noted read in which its thread may have woken


@jax.jit
def step(x: jax.Array) -> jax.Array:
  """Half a millisecond or so."""
  for _ in range(4):
    x = jnp.tanh(x @ x) + 1e-3
  return x


def timed_steps(seconds: float) -> tuple[np.ndarray, np.ndarray]:
  """Begin and length of every step of a run, each waited for."""
  x = jax.block_until_ready(step(jnp.full((192, 192), 1e-2)))
  begins, lengths = [], []
  stop = time.monotonic() + seconds
  while (begin := time.monotonic()) < stop:
    x = jax.block_until_ready(step(x))
    begins.append(begin)
    lengths.append(time.monotonic() - begin)
  return np.array(begins), np.array(lengths)


def lost(
  begins: np.ndarray, lengths: np.ndarray, reads: Sequence[float]
) -> np.ndarray:
  """Seconds each read cost the step it fell into, against its neighbours."""
  hit = np.zeros(len(begins), bool)
  for read in reads:
    first = np.searchsorted(begins, read - REACH, "right") - 1
    hit[max(0, first) : np.searchsorted(begins, read)] = True
  costs = []
  for i in np.flatnonzero(hit):
    low, high = max(0, i - NEAR), i + NEAR + 1
    near = lengths[low:high][~hit[low:high]]
    if len(near) >= NEAR:
      costs.append(lengths[i] - np.mean(near))
  return np.array(costs)


def run(seconds: float, rounds: int, period: float) -> dict[str, Any]:
  """Rounds with the meter and without it, in turn."""
  sensor = SensorModel(energy_period=period, quantum=1e-3)
  board = Gpu(power=300.0, uuid=UUIDS[0], pci=PCI[0], counter=sensor)
  costs: dict[str, list[np.ndarray]] = {"meter": [], "chance": []}
  rates, steps = [], []
  dice = np.random.default_rng(0)
  with installed(board) as library, tempfile.TemporaryDirectory() as folder:
    in_c = use_c(library, period, folder)
    for _ in range(rounds):
      with Monitor("nvml", wait=jax.block_until_ready) as monitor:
        time.sleep(2.0)  # what finding the rhythm costs is not a share
        begins, lengths = timed_steps(seconds)
        reads = sorted(sample.seconds for sample in monitor.timeline())
      reads = [read for read in reads if begins[0] < read < begins[-1]]
      costs["meter"].append(lost(begins, lengths, reads))
      rates.append(len(reads) / seconds)
      begins, lengths = timed_steps(seconds)
      steps.append(float(np.median(lengths)))
      drawn = sorted(dice.uniform(begins[0], begins[-1], len(reads)))
      costs["chance"].append(lost(begins, lengths, drawn))
  rate = float(np.mean(rates))
  meter, chance = (np.concatenate(costs[name]) for name in ("meter", "chance"))
  return {
    "counter_period_seconds": period,
    "reads_in_c": in_c,
    "reads_per_second": rate,
    "reads_in_steps": len(meter),
    "step_milliseconds": 1e3 * float(np.median(steps)),
    "microseconds_a_read": 1e6 * float(np.mean(meter)),
    "microseconds_by_chance": 1e6 * float(np.mean(chance)),
    "slowdown": rate * float(np.mean(meter) - np.mean(chance)),
    "slowdown_95": interval(meter, chance, rate),
  }


def interval(meter: np.ndarray, chance: np.ndarray, rate: float) -> list[float]:
  """The 95 % bootstrap interval of the share of time lost."""
  dice = np.random.default_rng(1)
  means = [
    np.mean(dice.choice(costs, (2000, len(costs))), axis=1)
    for costs in (meter, chance)
  ]
  lost_share = rate * (means[0] - means[1])
  return [float(np.quantile(lost_share, q)) for q in (0.025, 0.975)]


def main() -> None:
  """Runs it and prints what it found."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--rounds", type=int, default=4)
  parser.add_argument("--seconds", type=float, default=20.0)
  parser.add_argument("--out", type=Path)
  args = parser.parse_args()
  results = [run(args.seconds, args.rounds, period) for period in (0.1, 0.02)]
  for result in results:
    print(
      f"\ncounter every {result['counter_period_seconds'] * 1e3:.0f} ms:"
      f" {result['reads_per_second']:.1f} reads a second,"
      f" steps of {result['step_milliseconds']:.2f} ms"
    )
    low, high = result["slowdown_95"]
    print(
      f"  {result['microseconds_a_read']:+.1f} us a step with a read,"
      f" {result['microseconds_by_chance']:+.1f} us by chance"
      f"   slowdown {result['slowdown']:+.3%} ({low:+.3%} to {high:+.3%})"
      f"   {result['reads_in_steps']} reads"
    )
  if args.out:
    write(args.out, results)


if __name__ == "__main__":
  main()
