"""What a step loses to the sampler, to a hundredth of a per cent.

Claim: under 0.1 % of step time at the default. Whole runs with and without a
meter differ by more than that on a machine that is not alone
(meter_overhead.py). So one run has both: in short blocks, in pairs of random
order, the sampler's thread runs or is held. Held it does not wake at all. Each
pair gives a difference of mean step times, in which slow changes of the machine
cancel. A step that the hypervisor or another program stops for milliseconds
counts as one that was `CUT` longer than the median, in both arms alike: no read
takes as long. After each hold a read is overdue, so that the blocks have more
reads than a second has; differences are scaled to the reads of a run without
holds. What is told is the mean of all pairs with its bootstrap interval, and
the median with the interval of signs. Cost: 80 s on two cores, nothing else on
them.

  PYTHONPATH=. python benchmarks/meter_slowdown.py --out benchmarks/x.json
"""

import argparse
import math
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.meter_overhead import PCI, use_c, write
from jaxpower.power import Monitor, SensorModel
from jaxpower.power.sampler import Sampler
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed

# Chosen: so long that a block has a read, so short that the machine stays the
# same over a pair.
BLOCK_SECONDS = 0.06
CUT = 4e-4  # seconds over the median; chosen, longer than a read
WARM_SECONDS = 6.0  # finding the rhythm and the lag is not a share
BOOTSTRAPS = 4000


@jax.jit
def step(x: jax.Array) -> jax.Array:
  """Half a millisecond or so."""
  for _ in range(4):
    x = jnp.tanh(x @ x) + 1e-3
  return x


@dataclass(frozen=True)
class Block:
  """Seconds of each step of a block, and the reads that fell into it."""

  metered: bool
  steps: np.ndarray
  reads: int


class Hold:
  """Lets the sampler's thread run, or keeps it asleep."""

  def __init__(self, sampler: Sampler):
    self._running = threading.Event()
    self._running.set()
    poll = sampler.poll

    def held() -> float:
      self._running.wait()
      return poll()

    sampler.poll = held

  def set(self, metered: bool) -> None:
    if metered:
      self._running.set()
    else:
      self._running.clear()


def timed_steps(x: jax.Array, seconds: float) -> np.ndarray:
  """Seconds of every step of a block, each waited for."""
  lengths = []
  stop = time.perf_counter() + seconds
  while (begin := time.perf_counter()) < stop:
    jax.block_until_ready(step(x))
    lengths.append(time.perf_counter() - begin)
  return np.array(lengths)


def blocks(
  monitor: Monitor, seconds: float, seed: int
) -> tuple[list[Block], float]:
  """Blocks in pairs of random order; and the reads a second without holds."""
  sampler = monitor._sampler
  hold = Hold(sampler)
  dice = np.random.default_rng(seed)
  x = jax.block_until_ready(step(jnp.full((192, 192), 1e-2)))
  timed_steps(x, WARM_SECONDS / 2)
  before = sampler.channels[0].reads
  timed_steps(x, WARM_SECONDS / 2)
  rate = (sampler.channels[0].reads - before) / (WARM_SECONDS / 2)
  done: list[Block] = []
  with monitor.window("train"):
    for _ in range(round(seconds / BLOCK_SECONDS / 2)):
      first = bool(dice.integers(2))
      for metered in (first, not first):
        hold.set(metered)
        before = sampler.channels[0].reads
        steps = timed_steps(x, BLOCK_SECONDS)
        reads = sampler.channels[0].reads - before
        done.append(Block(metered, steps, reads))
    hold.set(True)
  return done, rate


def differences(done: list[Block]) -> np.ndarray:
  """Of each pair by how much steps were longer with the sampler, as a share."""
  everything = np.concatenate([block.steps for block in done])
  typical = float(np.median(everything))
  means = [float(np.mean(np.minimum(b.steps, typical + CUT))) for b in done]
  shares = []
  for i in range(0, len(done) - 1, 2):
    a, b = means[i], means[i + 1]
    metered, bare = (a, b) if done[i].metered else (b, a)
    shares.append(metered / bare - 1)
  return np.array(shares)


def mean_interval(shares: np.ndarray) -> list[float]:
  """The 95 % bootstrap interval of the mean."""
  dice = np.random.default_rng(1)
  means = np.mean(dice.choice(shares, (BOOTSTRAPS, len(shares))), axis=1)
  return [float(np.quantile(means, q)) for q in (0.025, 0.975)]


def median_interval(shares: np.ndarray) -> list[float]:
  """The 95 % interval of the median by signs: no shape is assumed."""
  n, ordered = len(shares), np.sort(shares)
  off = math.ceil(1.96 * math.sqrt(n) / 2)
  low, high = max(0, n // 2 - off), min(n - 1, n // 2 + off)
  return [float(ordered[low]), float(ordered[high])]


def run(seconds: float, period: float, seed: int) -> dict[str, Any]:
  """Figures for a board whose counter moves every `period` seconds."""
  sensor = SensorModel(energy_period=period, quantum=1e-3)
  board = Gpu(power=300.0, uuid=UUIDS[0], pci=PCI[0], counter=sensor)
  with installed(board) as library, tempfile.TemporaryDirectory() as folder:
    in_c = use_c(library, period, folder)
    with Monitor("nvml", wait=jax.block_until_ready) as monitor:
      done, rate = blocks(monitor, seconds, seed)
  metered = [block for block in done if block.metered]
  in_blocks = sum(b.reads for b in metered) / len(metered) / BLOCK_SECONDS
  shares = differences(done) * rate / in_blocks
  return {
    "counter_period_seconds": period,
    "reads_in_c": in_c,
    "pairs": len(shares),
    "steps": sum(len(block.steps) for block in done),
    "step_milliseconds": 1e3
    * float(np.median(np.concatenate([b.steps for b in done]))),
    "reads_per_second": rate,
    "reads_per_second_in_blocks": in_blocks,
    "reads_while_held": sum(b.reads for b in done if not b.metered),
    "slowdown_mean": float(np.mean(shares)),
    "slowdown_mean_95": mean_interval(shares),
    "slowdown_median": float(np.median(shares)),
    "slowdown_median_95": median_interval(shares),
  }


def main() -> None:
  """Runs it and prints what it found."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--seconds", type=float, default=35.0)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--periods", type=float, nargs="+", default=[0.1, 0.02])
  parser.add_argument("--out", type=Path)
  args = parser.parse_args()
  results = [run(args.seconds, period, args.seed) for period in args.periods]
  for result in results:
    print(
      f"\ncounter every {result['counter_period_seconds'] * 1e3:.0f} ms:"
      f" {result['reads_per_second']:.1f} reads a second,"
      f" {result['steps']} steps of {result['step_milliseconds']:.2f} ms,"
      f" {result['pairs']} pairs of blocks"
    )
    for name in ("mean", "median"):
      low, high = result[f"slowdown_{name}_95"]
      print(
        f"  {name:6} slowdown {result[f'slowdown_{name}']:+.3%}"
        f" ({low:+.3%} to {high:+.3%})"
      )
  if args.out:
    write(args.out, results)


if __name__ == "__main__":
  main()
