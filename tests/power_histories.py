"""Lets the sampler run on a simulated clock, for the tests of power/."""

import random

from benchmarks.meter_accuracy import Clock
from jaxpower.power import SimulatedSource
from jaxpower.power.sampler import Sampler
from jaxpower.power.waveform import Steps


def history_of(sensor, power=None, seconds=20.0):
  dice = random.Random(3)
  levels = [dice.uniform(100, 600) for _ in range(60)]
  spans = [dice.uniform(0.05, 0.9) for _ in range(60)]
  clock = Clock()
  source = SimulatedSource(
    power or Steps(levels, spans), sensor=sensor, clock=clock
  )
  sampler = Sampler([source], clock=clock)
  while clock.now < 1000 + seconds:
    clock.now = max(clock.now, sampler.poll()) + dice.expovariate(1e4)
  return sampler.histories[0]
