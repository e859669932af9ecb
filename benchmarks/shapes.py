"""Measures what a worker keeps over many shapes: memory, maps and threads.

A real worker runs a short trial of a small CNN at one batch size after the
other, each of which needs programs of its own, and is looked at after each.
It is renewed by itself after so many compilations (`workers.program_cache`).

  PYTHONPATH=. python benchmarks/shapes.py [--framework=torch] [--shapes=300]

The figures go to benchmarks/shapes_<framework>.json after each trial.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import tempfile
from typing import Any

import psutil

from jaxpower.config import Model, Trial
from jaxpower.messages import Done
from jaxpower.workers.worker import Worker

HERE = pathlib.Path(__file__).parent
SMALLEST = 16  # batch size; each next shape has one example more
MOST_MAPS = 65_530  # vm.max_map_count of Linux, beyond which mapping fails
EVERY = 10  # shapes between two rows that are printed


@dataclasses.dataclass(frozen=True)
class Look:
  """What a worker had after a trial."""

  shape: int
  pid: int
  status: str
  resident_mb: int
  maps: int
  threads: int
  files: int


def trial(framework: str, shape: int) -> Trial:
  """Makes the trial of a shape: one look after one update, and another."""
  batch = SMALLEST + shape
  return Trial(
    data="digits",
    model=Model(width=0.25),
    batch_size=batch,
    evaluate_every_examples=batch,
    budget_examples=2 * batch,
    target_accuracy=0.99,
    idle_seconds=0.0,
    devices=1,
    framework=framework,
  )


def look(shape: int, pid: int, status: str) -> Look:
  """Looks at a process; needs /proc."""
  process = psutil.Process(pid)
  maps = pathlib.Path(f"/proc/{pid}/maps").read_text().count("\n")
  return Look(
    shape=shape,
    pid=pid,
    status=status,
    resident_mb=round(process.memory_info().rss / 1e6),
    maps=maps,
    threads=process.num_threads(),
    files=process.num_fds(),
  )


def run(framework: str, shapes: int, out: pathlib.Path) -> list[Look]:
  """Runs a trial of each shape in a worker, and looks at it."""
  looks: list[Look] = []
  with (
    tempfile.TemporaryDirectory() as folder,
    Worker("estimate", framework) as worker,
  ):
    for shape in range(shapes):
      for message in worker.run(
        trial(framework, shape), {}, pathlib.Path(folder)
      ):
        if isinstance(message, Done):
          if message.record.status == "failed":
            raise SystemExit(f"shape {shape}: {message.record.error}")
          if not message.renew:  # else that process is gone
            looks.append(look(shape, worker.pid, message.record.status))
      if shape % EVERY == 0 and looks:
        print(looks[-1], flush=True)
      out.write_text(json.dumps(summary(framework, looks), indent=2) + "\n")
  return looks


def summary(framework: str, looks: list[Look]) -> dict[str, Any]:
  """Says of each process how far it grew, and how near the limit it came."""
  by_pid: dict[int, list[Look]] = {}
  for each in looks:
    by_pid.setdefault(each.pid, []).append(each)
  return {
    "framework": framework,
    "xla_flags": os.environ.get("XLA_FLAGS", ""),
    "shapes": len({each.shape for each in looks}),
    "limit_of_maps": MOST_MAPS,
    "workers": [
      {
        "shapes": len(of),
        **{
          name: {
            "first": getattr(of[0], name),
            "middle": getattr(of[len(of) // 2], name),
            "last": getattr(of[-1], name),
            "most": max(getattr(each, name) for each in of),
          }
          for name in ("resident_mb", "maps", "threads", "files")
        },
      }
      for of in by_pid.values()
    ],
  }


def main() -> None:
  """Measures, and prints the summary."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--framework", default="jax")
  parser.add_argument("--shapes", type=int, default=300)
  args = parser.parse_args()
  os.environ.setdefault("JAX_PLATFORMS", "cpu")
  out = HERE / f"shapes_{args.framework}.json"
  looks = run(args.framework, args.shapes, out)
  print(json.dumps(summary(args.framework, looks), indent=2))


if __name__ == "__main__":
  main()
