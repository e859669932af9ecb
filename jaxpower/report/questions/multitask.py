"""What did one network for several tasks cost against single-task networks?

The one network is divided by the sum of a network for each of the tasks
(`compare.multitask`).

A saving may cost accuracy, so the final accuracy of every task stands beside
its energy. It means something only for trials that trained on after their
targets: where training stops at the target, every network ends there.
"""

from collections.abc import Mapping, Sequence

from jaxpower.report.cells import (
  COUNTING_NAMES,
  UNKNOWN,
  estimate,
  has_interval,
  interval,
  misses,
  typical_note,
  unit_of,
)
from jaxpower.report.charts import Intervals, Mark
from jaxpower.report.compare.comparison import Compared
from jaxpower.report.compare.multitask import (
  Misses,
  Pairing,
  Saving,
  TaskResult,
  savings,
)
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.findings import Figure, Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import (
  ESTIMATED,
  capitalised,
  count,
  energy_name,
  join_names,
  joules_name,
  number,
  partly_measured,
  percent,
  points,
  setting,
)

PLACE = 50
TITLE = "Multitask and single-task networks"
CAPTION = (
  "The {energy} of one network for all tasks over that of a network for each,"
  " by each way to count it, with 95 % intervals. Where an interval holds one"
  " there is no measurable difference."
)
NUMBERS_IN_WORDS = {2: "two", 3: "three", 4: "four"}
ONE_SEED = (
  "with one seed there is no interval, so whether multitask saves cannot be"
  " known."
)


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers with one section; with none where nothing can be paired."""
  found = find(compared)
  return (tell(found),) if found else ()


def find(compared: Compared) -> tuple[Saving, ...]:
  """Finds what each network for several tasks saved; empty for none."""
  return savings(compared.records)


# Words


def tell(savings: Sequence[Saving]) -> Section:
  """Tells energy and accuracy of every pairing: two tables and sentences."""
  trials = [trial for saving in savings for trial in saving.pairing.trials]
  estimated = any(trial.estimated for trial in trials)
  lines = []
  for saving in savings:
    name = setting(saving.unlike)
    lines += [f"{name}: {s}" if name else s for s in _sentences(saving)]
  if estimated:
    lines.append(ESTIMATED)
  if partial := sum(trial.partial for trial in trials):
    lines.append(f"{partly_measured(partial, len(trials))}.")
  return Section(
    title=TITLE,
    tables=(
      _energy_table(savings, estimated),
      _accuracy_table(savings, estimated),
    ),
    lines=tuple(lines),
    figures=figures(savings, estimated),
  )


def figures(savings: Sequence[Saving], estimated: bool) -> tuple[Figure, ...]:
  """Draws the ratios of every pairing; none where none is known."""
  chart = ratios_chart(savings, estimated)
  caption = CAPTION.format(energy=energy_name(estimated))
  return (Figure("multitask", (chart,), caption),) if chart.marks else ()


def ratios_chart(savings: Sequence[Saving], estimated: bool) -> Intervals:
  """Makes a row a pairing, and a series a way to count its energy."""
  ratios = [
    {"train": saving.ratio, **saving.ratios_otherwise} for saving in savings
  ]
  countings = [c for c in COUNTING_NAMES if any(of.get(c) for of in ratios)]
  return Intervals(
    title="",
    axis=f"{capitalised(energy_name(estimated))} of one network over several",
    rows=tuple(
      setting(saving.unlike) or " + ".join(saving.pairing.tasks)
      for saving in savings
    ),
    series=tuple(COUNTING_NAMES[counting] for counting in countings) or ("",),
    marks=tuple(
      Mark(row, series, ratio.value, ratio.low, ratio.high)
      for row, of in enumerate(ratios)
      for series, counting in enumerate(countings)
      if (ratio := of.get(counting))
    ),
    ratios=True,
    ends=("one network costs less", "it costs more"),
  )


def _energy_table(savings: Sequence[Saving], estimated: bool) -> Table:
  """Makes a row a pairing; both columns of energy are in the same unit."""
  unit = unit_of(
    joules
    for saving in savings
    for joules in (saving.joules_together, saving.joules_alone)
  )
  joules = joules_name(estimated, unit)
  columns = (
    "tasks",
    "paired seeds",
    f"{joules} in one network",
    f"{joules} in single-task networks",
    "ratio",
  )
  rows = tuple(
    (
      setting(saving.unlike) or " + ".join(saving.pairing.tasks),
      str(len(saving.pairing.seeds)),
      estimate(saving.joules_together, unit),
      estimate(saving.joules_alone, unit),
      estimate(saving.ratio),
    )
    for saving in savings
  )
  notes = (
    "Energy of training to every target; that of single-task networks is the"
    " sum of what the typical seed of each costs.",
    typical_note("network"),
  )
  return Table(columns, rows, notes)


def _accuracy_table(savings: Sequence[Saving], estimated: bool) -> Table:
  unit = unit_of(r.joules_alone for saving in savings for r in saving.results)
  columns = (
    "task",
    "target",
    f"{joules_name(estimated, unit)} alone",
    "final accuracy in one network",
    "final accuracy alone",
    "difference in points",
  )
  rows = tuple(
    (
      result.task + (f" ({setting(saving.unlike)})" if saving.unlike else ""),
      percent(result.target),
      estimate(result.joules_alone, unit),
      _accuracy(result.end_together),
      _accuracy(result.end_alone),
      _points(result.gain),
    )
    for saving in savings
    for result in saving.results
  )
  notes = [
    "Accuracies are means over seeds, their difference is that of each seed"
    " with its 95 % t interval; below 0 the one network is less accurate."
  ]
  if any(saving.pairing.stopped_at_target for saving in savings):
    notes.append(
      "Training stopped at the targets, in each network after a different"
      " number of examples, so the difference is not a loss or gain. With"
      " stop_at_target=false all train on to the budget."
    )
  return Table(columns, rows, tuple(notes))


def _accuracy(share: float | None) -> str:
  return UNKNOWN if share is None else percent(round(share, 3))


def _points(gain: Estimate | None) -> str:
  """Writes points of accuracy with their sign: "-5.0 (-6.0 to -4.0)"."""
  if gain is None:
    return UNKNOWN
  text = points(gain.value)
  if gain.low is None or gain.high is None:
    return text
  return f"{text} ({points(gain.low)} to {points(gain.high)})"


# Sentences


def _sentences(saving: Saving) -> list[str]:
  sentences = (
    _saving_sentence(saving),
    _otherwise_sentence(saving.ratios_otherwise),
    _accuracy_sentence(saving),
    _unpaired_sentence(saving.pairing),
  )
  return [sentence for sentence in sentences if sentence]


def _saving_sentence(saving: Saving) -> str:
  """Says what the one network saved or cost."""
  tasks, ratio = join_names(saving.pairing.tasks), saving.ratio
  if ratio is None:
    return (
      f"What one network for {tasks} saved is unknown: {_why_unknown(saving)}."
    )
  networks = len(saving.pairing.tasks)
  networks = NUMBERS_IN_WORDS.get(networks, str(networks))
  energy = energy_name(any(trial.estimated for trial in saving.pairing.trials))
  return (
    f"One network for {tasks} cost {_ratio(ratio)} the {energy} of {networks}"
    f" single-task networks: {_verdict(saving, ratio)}"
  )


def _why_unknown(saving: Saving) -> str:
  """Says why there is no ratio, without a full stop."""
  if saving.unknown:
    return saving.unknown.rstrip(".")
  if saving.misses:
    return "; ".join(
      misses(
        each.missed,
        each.seeds,
        f"the network for {join_names(each.tasks)}",
        _goal(saving.pairing, each),
        each.within,
        any(trial.estimated for trial in saving.pairing.trials),
      )
      for each in saving.misses
    )
  if any(trial.train_joules is None for trial in saving.pairing.trials):
    return "no meter"
  return "a training cost 0 J"


def _goal(pairing: Pairing, network: Misses) -> str:
  """Names what a network was to reach."""
  if len(network.tasks) == 1:
    return percent(pairing.targets[pairing.tasks.index(network.tasks[0])])
  return "every target"


def _ratio(ratio: Estimate) -> str:
  """Writes a ratio in a sentence: "0.70 times (0.60 to 0.80)"."""
  text = f"{number(ratio.value)} times"
  return f"{text} ({interval(ratio)})" if has_interval(ratio) else text


def _verdict(saving: Saving, ratio: Estimate) -> str:
  if not has_interval(ratio):
    return ONE_SEED
  if saving.surely_saved:
    return f"multitask saved {number(100 * (1 - ratio.value), 2)} %."
  if saving.surely_cost_more:
    return f"multitask cost {number(100 * (ratio.value - 1), 2)} % more."
  seeds = count(len(saving.pairing.seeds), "seed")
  return f"no measurable difference with {seeds}."


def _otherwise_sentence(ratios: Mapping[str, Estimate]) -> str:
  """Says the ratio by the other ways to count; empty where none is known."""
  names = [
    f"{name} {estimate(ratios[counting])}"
    for counting, name in COUNTING_NAMES.items()
    if counting in ratios
  ]
  return f"Ratio {', '.join(names)}." if names else ""


def _accuracy_sentence(saving: Saving) -> str:
  """Says which tasks have a lower or higher final accuracy together."""
  if saving.pairing.stopped_at_target:
    return ""
  lost = [_change(r) for r in saving.results if r.surely_lost]
  gained = [_change(r) for r in saving.results if r.surely_gained]
  changes = [
    f"{change} final accuracy in one network than alone: {', '.join(tasks)}."
    for change, tasks in (("Lower", lost), ("Higher", gained))
    if tasks
  ]
  if changes or len(saving.pairing.seeds) == 1:
    return " ".join(changes)
  return "Final accuracies in one network and alone do not differ measurably."


def _change(result: TaskResult) -> str:
  points = 100 * abs(result.gain.value) if result.gain else 0.0
  return f"{result.task} by {number(points, 2)} points"


def _unpaired_sentence(pairing: Pairing) -> str:
  """Says which seeds did not train in every network; empty where all did."""
  if not pairing.unpaired:
    return ""
  names = ", ".join(map(str, pairing.unpaired))
  return (
    f"Seed {names} did not train in every network, since a trial failed or is"
    " missing: its energy counts where it did, its accuracy does not."
  )
