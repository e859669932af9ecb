"""Runs what docs/cluster.md shows for schedulers that are not ours.

The text of the page itself is taken: the container's command of the Kubernetes
Job as a kubelet starts it, one process an index with JOB_COMPLETION_INDEX in
its environment, `parallelism` at once; and the lines of Ray, under a Ray of
this machine that is told of GPUs. Of the page's batch sweep a tiny one of four
trials is run. In Kubernetes' case index 0 is evicted while it trains (TERM,
then the same index again), as `backoffLimitPerIndex` would have it.

  python benchmarks/schedulers.py kubernetes
  python benchmarks/schedulers.py ray        needs `pip install ray`

Prints what was found as JSON; exit code 1 where it is not as it should be.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time
from typing import Any

import yaml

from jaxpower import sweep as sweeps
from jaxpower.config import Sweep
from jaxpower.folder import record_files
from jaxpower.records import TrialRecord, to_json

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "cluster.md"
TINY = {
  "vary": {"batch_size": (64, 128)},
  "seeds": 2,
  "data": "digits_28",
  "budget_examples": 4096,
  "target_accuracy": 0.99,
  "idle_seconds": 0.05,
}
CONFIG = f"""
from jaxpower.config import Sweep
def get_config(text=""):
  return Sweep(name="batch", **{TINY!r})
"""
EVICTED = 143  # 128 + SIGTERM
WAIT_SECONDS = 120.0  # for the trial that is evicted to begin


def block(kind: str) -> str:
  """Returns the first block of a language on the page."""
  found = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
  assert found is not None
  return found[1]


def job() -> dict[str, Any]:
  """Reads the Job of the page."""
  return yaml.safe_load(block("yaml"))


def kubernetes(place: pathlib.Path) -> dict[str, Any]:
  """Runs the Job's container for each index of a tiny sweep."""
  (place / "batch.py").write_text(CONFIG)
  spec = job()["spec"]
  (container,) = spec["template"]["spec"]["containers"]
  folder = place / "runs"
  replaced = {
    "/shared/runs/batch": str(folder),
    "configs/batch.py": str(place / "batch.py"),
    "exec python": f"exec {shlex.quote(sys.executable)}",
  }
  words = [*container["command"], *container["args"]]
  for old, new in replaced.items():
    words = [word.replace(old, new) for word in words]

  def start(index: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
      words,
      cwd=ROOT,
      env=os.environ | {"JOB_COMPLETION_INDEX": str(index)},
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )

  evicted = start(0)
  until = time.monotonic() + WAIT_SECONDS
  ledger = folder / "attempts.jsonl"
  while time.monotonic() < until and not _trains(ledger):
    time.sleep(0.05)
  evicted.terminate()
  codes = [evicted.wait()]
  waiting, running = list(range(len(trials()))), []
  while waiting or running:
    while waiting and len(running) < spec["parallelism"]:
      running.append(start(waiting.pop(0)))
    codes.append(running.pop(0).wait())
  facts = found_in(folder)
  right = codes == [EVICTED, *[0] * len(trials())]
  return facts | {"exit_codes": codes, "right": right and facts["right"]}


def ray(place: pathlib.Path) -> dict[str, Any]:
  """Runs the page's lines of Ray."""
  import ray as library  # pyright: ignore[reportMissingImports]

  library.init(
    num_cpus=2,
    num_gpus=2,
    include_dashboard=False,
    runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
  )
  folder = place / "runs"
  text = block("py").replace("/shared/runs/batch", str(folder))
  names: dict[str, Any] = {"sweep": Sweep(name="batch", **TINY)}
  exec(compile(text, str(PAGE), "exec"), names)
  returned: list[TrialRecord] = names["records"]
  facts = found_in(folder)
  written = record_files.read(folder).newest.values()
  same = sorted(map(to_json, returned)) == sorted(map(to_json, written))
  return facts | {
    "ray": library.__version__,
    "returned_as_written": same,
    "right": same and facts["right"],
  }


def trials() -> tuple[Any, ...]:
  """Returns the trials of the tiny sweep."""
  return sweeps.plan(Sweep(name="batch", **TINY), "/nonexistent/batch").trials


def found_in(folder: pathlib.Path) -> dict[str, Any]:
  """Says what a folder holds, and whether it is a whole sweep."""
  records = record_files.read(folder).records
  plan = sweeps.plan(Sweep(name="batch", **TINY), folder)
  return {
    "records": len(records),
    "statuses": sorted({record.status for record in records}),
    "attempts": sum(len(record.attempts) for record in records),
    "left": len(plan.left),
    "right": len(records) == len(plan.trials)
    and not plan.left
    and not any(r.error for r in records)
    and not (folder / "claims").exists(),
  }


def _trains(ledger: pathlib.Path) -> bool:
  """Whether a trial has begun to train."""
  return ledger.exists() and b'"event": "look"' in ledger.read_bytes()


def main(which: str) -> int:
  """Runs one of them; returns 1 where it is not as it should be."""
  with tempfile.TemporaryDirectory() as folder:
    run = {"kubernetes": kubernetes, "ray": ray}[which]
    facts = run(pathlib.Path(folder))
  print(json.dumps({which: facts}, indent=1))
  return 0 if facts["right"] else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1]))
