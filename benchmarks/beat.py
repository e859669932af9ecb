"""Measures the CPU time of a beat of the ledger, with the estimating meter.

A beat reads what an attempt has cost so far and writes it over one small file.
It is run here without the thread that repeats it, as often as asked; the median
and the 99th percentile are printed, in ms of this thread's CPU time.

  PYTHONPATH=. python benchmarks/beat.py
"""

import argparse
import pathlib
import statistics
import tempfile
import time

from jaxpower import attempts
from jaxpower.power import Monitor


def main() -> None:
  """Measures so many beats and prints what one takes."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--beats", type=int, default=2000)
  asked = parser.parse_args()
  with (
    tempfile.TemporaryDirectory() as folder,
    Monitor("estimate") as monitor,
  ):
    place = pathlib.Path(folder)
    journal = attempts.Journal(place, "0" * 12, "jax", monitor.joules_so_far)
    taken = []
    for _ in range(asked.beats):
      began = time.thread_time()
      journal.beat()
      taken.append(1e3 * (time.thread_time() - began))
  most = statistics.quantiles(taken, n=100)[-1]
  print(f"median {statistics.median(taken):.3f} ms, 99th {most:.3f} ms")


if __name__ == "__main__":
  main()
