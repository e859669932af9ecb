"""CPU time of the sampler's thread alone: in the calm, and with many windows.

Claim: under 0.5 % of a core for a GPU, also with a window every 50 ms. The
thread's own clock is read, which other work on the machine disturbs less than
a process' whole time; reads are in C where there is a compiler
(meter_overhead.py). The first seconds with windows are told apart: the purse of
reads is full then. Cost: 40 s, hardly any CPU.

  PYTHONPATH=. python benchmarks/meter_thread_cost.py
"""

import argparse
import tempfile
import time
from collections.abc import Callable

from benchmarks.meter_overhead import PCI, SHORT_WINDOW_SECONDS, use_c
from jaxpower.power import Monitor, SensorModel
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed

FULL_PURSE_SECONDS = 3.0


def cost(
  monitor: Monitor, seconds: float, work: Callable[[], object]
) -> tuple[float, float]:
  """Share of a core, and reads a second, while work is done repeatedly."""
  sampler = monitor._sampler
  thread = sampler._thread
  assert thread is not None and thread.ident is not None
  clock = time.pthread_getcpuclockid(thread.ident)
  channel = sampler.channels[0]
  cpu, reads = time.clock_gettime(clock), channel.reads
  begin = time.monotonic()
  while time.monotonic() < begin + seconds:
    work()
  passed = time.monotonic() - begin
  share = (time.clock_gettime(clock) - cpu) / passed
  return share, (channel.reads - reads) / passed


def main() -> None:
  """Prints the costs for counters of two periods."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--seconds", type=float, default=8.0)
  seconds = parser.parse_args().seconds
  for period in (0.1, 0.02):
    sensor = SensorModel(energy_period=period, quantum=1e-3)
    board = Gpu(power=300.0, uuid=UUIDS[0], pci=PCI[0], counter=sensor)
    with installed(board) as library, tempfile.TemporaryDirectory() as folder:
      in_c = use_c(library, period, folder)
      with Monitor("nvml") as monitor:

        def window(monitor: Monitor = monitor) -> None:
          monitor.measure("work", time.sleep, SHORT_WINDOW_SECONDS)

        time.sleep(1.0)
        rows = {
          "calm": cost(monitor, seconds, lambda: time.sleep(0.1)),
          "windows, at first": cost(monitor, FULL_PURSE_SECONDS, window),
          "windows": cost(monitor, seconds, window),
        }
    print(f"\ncounter every {period * 1e3:.0f} ms, reads in C: {in_c}")
    for name, (share, rate) in rows.items():
      print(f"  {name:18} {share:7.3%} of a core, {rate:5.1f} reads a second")


if __name__ == "__main__":
  main()
