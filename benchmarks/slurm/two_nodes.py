"""Runs one trial over two nodes of a real Slurm, and an array over them.

Both nodes are daemons on this machine (`cluster`, needs root), so that Slurm
places, starts and names tasks as on two hosts, while cores, storage and network
are those of one. Each command is that of docs/processes.md or docs/cluster.md,
with JAXPOWER_HOST set to Slurm's name of the node, since both have one host's.

  alone      one process, of each framework
  srun       one trial on devices=2, a task on each node; JAX and PyTorch
  torchrun   the same, by torchrun below srun; PyTorch
  array      4 trials by --launcher=slurm, one task at once on each node

Checked: exit code 0; one record with both hosts, joules of each, and the losses
of one process to 1e-4; a record for every trial of the array in one folder, as
those that ran in turn, with tasks on both nodes; nothing left behind.

  PYTHONPATH=. python benchmarks/slurm/two_nodes.py --out=two_nodes.json
"""

import argparse
import datetime as dt
import functools
import math
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from cluster import ask, in_cluster

from jaxpower.folder import claims, record_files
from jaxpower.records import TrialRecord

ROOT = pathlib.Path(__file__).parent.parent.parent
NODES = ("node1", "node2")
MOST_SECONDS = 600.0  # for a command, chosen
TOLERANCE = 1e-4  # of losses: sums in another order
RENDEZVOUS = "127.0.0.1:29417"  # chosen

CONFIG = """
from jaxpower.config import Model, Optimizer, Sweep

def get_config(text=""):
  array = text == "array"
  return Sweep(
    name="slurm",
    data="digits_28",
    vary={"batch_size": (32, 64)} if array else {},
    seeds=2 if array else 1,
    batch_size=64,
    accumulation=1,
    devices=1,
    model=Model(name="cnn", width=0.25),
    optimizer=Optimizer(name="momentum", learning_rate=0.02),
    target_accuracy=0.99,
    budget_examples=4_096,
    evaluate_every_examples=1_024,
    idle_seconds=0.1,
  )
"""
# Each task of a step tells the name that Slurm has for its node.
NAMED = 'JAXPOWER_HOST=$SLURMD_NODENAME exec "$@"'
SRUN = (
  *("srun", "--nodes=2", "--ntasks-per-node=1"),
  *("bash", "-c", NAMED, "task"),
)
TORCHRUN = (
  *("-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"),
  *("--rdzv-backend=c10d", f"--rdzv-endpoint={RENDEZVOUS}"),
)


