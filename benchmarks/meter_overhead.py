"""What the meter costs the work it measures, peers beside it in one run.

Claim: under 0.5 % of a core for each GPU and under 0.1 % of step time. The
arms alternate (none, jaxpower, Zeus, CodeCarbon, none, ...), so a drift of the
machine falls on all. Without a GPU all of them read a simulated NVML whose
readings are C where there is a compiler (nvml_reads.c), else Python, which is
dearer; a driver's locks are in neither. Cost: five minutes on two cores.

  pip install -e '.[benchmark]'
  PYTHONPATH=. python benchmarks/meter_overhead.py --out benchmarks/x.json
"""

import argparse
import ctypes
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# One core computes, the other is free for the meter: the host of a GPU.
os.environ.setdefault(
  "XLA_FLAGS",
  "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)

import jax
import jax.numpy as jnp

from jaxpower.power import Monitor, SensorModel
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed

SHORT_WINDOW_SECONDS = 0.05
PCI = ("00000000:17:00.0", "00000000:65:00.0")


@contextmanager
def no_meter() -> Iterator[Callable[[Callable[[], Any]], Any]]:
  yield lambda work: work()


@contextmanager
def jaxpower_meter() -> Iterator[Callable[[Callable[[], Any]], Any]]:
  with Monitor("nvml", wait=jax.block_until_ready) as monitor:
    yield lambda work: monitor.measure("work", work)


@contextmanager
def zeus_meter() -> Iterator[Callable[[Callable[[], Any]], Any]]:
  from zeus.monitor import ZeusMonitor  # type: ignore[import-not-found]

  monitor = ZeusMonitor(sync_execution_with="jax")

  def measure(work: Callable[[], Any]) -> Any:
    # The work waits for itself; Zeus' own JAX barrier needs a GPU backend.
    monitor.begin_window("work", sync_execution=False)
    result = work()
    monitor.end_window("work", sync_execution=False)
    return result

  yield measure


@contextmanager
def codecarbon_meter() -> Iterator[Callable[[Callable[[], Any]], Any]]:
  from codecarbon import (  # type: ignore[import-not-found]
    OfflineEmissionsTracker,
  )

  tracker = OfflineEmissionsTracker(
    country_iso_code="FRA",
    save_to_file=False,
    log_level="critical",
    allow_multiple_runs=True,
    measure_power_secs=1,
  )
  tracker.start()
  try:
    yield lambda work: work()
  finally:
    tracker.stop()


ARMS = {
  "none": no_meter,
  "jaxpower": jaxpower_meter,
  "zeus": zeus_meter,
  "codecarbon, every 1 s": codecarbon_meter,
}


def cpu_seconds() -> float:
  """CPU time of this process and of its ended children."""
  children = resource.getrusage(resource.RUSAGE_CHILDREN)
  return time.process_time() + children.ru_utime + children.ru_stime


def cpu_share(arm: str, seconds: float, windows: int = 1) -> float:
  """Share of a core used while the work only sleeps, in so many windows."""
  with ARMS[arm]() as measure:
    time.sleep(2.0)  # what finding the rhythm costs is not a share
    before, start = cpu_seconds(), time.monotonic()
    for _ in range(windows):
      measure(lambda: time.sleep(seconds / windows))
    return (cpu_seconds() - before) / (time.monotonic() - start)


def build_step() -> tuple[Callable[..., Any], Any]:
  """A jitted step of some milliseconds, and its argument."""

  @jax.jit
  def step(x: jax.Array) -> jax.Array:
    for _ in range(6):
      x = jnp.tanh(x @ x) + 1e-3
    return x

  x = jnp.full((512, 512), 1e-2)
  jax.block_until_ready(step(x))
  return step, x


def step_seconds(arm: str, step: Callable[..., Any], x: Any, n: int) -> float:
  """Seconds a step takes, in one measured block of `n`."""

  def block() -> Any:
    y = x
    for _ in range(n):
      y = step(y)
    return jax.block_until_ready(y)

  with ARMS[arm]() as measure:
    measure(block)
    start = time.perf_counter()
    measure(block)
    return (time.perf_counter() - start) / n


def window_seconds(arm: str, n: int = 200) -> float:
  """What opening and closing one window costs the caller."""
  with ARMS[arm]() as measure:
    start = time.perf_counter()
    for _ in range(n):
      measure(lambda: None)
    return (time.perf_counter() - start) / n


def usable_arms() -> tuple[list[str], dict[str, str]]:
  """The arms that run here, and why the others do not."""
  usable, not_run = [], {}
  for arm, meter in ARMS.items():
    try:
      with meter() as measure:
        measure(lambda: None)
      usable.append(arm)
    except Exception as error:  # noqa: BLE001 - a peer may fail in any way
      not_run[arm] = f"{type(error).__name__}: {error}"
  return usable, not_run


def use_c(library: Any, period: float, folder: str) -> bool:
  """Puts reads in C into the simulated library; False without a compiler."""
  compiler = shutil.which("cc")
  if compiler is None:
    return False
  source = Path(__file__).with_name("nvml_reads.c")
  target = Path(folder) / f"reads-{period}.so"
  subprocess.run(
    [
      *(compiler, "-O2", "-shared", "-fPIC", f"-DPERIOD={period}"),
      *("-o", str(target), str(source)),
    ],
    check=True,
  )
  reads = ctypes.CDLL(str(target))
  for name in (
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetPowerUsage",
  ):
    library.functions[name] = getattr(reads, name)
  return True


def write(path: Path, results: list[dict[str, Any]]) -> None:
  """Writes results with the facts of the machine they are of."""
  machine = {
    "python": platform.python_version(),
    "jax": jax.__version__,
    "cores": os.cpu_count(),
    "nvml": "simulated, no GPU",
  }
  document = {"machine": machine, "results": results}
  path.write_text(json.dumps(document, indent=1) + "\n")


def run(
  rounds: int, seconds: float, period: float, gpus: int
) -> dict[str, Any]:
  """All figures for boards whose counter moves every `period` seconds."""
  sensor = SensorModel(energy_period=period, quantum=1e-3)
  boards = [
    Gpu(power=300.0, uuid=UUIDS[i], pci=PCI[i], counter=sensor)
    for i in range(gpus)
  ]
  with installed(*boards) as library, tempfile.TemporaryDirectory() as folder:
    in_c = use_c(library, period, folder)
    arms, not_run = usable_arms()
    step, x = build_step()
    n = max(10, round(0.5 / step_seconds("none", step, x, 20)))
    shares: dict[str, list[float]] = {arm: [] for arm in arms}
    edges: dict[str, list[float]] = {arm: [] for arm in arms}
    steps: dict[str, list[float]] = {arm: [] for arm in arms}
    many = round(seconds / SHORT_WINDOW_SECONDS)
    for i in range(rounds):
      turn = arms[i % len(arms) :] + arms[: i % len(arms)]
      for arm in turn:
        steps[arm].append(step_seconds(arm, step, x, n))
        if i < 3:
          shares[arm].append(cpu_share(arm, seconds))
          edges[arm].append(cpu_share(arm, seconds, many))
    windows = {arm: window_seconds(arm) for arm in arms}
  figures = {}
  for arm in arms:
    pairs = zip(steps[arm], steps["none"], strict=True)
    ratios = sorted(a / b - 1 for a, b in pairs)
    figures[arm] = {
      "cpu_share_of_a_core": statistics.median(shares[arm]),
      "cpu_share_in_windows_of_50_ms": statistics.median(edges[arm]),
      "step_milliseconds": statistics.median(steps[arm]) * 1e3,
      "fastest_step_milliseconds": min(steps[arm]) * 1e3,
      "slowdown_median": statistics.median(ratios),
      "slowdown_quartiles": [
        ratios[len(ratios) // 4],
        ratios[-1 - len(ratios) // 4],
      ],
      "window_microseconds": windows[arm] * 1e6,
    }
  return {
    "counter_period_seconds": period,
    "gpus": gpus,
    "reads_in_c": in_c,
    "rounds": rounds,
    "arms": figures,
    "not_run": not_run,
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--rounds", type=int, default=16)
  parser.add_argument("--seconds", type=float, default=4.0)
  parser.add_argument("--out", type=Path)
  args = parser.parse_args()
  results = [
    run(args.rounds, args.seconds, period, gpus)
    for period, gpus in ((0.1, 1), (0.02, 1), (0.1, 2))
  ]
  for result in results:
    print(
      f"\ncounter every {result['counter_period_seconds'] * 1e3:.0f} ms,"
      f" {result['gpus']} GPU"
    )
    for arm, row in result["arms"].items():
      low, high = row["slowdown_quartiles"]
      print(
        f"  {arm:22} CPU {row['cpu_share_of_a_core']:7.3%} of a core,"
        f" in short windows {row['cpu_share_in_windows_of_50_ms']:7.3%}"
        f"   step {row['step_milliseconds']:7.3f} ms"
        f" {row['slowdown_median']:+.2%} ({low:+.2%} to {high:+.2%})"
        f"   window {row['window_microseconds']:6.0f} us"
      )
    for arm, reason in result["not_run"].items():
      print(f"  {arm:22} did not run: {reason}")
  if args.out:
    write(args.out, results)


if __name__ == "__main__":
  main()
