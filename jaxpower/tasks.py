"""What a sweep says of its tasks, checked and given to the trials they are of.

A sweep that sets one network for several tasks against a network for each
varies `tasks`; its targets and weights are named once, for all of them.
"""

from collections.abc import Iterable

from jaxpower.config import Conditions, ConfigError, Sweep, Trial, unknown


def keep_own(trial: Trial) -> None:
  """Drops what is said of tasks that only other trials of the sweep have.

  With one task there is nothing to weigh it against, and weights that are
  learned are not given.
  """
  weighs = len(trial.tasks) > 1 and trial.task_weighting == "fixed"
  weighed = trial.tasks if weighs else ()
  for own, kept in (
    (trial.targets, trial.tasks),
    (trial.task_weights, weighed),
  ):
    for task in own.keys() - set(kept):
      del own[task]


def check(conditions: Conditions) -> None:
  """Raises ConfigError on tasks, targets or weights that cannot be."""
  c = conditions
  if not c.tasks:
    raise ConfigError("tasks: name at least one label of the data")
  if len(set(c.tasks)) < len(c.tasks):
    raise ConfigError(f"tasks: one is named twice in {', '.join(c.tasks)}")
  for task, target in c.targets.items():
    if not 0 < target <= 1:
      raise ConfigError(
        f"targets.{task} {target}: must lie between 0 and 1 (0.8 means 80 %)"
      )
  for task, weight in c.task_weights.items():
    if weight <= 0:
      raise ConfigError(f"task_weights.{task} {weight}: must be above 0")


def check_named(sweep: Sweep) -> None:
  """Raises ConfigError on what would have no effect in any trial.

  That is a target of a task that none has, or a weight of one that is never
  weighed against another, or whose weight is learned.
  """
  asked = sweep.vary.get("tasks", (sweep.tasks,))
  if any(type(tasks) is not tuple for tasks in asked):
    return  # refused with the trial that has it
  weighed = {task for tasks in asked if len(tasks) > 1 for task in tasks}
  _check_keys(sweep, "targets", {task for tasks in asked for task in tasks})
  weightings = sweep.vary.get("task_weighting", (sweep.task_weighting,))
  weighs = any(sweep.vary.get("task_weights", (sweep.task_weights,)))
  if not weighed and weighs:
    raise ConfigError("task_weights: with one task there is nothing to weigh")
  if not weighed and "uncertainty" in weightings:
    raise ConfigError(
      "task_weighting uncertainty: with one task there is nothing to weigh"
    )
  if weighs and "fixed" not in weightings:
    raise ConfigError(
      "task_weights: task_weighting uncertainty learns them; leave them out"
    )
  _check_keys(sweep, "task_weights", weighed)


def check_labels(trial: Trial, labels: Iterable[str], kind: str) -> None:
  """Raises ConfigError unless the data has a label for every task.

  `kind` is that of the data, "text" where the label is the next token.
  """
  labels = tuple(labels)
  for task in trial.tasks:
    if task not in labels:
      raise ConfigError(unknown(f"task of {trial.data}", task, labels))
  if kind == "text" and len(trial.tasks) > 1:
    raise ConfigError(
      f"tasks {', '.join(trial.tasks)}: the label of {trial.data} is the next"
      " token at every position and is learned alone"
    )


def _check_keys(sweep: Sweep, field: str, known: set[str]) -> None:
  for value in sweep.vary.get(field, (getattr(sweep, field),)):
    for task in value if type(value) is dict else ():
      if task not in known:
        raise ConfigError(f"{field}: {unknown('task', task, known)}")
