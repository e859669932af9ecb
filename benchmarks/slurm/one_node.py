"""Runs an array of tiny trials on a real Slurm of one node, with a pre-emption.

Under a Slurm that `cluster` starts and ends (needs root):

  serial   scripts/run.py, one trial after the other, on one core
  array    scripts/run.py --launcher=slurm --cpus=1, two tasks at once; in the
           middle of training one task gets the signal of a pre-emption

Checked: a record for every trial in one folder, equal to the serial sweep's to
the bit; the pre-empted task was requeued and went on from its checkpoint; no
claim, no unfinished file and no process is left.

  PYTHONPATH=. python benchmarks/slurm/one_node.py --out=one_node.json

About 200 s of CPU time for 12 trials.
"""

import argparse
import dataclasses
import datetime as dt
import functools
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from typing import Any

from cluster import LOOK_SECONDS, ask, in_cluster

from jaxpower import attempts
from jaxpower.folder import claims, record_files
from jaxpower.launch.launcher import FOLDER, JOBS
from jaxpower.records import TrialRecord

ROOT = pathlib.Path(__file__).parent.parent.parent
MOST_SECONDS = 3_600.0  # for the array, chosen

CONFIG = """
from jaxpower.config import Model, Optimizer, Sweep

def get_config(text):
  return Sweep(
    name="slurm",
    data="digits_28",
    vary={"batch_size": (32, 64, 128)},
    seeds=int(text),
    devices=1,
    model=Model(name="cnn", width=0.25),
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    target_accuracy=0.99,
    budget_examples=8_192,
    evaluate_every_examples=1_024,
    idle_seconds=0.1,
  )
"""
CPUS = 2  # of the node; each task is bound to those that it asked for


def main() -> int:
  """Runs both sweeps; prints what was seen, returns 1 where it is wrong."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--seeds", type=int, default=4, help="of three settings")
  parser.add_argument("--out", type=pathlib.Path)
  args = parser.parse_args()
  return in_cluster(functools.partial(measure, args.seeds), args.out, cpus=CPUS)


def measure(
  seeds: int, folder: pathlib.Path, environment: dict[str, str]
) -> dict[str, Any]:
  """Runs the sweep in turn and as an array, and compares."""
  config = folder / "tiny.py"
  config.write_text(CONFIG)
  command = [
    *(sys.executable, str(ROOT / "scripts" / "run.py")),
    *(f"--config={config}:{seeds}", "--meter=estimate"),
  ]
  environment |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": python_path()}
  serial, array = folder / "serial", folder / "array"
  one_core = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
  began = time.monotonic()
  # Beside the array: energy is not compared, and results do not depend on it.
  in_turn = subprocess.Popen(
    [*one_core, *command, f"--out={serial}"],
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  launched = subprocess.Popen(
    [
      *(*command, f"--out={array}", "--launcher=slurm", "--partition=main"),
      *("--cpus=1", f"--at-once={CPUS}"),
    ],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  try:
    preempted = preempt(array, environment)
    output, _ = launched.communicate(timeout=MOST_SECONDS)
    in_turn.wait(MOST_SECONDS)
  except BaseException:
    launched.kill()
    in_turn.kill()
    raise
  seconds = time.monotonic() - began
  left = ask(environment, "squeue", "-h")
  return compared(serial, array, preempted, launched.returncode, output) | {
    "seconds": round(seconds, 1),
    "jobs_left": left,
    "date": dt.date.today().isoformat(),
    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    "slurm": ask(environment, "sinfo", "--version"),
  }


def python_path() -> str:
  """Returns PYTHONPATH with the project on it."""
  return os.pathsep.join(
    [
      str(ROOT),
      *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
    ]
  )


def preempt(folder: pathlib.Path, environment: dict[str, str]) -> str:
  """Sends the signal of a pre-emption to a task in the middle of training.

  Returns the id of its trial.
  """
  end = time.monotonic() + MOST_SECONDS
  while time.monotonic() < end:
    training = [
      attempt
      for attempt in attempts.read(folder)
      if attempt.phase == "train" and attempt.ended is None and attempt.examples
    ]
    if training:
      name = training[0].trial_id
      jobs = json.loads((folder / FOLDER / JOBS).read_text())
      ask(environment, "scancel", "--signal=USR2", jobs[name])
      return name
    time.sleep(LOOK_SECONDS)
  raise SystemExit("no task has begun to train")


def compared(
  serial: pathlib.Path,
  array: pathlib.Path,
  preempted: str,
  code: int,
  output: str,
) -> dict[str, Any]:
  """Compares the records of both, and looks at what is left of the array."""
  truth, found = record_files.read(serial).newest, record_files.read(array)
  equal = [
    record.trial_id
    for record in found.records
    if record.trial_id in truth
    and results(record) == results(truth[record.trial_id])
  ]
  tried = attempts.read(array, preempted)
  faults = []
  if code != 0:
    faults.append(f"exit code {code}: {output.strip()[-500:]}")
  if len(found.records) != len(truth) or len(equal) != len(truth):
    faults.append(
      f"{len(equal)} of {len(truth)} records are as the serial ones"
    )
  if len(tried) != 2 or tried[0].ended != attempts.INTERRUPTED:
    faults.append(f"the pre-empted trial has the attempts {tried}")
  if len(tried) == 2 and not tried[1].resumed_examples:
    faults.append("the requeued task began from the start")
  left = [
    str(path.relative_to(array))
    for path in array.rglob("*")
    if "unfinished" in path.name or path.parent.name in LEFT
  ]
  if left:
    faults.append(f"left behind: {left}")
  return {
    "trials": len(truth),
    "records": len(found.records),
    "equal_to_the_serial_sweep": len(equal),
    "attempts_of_the_preempted_trial": [
      {
        "ended": attempt.ended,
        "examples": attempt.examples,
        "resumed_examples": attempt.resumed_examples,
      }
      for attempt in tried
    ],
    "cores_of_each_task": sorted(
      {len((r.company or {}).get("cores") or ()) for r in found.records}
    ),
    "faults": faults,
  }


LEFT = (attempts.BEATS, claims.FOLDER)


def results(record: TrialRecord) -> dict[str, Any]:
  """Picks what must be equal to the bit: nothing of time or energy."""
  curve = [
    {
      name: value
      for name, value in dataclasses.asdict(point).items()
      if "joules" not in name and "seconds" not in name
    }
    for point in record.curve
  ]
  same = ("status", "steps", "final_accuracy", "test_accuracy", "varied")
  return {name: getattr(record, name) for name in same} | {"curve": curve}


if __name__ == "__main__":
  sys.exit(main())
