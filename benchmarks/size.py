"""Measures what a large sweep costs before and after its training.

Writes a run folder of as many trials as are asked for, of drawn joules, and
runs each stage on it in a process of its own: CPU seconds and peak memory.

  python benchmarks/size.py [TRIALS...]        1000 and 10000 by default

The figures go to benchmarks/size.json, beside this file.
"""

import copy
import dataclasses
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
from typing import Any

from jaxpower.config import Sweep, to_dict, trial_id
from jaxpower.folder import record_files, sweep_file
from jaxpower.plan.grid import expand
from jaxpower.records import TrialRecord

HERE = pathlib.Path(__file__).parent
TEMPLATE = HERE / "regimes_cpu" / "batch_ten_seeds"
SEEDS = 50  # chosen: 200 settings at 10,000 trials
BATCHES = (16, 32, 64, 128)
SPREAD = 0.1  # of the joules over seeds, as in regimes_cpu/batch_ten_seeds
TARGET = "10 CPU seconds a stage and 1,000 MB at 10,000 trials (issue 14)"
# Each stage as a command: FOLDER and CONFIG are replaced.
STAGES = {
  "plan_nothing_recorded": "scripts/run.py --config=CONFIG --out=FOLDER-new"
  " --meter=estimate --dry-run",
  "plan_all_recorded": "scripts/run.py --config=CONFIG --out=FOLDER"
  " --meter=estimate --dry-run",
  "run_nothing_left": "scripts/run.py --config=CONFIG --out=FOLDER"
  " --meter=estimate",
  # The page is there now.
  "run_nothing_left_again": "scripts/run.py --config=CONFIG --out=FOLDER"
  " --meter=estimate",
  "report": "scripts/report.py FOLDER",
}


def large_sweep(trials: int) -> Sweep:
  """Returns a sweep of so many trials: batch sizes, rates and seeds."""
  rates = trials // (SEEDS * len(BATCHES))
  return Sweep(
    name="large",
    vary={
      "batch_size": BATCHES,
      "optimizer.learning_rate": tuple(
        round(1e-4 * 1.01**n, 12) for n in range(rates)
      ),
    },
    seeds=SEEDS,
  )


def write_folder(folder: pathlib.Path, sweep: Sweep) -> None:
  """Writes the records of a whole sweep, with joules that are drawn."""
  (template,) = record_files.read(TEMPLATE).records[:1]
  environment = {"environment": {}}
  numbers = random.Random(0)
  order = []
  folder.mkdir()
  for trial in expand(sweep):
    rate = trial.optimizer.learning_rate
    factor = (trial.batch_size / 16) ** 0.5 * (1 + abs(rate - 1e-3) * 1e3)
    factor *= numbers.lognormvariate(0, SPREAD)
    facts: dict[str, Any] = {
      "trial_id": trial_id(trial),
      "config": to_dict(trial),
      "varied": {
        "batch_size": trial.batch_size,
        "optimizer.learning_rate": rate,
      },
      "seed": trial.seed,
      "provenance": copy.deepcopy(template.provenance) | environment,
    }
    record = dataclasses.replace(template, **facts)
    record = _scaled(record, factor)
    record_files.write(folder, record)
    order.append(record.trial_id)
  sweep_file.write(
    folder,
    {
      "config": to_dict(sweep),
      "meter": "estimate",
      "trials": len(order),
      "order": order,
      "command_line": [],
    },
  )


def _scaled(record: TrialRecord, factor: float) -> TrialRecord:
  """Multiplies the joules and seconds of a record, its looks' too."""

  def scaled(value: Any) -> dict[str, Any]:
    return {
      field.name: number * factor
      for field in dataclasses.fields(value)
      if ("joules" in field.name or "seconds" in field.name)
      and isinstance(number := getattr(value, field.name), float)
    }

  curve = tuple(dataclasses.replace(e, **scaled(e)) for e in record.curve)
  return dataclasses.replace(record, **scaled(record), curve=curve)


def measure(command: list[str]) -> dict[str, float]:
  """Runs a command; returns its CPU seconds and its peak memory in MB."""
  code = (
    "import resource, subprocess, sys;"
    "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL);"
    "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
    "print(done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss)"
  )
  done = subprocess.run(
    [sys.executable, "-c", code, sys.executable, *command],
    cwd=HERE.parent,
    env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    capture_output=True,
    text=True,
    check=True,
  )
  status, seconds, kilobytes = done.stdout.split()
  if status != "0":
    raise SystemExit(f"{' '.join(command)} ended with {status}: {done.stderr}")
  return {
    "cpu_seconds": round(float(seconds), 2),
    "peak_mb": round(int(kilobytes) / 1e3),
  }


def stages(trials: int, root: pathlib.Path) -> dict[str, dict[str, float]]:
  """Measures every stage of a sweep of so many trials."""
  folder, config = root / "large", root / "large.py"
  config.write_text(
    "import sys\n"
    f"sys.path.insert(0, {str(HERE)!r})\n"
    "import size\n"
    f"def get_config(arguments):\n  return size.large_sweep({trials})\n"
  )
  write_folder(folder, large_sweep(trials))
  figures = {}
  for name, command in STAGES.items():
    words = command.replace("CONFIG", str(config)).split()
    words = [word.replace("FOLDER", str(folder)) for word in words]
    figures[name] = measure(words)
    print(f"{trials:>7} trials  {name:22}  {figures[name]}", flush=True)
  return figures


def main(sizes: list[int]) -> None:
  """Measures all sizes, and writes the figures."""
  figures = {}
  for trials in sizes:
    with tempfile.TemporaryDirectory() as root:
      figures[str(trials)] = stages(trials, pathlib.Path(root))
  facts = {"target": TARGET, "seeds": SEEDS, "trials": figures}
  text = json.dumps(facts, indent=2)
  (HERE / "size.json").write_text(text + "\n")


if __name__ == "__main__":
  main([int(word) for word in sys.argv[1:]] or [1_000, 10_000])
