"""Seven questions about NVML that only a GPU can answer.

No claim yet: this was written without a GPU at hand and has only been run
against the simulated NVML. Cost: about three minutes.

  PYTHONPATH=. python benchmarks/nvml_questions.py --out benchmarks/NAME.json

1 how often the counter moves, idle and loaded   2 counter against integral for
square waves of 30, 100, 130, 1000 ms   3 whether a dummy operation fences
4 what the sampler costs at 20, 50, 100 ms   5 idle watts without context, with
context, with the pool allocated, after training   6 how late readings are
7 which fields exist
"""

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pynvml

from jaxpower.power import MeterError, Monitor, gpu_state
from jaxpower.power.devices import list_boards, visible_devices
from jaxpower.power.nvml import COUNTER, field_value, start_nvml
from jaxpower.power.ticks import Tracker

FIELDS = {
  "TOTAL_ENERGY_CONSUMPTION": 83,
  "POWER_AVERAGE": 185,
  "POWER_INSTANT": 186,
  "ENERGY": 191,
}
SQUARES = (0.03, 0.1, 0.13, 1.0)


def number(field: Any) -> float | None:
  """The number in an answer of nvidia-ml-py; None where there is none."""
  if field.nvmlReturn != pynvml.NVML_SUCCESS:
    return None
  return field_value(field.valueType, bytes(field.value))


def fields(handle: Any) -> dict[str, dict[str, Any]]:
  """Question 7: what each field answers in each scope, in NVML's mJ and mW."""
  answers: dict[str, dict[str, Any]] = {}
  for name, field in FIELDS.items():
    for scope in range(pynvml.NVML_POWER_SCOPE_COUNT):
      value = pynvml.nvmlDeviceGetFieldValues(handle, [(field, scope)])[0]
      answers.setdefault(name, {})[f"scope {scope}"] = (
        number(value)
        if value.nvmlReturn == pynvml.NVML_SUCCESS
        else str(pynvml.NVMLError(value.nvmlReturn))
      )
  return answers


def counter_period(handle: Any, seconds: float) -> dict[str, Any]:
  """Questions 1 and 6: rhythm of the counter, cost and lateness of reads."""
  tracker = Tracker()
  latencies, ages, moved = [], [], 0
  last_stamp, last_value = None, None
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    begin = time.monotonic()
    answer = pynvml.nvmlDeviceGetFieldValues(handle, [COUNTER])[0]
    done = time.monotonic()
    value = number(answer)
    if value is None:
      return {"error": str(pynvml.NVMLError(answer.nvmlReturn))}
    tracker.observe(begin, done, value)
    latencies.append(done - begin)
    ages.append(time.time() - answer.timestamp * 1e-6)
    if value == last_value and answer.timestamp != last_stamp:
      moved += 1
    last_stamp, last_value = answer.timestamp, value
    time.sleep(5e-4)
  latencies.sort()
  return {
    "period_seconds": tracker.period,
    "ticks": tracker.changes,
    "reads": len(latencies),
    "read_seconds_median": statistics.median(latencies),
    "read_seconds_99_percent": latencies[int(0.99 * len(latencies))],
    "stamp_age_seconds_median": statistics.median(ages),
    "stamp_moves_without_value": moved,
  }


def square_wave(
  work: Callable[[], None], period: float, seconds: float
) -> dict[str, Any]:
  """Question 2: half a period of work, half of none."""
  with Monitor("nvml") as monitor:
    with monitor.window("square", steps=round(seconds / period)) as handle:
      start = time.monotonic()
      end, turn = start + seconds, start
      while turn < end:
        while time.monotonic() < turn + period / 2:
          work()
        turn += period
        time.sleep(max(0.0, turn - time.monotonic()))
    window = handle.result()
  energy = window.energies[0]
  return {
    "counter_joules": energy.counter_joules,
    "integral_joules": energy.integral_joules,
    "difference": energy.disagreement,
    "bound": energy.joules_bound,
    "reasons": list(energy.reasons),
  }


