"""How many examples a second each way to train makes, side by side.

  python benchmarks/throughput.py --out=benchmarks/throughput_cpu.json
  python benchmarks/throughput.py --networks=cnn --batches=16 --arms=jax,torch
  make bench-check      a tiny case against the stored ratios; fails on a loss

Every bundled network over batch sizes, in the wings' programs (jax, torch,
torch_compile) and in the loops that a user would write (plain_jax,
plain_torch). A process an arm, in turns A B C C B A, so that other work on the
machine and its clock disturb all alike; a ratio is taken within a round, and
told as its median and range over the rounds. Numbers of different machines do
not compare.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags
from throughput_cases import ARMS, CASES

from jaxpower import provenance
from jaxpower.power.cpu_time import usable_cores
from jaxpower.workers import cores
from jaxpower.workers.worker import environment

HERE = Path(__file__).parent
NO_PLAIN = ("resnet50",)  # a loop of one's own is compared by its ResNet-18
PATIENCE_SECONDS = 600
CLEARLY = 0.8  # chosen: rounds on a shared machine differ by a tenth

Cells = Mapping[str, Any]

_OUT = flags.DEFINE_string("out", None, "also write the numbers here")
_NETWORKS = flags.DEFINE_list("networks", list(CASES), "which networks")
_BATCHES = flags.DEFINE_list("batches", ["16", "128", "512", "1024"], "sizes")
_ARMS = flags.DEFINE_list("arms", list(ARMS), "which ways to train")
_ROUNDS = flags.DEFINE_integer("rounds", 2, "turns of all arms, to and fro")
_SECONDS = flags.DEFINE_float("seconds", 2.0, "that an arm is timed in a turn")
_PRECISION = flags.DEFINE_enum(
  "precision", "float32", ["float32", "bfloat16"], "of the arithmetic"
)
_AGAINST = flags.DEFINE_string(
  "against", None, "compare with the ratios of this file; exit 1 on a loss"
)
_WITHIN = flags.DEFINE_float(
  "within", 0.0, "begin no further case after so many seconds; 0: all"
)


def main(_: list[str]) -> None:
  began, cells = time.monotonic(), {}
  for network in _NETWORKS.value:
    for batch in map(int, _BATCHES.value):
      if 0 < _WITHIN.value < time.monotonic() - began:
        print(f"{network} {batch}: not begun, the time is over")
        continue
      arms = [arm for arm in _ARMS.value if fits(arm, network)]
      rounds = measure(arms, network, batch)
      cells[f"{network} {batch}"] = cell = summary(rounds)
      print(line(network, batch, cell), flush=True)
      if _OUT.value:
        write(Path(_OUT.value), cells)

  if _AGAINST.value:
    stored = json.loads(Path(_AGAINST.value).read_text())["cells"]
    losses = [loss for name in cells for loss in lost(cells, stored, name)]
    if losses:
      raise SystemExit("\n".join(losses))
    print(f"no clear loss against {_AGAINST.value}")


def lost(cells: Cells, stored: Cells, name: str) -> list[str]:
  """Says where JAX over PyTorch is clearly less than what is stored.

  Of the same ways to train: the best of the rounds now, below CLEARLY of the
  worst of those stored.
  """
  if name not in stored:
    return [f"{name}: not in the file"]
  said = []
  for what in ("train", "evaluate"):
    now = ratios(cells[name]["rounds"], "jax", "torch", what)
    arms = cells[name]["arms"]
    rounds = [
      {arm: r[arm] for arm in arms if arm in r} for r in stored[name]["rounds"]
    ]
    before = ratios(rounds, "jax", "torch", what)
    if now and before and now[2] < CLEARLY * before[1]:
      said.append(
        f"{name}: {what}: JAX over PyTorch is {now[2]:.2f} at best, it was"
        f" {before[1]:.2f} at worst"
      )
  return said


def fits(arm: str, network: str) -> bool:
  """Whether there is such a loop for a network."""
  return not (arm.startswith("plain") and network in NO_PLAIN)


def measure(arms: Sequence[str], network: str, batch: int) -> list[dict]:
  """Runs the arms to and fro; returns by round what each of them measured."""
  rounds = []
  for number in range(_ROUNDS.value):
    turn = arms if number % 2 == 0 else arms[::-1]
    rounds.append({arm: run(arm, network, batch) for arm in turn})
  return rounds


def run(arm: str, network: str, batch: int) -> dict[str, Any]:
  """Runs one arm in a process with the environment of a worker."""
  framework = arm.removeprefix("plain_")
  environ = environment(os.environ, framework)
  path = os.pathsep.join([environ["PYTHONPATH"], str(HERE)])
  environ["PYTHONPATH"] = path
  if arm == "jax":
    environ |= cores.variables_for(usable_cores(), os.environ)
  if arm.startswith("plain_"):  # as a user's own process would be
    environ = dict(os.environ) | {"PYTHONPATH": path}
  done = subprocess.run(
    [
      *(sys.executable, str(HERE / "throughput_arm.py"), arm, network),
      *(str(batch), _PRECISION.value, str(_SECONDS.value)),
    ],
    env=environ,
    capture_output=True,
    text=True,
    timeout=PATIENCE_SECONDS,
  )
  if done.returncode:
    raise SystemExit(f"{arm} {network} {batch}:\n{done.stderr[-2000:]}")
  return json.loads(done.stdout.splitlines()[-1])


def summary(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Returns medians of each arm, and ratios of JAX to the best PyTorch."""
  arms = {
    arm: {
      "train_examples_per_second": middle(rounds, arm, "train"),
      "evaluate_examples_per_second": middle(rounds, arm, "evaluate"),
      "train_cpu_seconds_per_example": statistics.median(
        r[arm]["train"]["cpu_seconds_per_example"] for r in rounds
      ),
      "peak_mib_beyond_the_framework": statistics.median(
        r[arm]["peak_mib_beyond_the_framework"] for r in rounds
      ),
    }
    for arm in rounds[0]
  }
  return {
    "arms": arms,
    "jax_over_best_torch": {
      what: ratios(rounds, "jax", "torch", what)
      for what in ("train", "evaluate")
    },
    "torch_wing_over_plain_torch": {
      what: ratios(rounds, "torch", "plain_torch", what)
      for what in ("train", "evaluate")
    },
    "rounds": rounds,
  }


