"""Writes runs of Weights & Biases, offline: `wandb sync` uploads them later.

Nothing is sent, and nothing of this machine is recorded: neither git nor code,
packages, system metrics or host.
"""

import logging
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from jaxpower.export.runs import Run

LONGEST_GROUP = 128  # characters, by W&B


def write(runs: Sequence[Run], folder: pathlib.Path, name: str) -> None:
  """Writes a run of each trial into `folder`/wandb; seeds are a group.

  Args:
    runs: The trials.
    folder: Where to.
    name: Of the project.
  """
  os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
  import wandb

  folder.mkdir(parents=True, exist_ok=True)
  settings = wandb.Settings(
    mode="offline",
    host="",
    program="jaxpower",
    silent=True,
    console="off",
    disable_git=True,
    save_code=False,
    x_disable_stats=True,
    x_disable_meta=True,
    x_disable_machine_info=True,
    x_save_requirements=False,
  )
  # On a full disk each line of W&B's log would be a traceback.
  logging.raiseExceptions = False
  for run in runs:
    made = wandb.init(
      project=name,
      dir=str(folder),
      id=run.name,
      name=f"{run.setting} {run.name}".strip(),
      group=run.setting[:LONGEST_GROUP] or None,
      tags=[run.tags["status"], run.tags["energy"]],
      config={**run.params, **run.tags},
      settings=settings,
      reinit="finish_previous",
    )
    made.define_metric("examples")
    made.define_metric("*", step_metric="examples")
    for step, values in sorted(_looks(run).items()):
      made.log({**values, "examples": step})
    made.summary.update({f"trial/{k}": v for k, v in run.metrics.items()})
    made.finish(exit_code=1 if run.failed else 0)


def _looks(run: Run) -> dict[int, dict[str, Any]]:
  """Gathers the values of all series by their step."""
  looks: dict[int, dict[str, Any]] = {}
  for name, points in run.series.items():
    for point in points:
      looks.setdefault(point.step, {})[name] = point.value
  return looks
