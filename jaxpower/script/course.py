"""What is known of a command that runs, and whether its training is over.

It takes what was heard of the command, whichever way: the phases go to
`Phases`, which cuts the windows, the reports into a list that the rules of
`accounting` judge after each, as they judge the evaluations of a wing.
"""

import time
from collections.abc import Mapping
from typing import Any

from jaxpower import accounting
from jaxpower.config import Trial
from jaxpower.script.attach import PHASES
from jaxpower.script.metrics import facts_of
from jaxpower.script.phases import Phases
from jaxpower.script.process import Client, Message
from jaxpower.script.report import Report, ReportError, report_of

MOST_SHOWN = 80  # characters of a line that cannot be read; chosen


class Course:
  """The reports and phases of one command.

  Attributes:
    phases: The phase that it is in.
    results: Its reports that count.
    done: The windows of training and evaluation that led to each of them.
    over: Whether training is over, by the sweep's rules.
    told: How many reports came after that.
    failure: Why there will be no record; "" while there may be one.
    attached: Whether it has said anything over its socket.
    versions: Of the packages that its script has imported.
  """

  def __init__(self, trial: Trial, phases: Phases):
    self._trial = trial
    self._tasks = trial.tasks if len(trial.tasks) > 1 else ()
    self.phases = phases
    self.results: list[Report] = []
    self.done: list[accounting.Done] = []
    self.over = False
    self.told = 0
    self.failure = ""
    self.attached = False
    self.versions: dict[str, str] = {}
    self._scripts: set[Client] = set()
    # Of a training of several processes: the reports of the first, and the
    # others that wait for what it is told, each with the number of its report.
    self._reports = 0
    self._over_from: int | None = None
    self._counts: dict[Client, int] = {}
    self._waiting: list[tuple[int, Client]] = []

  def phase(self, name: str, at: float) -> None:
    """Notes that a phase begins; training does not, once it is over."""
    if name in PHASES:
      is_over = self._over_from is not None and name == "train"
      self.phases.to("other" if is_over else name, at)

  def report(self, facts: Mapping[str, Any], at: float) -> Report | None:
    """Takes a report; None where training was over, or it cannot be used."""
    self._reports += 1
    if self._over_from is not None:
      self.told += 1
      return None
    result = None
    try:
      result = report_of(self._trial, facts, at)
    except ReportError as error:
      self.failure = str(error)
    else:
      self.phases.report(at)
      self.results.append(result)
      so_far = self.phases.trained, self.phases.evaluated
      self.done.append(accounting.Done(*so_far))
      self.over = self._is_over(result)
    if self.over or self.failure:
      self._over_from = self._reports
      self.phases.to("other", at)
    return result

  def _is_over(self, last: Report) -> bool:
    budget = self._trial.budget_examples
    if last.examples is not None and last.examples >= budget:
      return True
    return accounting.is_over(self._trial, self.results)

  def hear(self, message: Message) -> Report | None:
    """Takes what a script says over its socket, and answers its reports."""
    facts, client = message.facts, message.client
    at = facts.get("at")
    at = at if isinstance(at, float) else time.monotonic()
    kind = facts.get("kind")
    if kind == "hello":
      rank = facts.get("rank")
      client.rank = rank if isinstance(rank, int) else 0
      if client.rank == 0:
        self.attached = True
        self._scripts.add(client)
        self.versions["python"] = str(facts.get("python"))
        self.phase("train", at)
    elif kind == "phase" and client.rank == 0:
      self.phase(str(facts.get("name")), at)
    elif kind == "report" and client.rank == 0:
      return self._hear_report(client, facts, at)
    elif kind == "report":
      self._counts[client] = number = self._counts.get(client, 0) + 1
      self._waiting.append((number, client))
      self._answer_waiting()
    return None

  def _hear_report(
    self, client: Client, facts: Mapping[str, Any], at: float
  ) -> Report | None:
    """Takes a report of the first process, and tells all what follows."""
    if isinstance(versions := facts.get("versions"), dict):
      self.versions |= {str(k): str(v) for k, v in versions.items()}
    result = self.report(facts, at)
    client.answer(over=self._over_from is not None)
    self._answer_waiting()
    return result

  def _answer_waiting(self) -> None:
    """Tells the others what the first was told at the same report."""
    over_from = self._over_from
    for number, client in self._waiting:
      if number <= self._reports:
        client.answer(over=over_from is not None and number >= over_from)
    self._waiting = [w for w in self._waiting if w[0] > self._reports]

  def read(self, facts: Any, at: float) -> Report | None:
    """Takes a line of a metrics file: a phase that begins, a report, or both.

    With "monotonic" a line has an instant of its own.
    """
    if not isinstance(facts, dict):
      line = str(facts)[:MOST_SHOWN]
      self.failure = self.failure or f"no JSON object in metrics_file: {line!r}"
      return None
    own = facts.get("monotonic")
    at = float(own) if isinstance(own, int | float) else at
    if isinstance(name := facts.get("phase"), str):
      self.phase(name, at)
    found = facts_of(facts, self._tasks)
    told = "accuracy" in found or found.get("accuracies")
    return self.report(found, at) if told else None

  def leave(self, client: Client, at: float) -> None:
    """Notes that a script has ended; what comes after it is no training."""
    if client in self._scripts:
      self._scripts.discard(client)
      if not self._scripts:
        self.phases.to("other", at)
    self._waiting = [w for w in self._waiting if w[1] is not client]