def middle(rounds: Sequence[Mapping[str, Any]], arm: str, what: str) -> float:
  """Returns an arm's median of examples a second."""
  return statistics.median(speed(r[arm], what) for r in rounds)


def speed(measured: Mapping[str, Any], what: str) -> float:
  """Returns the examples a second of one run."""
  return measured[what]["examples_per_second"]


def ratios(
  rounds: Sequence[Mapping[str, Any]], arm: str, other: str, what: str
) -> list[float] | None:
  """Returns the median, least and most ratio within a round.

  Of "torch" as the other the best of all arms in PyTorch counts.
  """
  others = [
    name
    for name in rounds[0]
    if name == other or (arm == "jax" and name.endswith(("torch", "compile")))
  ]
  if arm not in rounds[0] or not others:
    return None
  found = [
    speed(r[arm], what) / max(speed(r[name], what) for name in others)
    for r in rounds
  ]
  return [statistics.median(found), min(found), max(found)]


def line(network: str, batch: int, cell: Mapping[str, Any]) -> str:
  """Returns a row of the table."""
  speeds = "  ".join(
    f"{arm} {numbers['train_examples_per_second']:,.0f}"
    f" / {numbers['evaluate_examples_per_second']:,.0f}"
    for arm, numbers in cell["arms"].items()
  )
  told = ", ".join(
    f"{what} {values[0]:.2f} ({values[1]:.2f} to {values[2]:.2f})"
    for what, values in cell["jax_over_best_torch"].items()
    if values
  )
  return f"{network:12} {batch:>5}  {speeds}  JAX / best PyTorch: {told}"


def write(out: Path, cells: Mapping[str, Any]) -> None:
  """Writes what was measured so far."""
  facts = {
    "command": " ".join(sys.argv),
    "precision": _PRECISION.value,
    "cells": cells,
    "cores": usable_cores(),
    "date": time.strftime("%Y-%m-%d"),
    "provenance": provenance.collect(),
  }
  out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
  app.run(main)
