"""A real Slurm on this machine: Debian's daemons, with a configuration of ours.

Installs `slurm-wlm` and `munge` where they are not there (needs root), starts
munged, slurmctld and a slurmd for each node, and ends them. Several nodes on
one host are what Slurm offers for tests: each slurmd has a name (-N), a port
and a folder of its own, and all share the host's cores and storage.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

PACKAGES = ("slurm-wlm", "munge")
READY_SECONDS = 60.0  # for the daemons, chosen
START_SECONDS = 1.0  # between the starts of two daemons, chosen
LOOK_SECONDS = 0.1
FIRST_PORT = 17_001  # of the nodes' daemons, chosen

SLURM_CONF = """
ClusterName=jaxpower
SlurmctldHost={host}
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin={task_plugin}
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobRequeue=1
ReturnToService=2
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def install() -> None:
  """Installs Slurm and munge, if they are not there."""
  if shutil.which("slurmctld") and shutil.which("munged"):
    return
  environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
  command = ["apt-get", "install", "--yes", "--no-install-recommends"]
  subprocess.run([*command, *PACKAGES], check=True, env=environment)


def this_host() -> str:
  """Returns the short name of this machine."""
  return socket.gethostname().partition(".")[0]


def in_cluster(
  measure: Callable[[pathlib.Path, dict[str, str]], dict[str, Any]],
  out: pathlib.Path | None,
  nodes: Sequence[str] = (),
  cpus: int = 2,
) -> int:
  """Measures in a cluster of its own; prints what was seen.

  Args:
    measure: Takes a folder and the environment of the cluster's commands.
    out: Where what was seen is also written to, as JSON.
    nodes: As `cluster` has them.
    cpus: Of each.

  Returns 1 where there are "faults".
  """
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  install()
  with tempfile.TemporaryDirectory(prefix="jaxpower-slurm-") as text:
    folder = pathlib.Path(text)
    with cluster(folder / "slurm", nodes, cpus) as environment:
      facts = measure(folder, environment)
  print(json.dumps(facts, indent=2))
  if out is not None:
    out.write_text(json.dumps(facts, indent=2) + "\n")
  return 1 if facts["faults"] else 0


@contextlib.contextmanager
def cluster(
  folder: pathlib.Path, nodes: Sequence[str] = (), cpus: int = 2
) -> Iterator[dict[str, str]]:
  """Starts a cluster; a context manager for the environment of its commands.

  Args:
    folder: For its state and logs; made.
    nodes: Names of nodes, all on this machine; empty: one of its own name,
      whose tasks are bound to the cores that they asked for. (Several would
      each count the machine's cores from 0.)
    cpus: Of each node, as Slurm is to see it.
  """
  for name in ("state", *(f"spool.{n}" for n in nodes or (this_host(),))):
    (folder / name).mkdir(parents=True)
  conf = folder / "slurm.conf"
  conf.write_text(configuration(folder, nodes, cpus))
  environment = os.environ | {"SLURM_CONF": str(conf)}
  run_folder = pathlib.Path("/run/munge")
  run_folder.mkdir(mode=0o755, exist_ok=True)
  shutil.chown(run_folder, "munge", "munge")
  daemons: list[subprocess.Popen[bytes]] = []
  try:
    for command in (
      ["runuser", "-u", "munge", "--", "munged", "--foreground", "--force"],
      ["slurmctld", "-D"],
      *(["slurmd", "-D", "-N", node] for node in nodes or (this_host(),)),
    ):
      log = folder / f"{command[0]}.{len(daemons)}.err"
      daemons.append(
        subprocess.Popen(
          command,
          env=environment,
          stdout=subprocess.DEVNULL,
          stderr=log.open("wb"),
          start_new_session=True,
        )
      )
      time.sleep(START_SECONDS)
    await_idle(folder, environment, len(nodes) or 1)
    yield environment
  finally:
    for daemon in reversed(daemons):
      daemon.send_signal(signal.SIGTERM)
    for daemon in daemons:
      daemon.wait()


def configuration(folder: pathlib.Path, nodes: Sequence[str], cpus: int) -> str:
  """Returns a slurm.conf."""
  host = this_host()
  lines = [
    f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1"
    f" Port={FIRST_PORT + number} CPUs={cpus} State=UNKNOWN"
    for number, name in enumerate(nodes)
  ]
  return SLURM_CONF.format(
    host=host,
    folder=folder,
    task_plugin="task/none" if nodes else "task/affinity",
    nodes="\n".join(lines) or f"NodeName={host} CPUs={cpus} State=UNKNOWN",
  )


def await_idle(
  folder: pathlib.Path, environment: dict[str, str], nodes: int
) -> None:
  """Waits until every node takes jobs; exits with the logs' last lines."""
  end = time.monotonic() + READY_SECONDS
  while True:
    states = ask(environment, "sinfo", "-h", "-N", "-o", "%t").split()
    if states == ["idle"] * nodes:
      return
    if time.monotonic() > end:
      logs = [*folder.glob("*.err"), *folder.glob("*.log")]
      tails = [f"{log.name}: {last_line(log)}" for log in sorted(logs)]
      raise SystemExit("\n".join([f"Slurm's nodes are {states}", *tails]))
    time.sleep(LOOK_SECONDS)


def last_line(log: pathlib.Path) -> str:
  """Returns the last line of a log."""
  lines = log.read_text(errors="replace").strip().splitlines()
  return lines[-1] if lines else ""


def ask(environment: dict[str, str], *command: str) -> str:
  """Returns what a command of Slurm prints."""
  done = subprocess.run(
    command, env=environment, capture_output=True, text=True
  )
  return done.stdout.strip()