def fence(jax: Any, work: Callable[[], Any]) -> dict[str, float]:
  """Question 3: how long until a dummy operation, and until the result."""
  jax.block_until_ready(work())
  start = time.monotonic()
  result = work()
  jax.block_until_ready(jax.device_put(0.0) + 1)
  dummy = time.monotonic() - start
  jax.block_until_ready(result)
  return {
    "dummy_seconds": dummy,
    "result_seconds": time.monotonic() - start,
  }


def overhead(work: Callable[[], None], seconds: float) -> dict[str, Any]:
  """Question 4: CPU share and work done, with and without the sampler."""
  by_interval: dict[str, Any] = {}
  for interval in (None, 0.02, None, 0.05, None, 0.1, "default"):
    steps = 0
    monitor = None
    if interval is not None:
      pace = interval if isinstance(interval, float) else None
      monitor = Monitor("nvml", interval_seconds=pace).__enter__()
    cpu, end = time.process_time(), time.monotonic() + seconds
    while time.monotonic() < end:
      work()
      steps += 1
    row = {
      "steps": steps,
      "cpu_share": (time.process_time() - cpu) / seconds,
    }
    if monitor is not None:
      monitor.__exit__(None, None, None)
    by_interval.setdefault(str(interval), []).append(row)
  return by_interval


@contextmanager
def busy(work: Callable[[], None]) -> Iterator[None]:
  """Keeps the GPU at work from another thread."""
  stop = threading.Event()

  def loop() -> None:
    while not stop.is_set():
      work()

  thread = threading.Thread(target=loop)
  thread.start()
  try:
    yield
  finally:
    stop.set()
    thread.join()


def watts(seconds: float) -> float | None:
  """Mean power while nothing is asked of the GPU."""
  with Monitor("nvml") as monitor:
    return monitor.measure_idle(seconds).watts


class Answers(dict[str, Any]):
  """Answers by name, in a file after each; an error is an answer too."""

  def __init__(self, path: Path | None):
    super().__init__()
    self._path = path

  def ask(self, name: str, call: Callable[..., Any], *given: Any) -> None:
    try:
      self[name] = call(*given)
    except Exception as error:  # noqa: BLE001, the next answer matters too
      self[name] = {"error": f"{type(error).__name__}: {error}"}
    if self._path:
      self._path.write_text(f"{json.dumps(self, indent=1)}\n")


def ask_all(answers: Answers, seconds: float) -> None:
  """Asks all seven, in an order in which none disturbs the next."""
  start_nvml()
  devices, _ = visible_devices(list_boards())
  if not devices:
    raise MeterError("no GPU is visible to this process")
  handle = devices[0].board.handle
  answers.ask("gpu", gpu_state)
  answers.ask("fields", fields, handle)
  answers.ask("idle_watts_without_context", watts, seconds)
  answers.ask("counter_idle", counter_period, handle, seconds)

  import jax
  import jax.numpy as jnp

  answers.ask("backend", jax.default_backend)
  answers.ask("idle_watts_with_context", watts, seconds)
  size = 8192 if jax.default_backend() == "gpu" else 256
  # A product with it leaves every number as it is: zeros would draw less.
  x = jax.block_until_ready(jnp.full((size, size), 1 / size, jnp.bfloat16))
  answers.ask("idle_watts_with_pool", watts, seconds)
  step = jax.jit(lambda x: x @ x)
  chain = jax.jit(lambda x: jax.lax.fori_loop(0, 100, lambda _, y: y @ x, x))

  def work() -> None:
    jax.block_until_ready(step(x))

  work()
  answers.ask("fence", fence, jax, lambda: chain(x))
  for period in SQUARES:
    name = f"square_wave_{period * 1e3:.0f}_ms"
    answers.ask(name, square_wave, work, period, 4 * seconds)
  answers.ask("overhead", overhead, work, seconds)
  with busy(work):
    answers.ask("counter_loaded", counter_period, handle, seconds)
  answers.ask("idle_watts_after_training", watts, seconds)


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--seconds", type=float, default=5.0)
  parser.add_argument("--out", type=Path)
  args = parser.parse_args()
  answers = Answers(args.out)
  try:
    ask_all(answers, args.seconds)
  except MeterError as error:
    print(f"nvml_questions: {error}", file=sys.stderr)
    return 1
  print(json.dumps(answers, indent=1))
  return 0


if __name__ == "__main__":
  sys.exit(main())