def main() -> int:
  """Runs all; prints what was seen, returns 1 where it is wrong."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--out", type=pathlib.Path)
  parser.add_argument("--only", nargs="*", default=[], help="names of parts")
  args = parser.parse_args()
  return in_cluster(functools.partial(measure, args.only), args.out, NODES, 1)


def measure(
  only: list[str], folder: pathlib.Path, environment: Mapping[str, str]
) -> dict[str, Any]:
  """Runs every part that is asked for, and compares with one process."""
  (folder / "tiny.py").write_text(CONFIG)
  environment = {
    **environment,
    "JAX_PLATFORMS": "cpu",
    "JAXPOWER_ADDRESS": "127.0.0.1",  # no name server knows the nodes
    "PYTHONPATH": str(ROOT),
  }
  python, script = sys.executable, str(ROOT / "scripts" / "run.py")
  two = "--config.devices=2"
  torch = "--config.framework=torch"
  parts: dict[str, Callable[[pathlib.Path], dict[str, Any]]] = {}

  def divided(name: str, *command: str, flags: tuple[str, ...]) -> None:
    def part(out: pathlib.Path) -> dict[str, Any]:
      alone = out.with_name(f"{out.name}-alone")
      rest = [f for f in flags if f != two]
      run(environment, folder, alone, "", python, script, *rest)
      run(environment, folder, out, "", *command, *flags)
      return of_two_hosts(one_record(out), one_record(alone))

    parts[name] = part

  divided("srun_jax", *SRUN, python, script, flags=(two,))
  divided("srun_torch", *SRUN, python, script, flags=(two, torch))
  divided("torchrun", *SRUN, python, *TORCHRUN, script, flags=(two, torch))

  def array(out: pathlib.Path) -> dict[str, Any]:
    serial = out.with_name("serial")
    flags = "--launcher=slurm", "--partition=main", "--cpus=1", "--at-once=2"
    run(environment, folder, serial, ":array", python, script)
    run(environment, folder, out, ":array", python, script, *flags)
    return of_array(out, serial)

  parts["array"] = array
  began, told = time.monotonic(), {}
  for name, part in parts.items():
    if only and name not in only:
      continue
    try:
      told[name] = part(folder / name)
    except (FailedError, subprocess.TimeoutExpired) as error:
      told[name] = {"faults": [str(error)]}
  return told | {
    "faults": [f"{n}: {f}" for n, seen in told.items() for f in seen["faults"]],
    "seconds": round(time.monotonic() - began, 1),
    "jobs_left": ask(dict(environment), "squeue", "-h"),
    "date": dt.date.today().isoformat(),
    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    "slurm": ask(dict(environment), "sinfo", "--version"),
  }


class FailedError(Exception):
  """A command ended with another exit code than 0."""


def run(
  environment: Mapping[str, str],
  folder: pathlib.Path,
  out: pathlib.Path,
  form: str,
  *command: str,
) -> None:
  """Runs a command with config and run folder; raises FailedError."""
  done = subprocess.run(
    [
      *command[: last_script(command)],
      *(f"--config={folder / 'tiny.py'}{form}", f"--out={out}"),
      "--meter=estimate",
      *command[last_script(command) :],
    ],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    timeout=MOST_SECONDS,
  )
  if done.returncode != 0:
    raise FailedError(
      f"exit code {done.returncode}: {done.stdout.strip()[-800:]}"
    )


def last_script(command: tuple[str, ...]) -> int:
  """Returns where the arguments of run.py begin."""
  return next(n for n, word in enumerate(command) if "run.py" in word) + 1


def one_record(folder: pathlib.Path) -> TrialRecord:
  """Reads the one record of a folder."""
  records = record_files.read(folder).records
  if len(records) != 1:
    raise FailedError(f"{len(records)} records in {folder.name}")
  return records[0]


def of_two_hosts(found: TrialRecord, alone: TrialRecord) -> dict[str, Any]:
  """Compares a trial over two hosts with that of one process."""
  faults = []
  hosts = found.provenance.get("hosts") or {}
  # torchrun deals ranks out as nodes come.
  if set(hosts) != set(NODES) or sorted(hosts.values()) != [[0], [1]]:
    faults.append(f"its hosts are {hosts}")
  by_host = found.joules_by_host or {}
  if set(by_host) != set(NODES) or not all(by_host.values()):
    faults.append(f"its joules by host are {by_host}")
  if found.error is not None:
    faults.append(found.error)
  pairs = [
    (a.loss or math.nan, b.loss or math.nan)
    for a, b in zip(found.curve, alone.curve, strict=False)
  ]
  furthest = max((abs(a / b - 1) for a, b in pairs), default=math.nan)
  if len(found.curve) != len(alone.curve) or not furthest <= TOLERANCE:
    faults.append(f"its losses are up to {furthest:.1e} off")
  job = found.provenance.get("job") or {}
  return {
    "hosts": hosts,
    "largest_difference_of_a_loss": float(f"{furthest:.1e}"),
    "evaluations": len(pairs),
    "steps_of_slurm": {n: job[n] for n in sorted(job) if n in TOLD},
    "faults": faults,
  }


# What a record says of the job that it came from, as far as is shown here.
TOLD = ("SLURM_JOB_NUM_NODES", "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS")


def of_array(array: pathlib.Path, serial: pathlib.Path) -> dict[str, Any]:
  """Compares the records of an array with those of trials in turn."""
  truth, found = record_files.read(serial).newest, record_files.read(array)
  equal = [
    record.trial_id
    for record in found.records
    if record.trial_id in truth
    and losses(record) == losses(truth[record.trial_id])
  ]
  nodes = [
    (record.provenance.get("job") or {}).get("SLURMD_NODENAME")
    for record in found.records
  ]
  faults = []
  if not len(equal) == len(found.records) == len(truth):
    faults.append(f"{len(equal)} of {len(truth)} records are as in turn")
  if set(nodes) != set(NODES):
    faults.append(f"its trials ran on {nodes}")
  left = [p.name for p in (array / claims.FOLDER).glob("*")]
  if left:
    faults.append(f"left behind: {left}")
  return {
    "trials": len(truth),
    "records": len(found.records),
    "equal_to_those_in_turn": len(equal),
    "trials_of_each_node": {n: nodes.count(n) for n in NODES},
    "faults": faults,
  }


def losses(record: TrialRecord) -> list[Any]:
  """Returns what must be equal to the bit."""
  return [(e.train_loss, e.loss, e.accuracy) for e in record.curve]


if __name__ == "__main__":
  sys.exit(main())
