"""Shows that a script of anybody's costs in a sweep what `measure` says.

  python benchmarks/own_code.py same     each trial under both meters at once
  python benchmarks/own_code.py killed   a sweep of 12 trials, killed at random

"same": the command of each trial is `python -m jaxpower measure -- SCRIPT`, so
that one run of the script is metered by both, seed for seed. What the sweep's
timeline says between the two instants of `measure`'s window is held against
what `measure` says. "killed": SIGKILL to the sweep's process at
random instants until it ends by itself; then every trial has one record, what
was cut short is told as lost, and no process of it is left.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).parent.parent
SCRIPT = """
import sys, time
from jaxpower import attach
seed, rounds = int(sys.argv[1]), int(sys.argv[2])
run = attach()
def work(seconds):
  until = time.process_time() + seconds
  while time.process_time() < until: pass
for n in range(1, rounds + 1):
  work(0.1 + 0.01 * seed)
  with run.phase("eval"):
    work(0.02)
  if run.report(accuracy=min(1.0, n / rounds), examples=n): break
"""
CONFIG = """
from jaxpower import Sweep
def get_config(text=""):
  return Sweep(name="own", framework="command", command={command!r},
    options={options!r}, seeds={seeds}, target_accuracy=0.9, idle_seconds=0.0,
    crossing="first", budget_examples=10**6)
"""
MOST_STARTS = 100  # of a sweep; beyond it is not getting on


def main(what: str) -> None:
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    (place / "script.py").write_text(SCRIPT)
    facts = same(place) if what == "same" else killed(place)
  print(json.dumps(facts, indent=1))


def run(place: pathlib.Path) -> subprocess.Popen[bytes]:
  return subprocess.Popen(
    [
      *(sys.executable, str(ROOT / "scripts" / "run.py"), "--meter=estimate"),
      *("--config=config.py", "--out=out"),
    ],
    cwd=place,
    env=os.environ | {"PYTHONPATH": str(ROOT)},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    start_new_session=True,
  )


def records(place: pathlib.Path) -> list[dict]:
  paths = sorted((place / "out" / "records").glob("*.json"))
  return [json.loads(path.read_text()) for path in paths]


def same(place: pathlib.Path, seeds: int = 6) -> dict:
  command = (
    f"{sys.executable} -m jaxpower measure --meter=estimate --idle=0"
    " --json measured.json -- "
    f"{sys.executable} {{here}}/script.py {{seed}} 10"
  )
  config = CONFIG.format(command=command, options={}, seeds=seeds)
  (place / "config.py").write_text(config)
  run(place).wait()
  rows = []
  for record in records(place):
    own = place / "out" / "commands" / record["trial_id"]
    measured = json.loads((own / "measured.json").read_text())
    theirs = measured["joules"]["value"]
    began = measured["monotonic_origin_seconds"]
    timeline = place / "out" / "timelines" / f"{record['trial_id']}.parquet"
    ours = between(timeline, began, began + measured["seconds"])
    rows.append(
      {
        "seed": record["seed"],
        "sweep_joules": ours,
        "measure_joules": theirs,
        "seconds": measured["seconds"],
        "measure_cpu_seconds": measured["cpu_seconds"],
        "difference_percent": 100 * (ours / theirs - 1),
      }
    )
  return {"same": sorted(rows, key=lambda row: row["seed"])}


def between(timeline: pathlib.Path, start: float, end: float) -> float:
  """Returns the joules of a timeline of one domain between two instants."""
  table = pq.read_table(timeline).to_pydict()
  at = np.interp([start, end], table["seconds"], table["joules"])
  return float(at[1] - at[0])


def killed(place: pathlib.Path, seeds: int = 12) -> dict:
  draw = random.Random(0)
  command = f"{sys.executable} {{here}}/script.py {{seed}} 5"
  config = CONFIG.format(command=command, options={}, seeds=seeds)
  (place / "config.py").write_text(config)
  starts, kills = 0, 0
  while starts < MOST_STARTS:
    starts += 1
    process = run(place)
    try:
      process.wait(draw.uniform(3.0, 12.0))
      break
    except subprocess.TimeoutExpired:
      os.kill(process.pid, signal.SIGKILL)
      process.wait()
      kills += 1
  time.sleep(3)
  left = subprocess.run(
    ["pgrep", "-f", str(place / "script.py")], capture_output=True, text=True
  ).stdout.split()
  found = records(place)
  return {
    "kills": kills,
    "trials": len(found),
    "statuses": sorted({record["status"] for record in found}),
    "ids": len({record["trial_id"] for record in found}),
    "attempts": sum(len(record["attempts"]) for record in found),
    "joules_lost": sum(record["joules_lost"] or 0 for record in found),
    "processes_left": len(left),
  }


if __name__ == "__main__":
  main(sys.argv[1])
