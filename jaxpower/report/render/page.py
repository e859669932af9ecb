"""Renders a report as one self-contained page of HTML.

Light or dark as the reader's machine prefers, figures too; no script, font or
image from elsewhere. The page itself is `page.html`, a Jinja template that
escapes whatever comes from a record. Its script sorts tables and moves two
sliders; without it everything is there all the same.
"""

import itertools
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report import cells, experiment
from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.compare.costs import all_phases, seen_in_part
from jaxpower.report.compare.cpu_time import covers_server
from jaxpower.report.findings import NOTHING_RECORDED, Report, Table
from jaxpower.report.render.figures import Drawn
from jaxpower.report.render.inline_svg import inline, on_dark
from jaxpower.wording import (
  count,
  joules_name,
  labels,
  percent,
  printable,
  setting,
  value,
)

MOST_VALUES = 3  # of one fact, named on the page; of more, their number
MOST_TRIALS = 1_000  # on the page, which stays light; trials.csv has them all
FEWEST_TO_CHOOSE = 3  # settings; of fewer a reader sees the best at a glance
NUMBERS = re.compile(r"\d+(\.\d+)?")
LONGEST_CELL = 40  # characters of a cell; of more, it may break into lines


def render(
  report: Report,
  name: str,
  drawn: Mapping[str, Drawn],
  links: Sequence[str],
) -> str:
  """Renders a report as one self-contained page of HTML.

  Args:
    report: What to show.
    name: Of the sweep, for the heading.
    drawn: Each figure, by its name.
    links: The files of records and tables, as seen from the page.
  """
  import jinja2  # here, since printing tables does not need it
  import markupsafe

  files = resources.files("jaxpower.report.render")
  template = files.joinpath("page.html").read_text()
  environment = jinja2.Environment(
    autoescape=True, undefined=jinja2.StrictUndefined, finalize=_shown
  )
  trials = report.compared.trials
  pictures = {
    name: [
      inline(svg, f"{name}-{size}", f"caption-{name}")
      for size, svg in (("wide", each.wide), ("narrow", each.narrow))
    ]
    for name, each in drawn.items()
  }
  colors = sorted({c for p in pictures.values() for _, used in p for c in used})
  return environment.from_string(template).render(
    report=report,
    experiment=experiment.facts(report.compared),
    trials=trials_table(report.compared.comparisons),
    trial_count=len(trials),
    choice=choice(report.compared.comparisons),
    heading=f"What {name} cost" if name else "What it cost",
    goal=_goal(report),
    pictures={
      # Not escaped: matplotlib wrote them, and `inline` wrote them anew from
      # the tree, which escapes text.
      name: [markupsafe.Markup(svg) for svg, _ in each]
      for name, each in pictures.items()
    },
    colors={color: on_dark(color) for color in colors},
    to_repeat=experiment.to_repeat(report.compared),
    measured=_measured(trials),
    provenance=_provenance(trials),
    links=links,
    longest=LONGEST_CELL,
    script=markupsafe.Markup(files.joinpath("page.js").read_text()),
  )


def _shown(item: Any) -> Any:
  """Escapes marks that turn the direction of text, or are not seen."""
  return printable(item) if type(item) is str else item  # and not Markup


def trials_table(comparisons: Iterable[Comparison]) -> Table:
  """Makes the table of all trials, so that a page sent by mail has them."""
  comparisons = tuple(comparisons)
  paths = tuple(dict.fromkeys(p for c in comparisons for p in c.paths))
  names = labels(paths)
  many = len(comparisons) > 1
  joules = joules_name(any(c.estimated for c in comparisons))
  columns = (
    *(["comparison"] if many else []),
    *(names[path] for path in paths),
    "seed",
    "status",
    f"{joules} to target",
    "seconds to target",
    "examples",
    "best accuracy",
    "test accuracy",
    f"{joules} of all phases",
    "trial",
  )
  every = (
    (comparison, record)
    for comparison in comparisons
    for record in comparison.records
  )
  rows = tuple(
    (
      *([cells.name_among(comparison, comparisons)] if many else []),
      *(value(record.varied.get(path)) for path in paths),
      str(record.seed),
      record.status,
      _to_target(record, record.joules_to_accuracy),
      _to_target(record, record.seconds_to_accuracy),
      cells.UNKNOWN if record.examples is None else str(record.examples),
      _share(record.best_accuracy),
      _share(record.test_accuracy),
      cells.number_or_unknown(all_phases(record)),
      record.trial_id,
    )
    for comparison, record in itertools.islice(every, MOST_TRIALS)
  )
  return Table(columns, rows)


def _to_target(record: TrialRecord, cost: float | None) -> str:
  return cells.number_or_unknown(cost) if record.status == "reached" else "-"


def _share(accuracy: float | None) -> str:
  return cells.UNKNOWN if accuracy is None else percent(accuracy)


def choice(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
  """Lists what a reader may choose among: settings whose numbers are known.

  Of one comparison; of several nothing, since their joules do not compare.
  """
  if len(comparisons) != 1:
    return []
  (comparison,) = comparisons
  rows = [
    {
      "name": setting(group.varied),
      "joules": group.joules.value,
      "cost": cells.joules(group.joules, comparison.estimated),
      "seconds": group.seconds.value,
      "accuracy": statistics.fmean(tested),
    }
    for group in comparison.groups
    if group.joules
    and group.seconds
    and (
      tested := [
        record.test_accuracy
        for record in group.records
        if record.test_accuracy is not None
      ]
    )
  ]
  return rows if len(rows) >= FEWEST_TO_CHOOSE else []


def _goal(report: Report) -> str:
  if not report.compared.comparisons:
    return NOTHING_RECORDED
  goals = dict.fromkeys(
    f"{comparison.data or 'unknown data'} to {cells.goal(comparison)}"
    for comparison in report.compared.comparisons
  )
  trials = report.compared.trials
  split = " or ".join(sorted({record.decided_by for record in trials}))
  return (
    f"{count(len(trials), 'trial')}: {', '.join(goals)} {split} accuracy, fixed"
    " before the sweep."
  )


def _measured(trials: Sequence[TrialRecord]) -> dict[str, str]:
  how: dict[str, list[str]] = {}
  for trial in trials:
    for domain in trial.meter.get("domains", ()):
      modelled = domain.get("estimated")
      text = (
        ("estimated, not measured" if modelled else "measured")
        + (f" ({domain['kind']})" if domain.get("kind") else "")
        + _assumed(domain.get("assumptions") or {})
      )
      how.setdefault(text, []).append(str(domain.get("domain", "unknown")))
  domains = {
    name: text
    for text, several in how.items()
    for name in _few(dict.fromkeys(several))
  }
  reasons = dict.fromkeys(r for trial in trials for r in trial.reasons)
  warnings = dict.fromkeys(w for trial in trials for w in trial.warnings)
  partial, seen = seen_in_part(trials)
  return {
    **domains,
    "counted": f"the train phase until {_reached_at(trials)}; the notes of the"
    " table give it with compiling, with evaluation and without idle energy",
    "not counted": f"{_left_out(trials)} and everything outside the domains"
    " above",
    "partly measured": f"{partial} of {count(seen, 'trial')}"
    if partial
    else "",
    "unknown": "; ".join(_once(reasons)),
    "warnings": "; ".join(_once(warnings)),
  }


def _once(lines: Iterable[str]) -> list[str]:
  """Says lines that differ in their numbers once, and how many more are so."""
  alike: dict[str, list[str]] = {}
  for line in lines:
    # Records of any version say mend; a reader is told fix.
    line = line.replace("; mend: ", "; fix: ")
    alike.setdefault(NUMBERS.sub("#", line), []).append(line)
  return [
    first + (f" ({len(more)} more like it)" if more else "")
    for first, *more in alike.values()
  ]


def _few(names: Iterable[str]) -> list[str]:
  """Names domains read in the same way; of many boards, their number."""
  names = list(names)
  if len(names) <= MOST_VALUES:
    return names
  return [f"{names[0]} and {len(names) - 1} others, see the records"]


def _left_out(trials: Sequence[TrialRecord]) -> str:
  if covers_server(trials):
    return "network"
  return "power supplies, fans, network"


def _assumed(assumptions: Mapping[str, Any]) -> str:
  """Says of what a modelled domain is an estimate, and by whose watts."""
  facts = [
    assumptions.get("counts"),
    assumptions.get("covers"),
    f"watts of CPU family {assumptions['family']}, {assumptions['source']}"
    if "family" in assumptions
    else assumptions.get("reason"),
  ]
  return "".join(f"; {fact}" for fact in facts if fact)


def _reached_at(trials: Sequence[TrialRecord]) -> str:
  """Says where a target is reached, by each rule that the trials have."""
  rules = {
    "first": "the first evaluation that met the target",
    "confirmed": "the first of two evaluations in a row that met the target",
    "interpolated": "the crossing of the target, interpolated before the first"
    " of two evaluations in a row that met it",
  }
  found = dict.fromkeys(t.config.get("crossing", "first") for t in trials)
  return ", or ".join(rules.get(str(rule), str(rule)) for rule in found)


def _provenance(trials: Sequence[TrialRecord]) -> dict[str, str]:
  """Lists each fact with all its values among the trials."""
  facts: dict[str, dict[str, None]] = {}
  told = {repr(trial.provenance): trial.provenance for trial in trials}
  for provenance in told.values():  # most are alike
    for key, item in _flat(provenance):
      if item not in (None, "", [], {}):
        facts.setdefault(key, {})[_short(item)] = None
  return {
    _named(key): "; ".join(values)
    if len(values) <= MOST_VALUES
    else f"{len(values)} different values, see the records"
    for key, values in facts.items()
  }


def _named(key: str) -> str:
  """Names a fact; variables of the environment keep their own names."""
  return key if key.startswith("environment ") else key.replace("_", " ")


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
  flat = []
  for key, item in facts.items():
    if isinstance(item, Mapping):
      flat += _flat(item, f"{prefix}{key} ")
    else:
      flat.append((f"{prefix}{key}", item))
  return flat


def _short(item: Any) -> str:
  if isinstance(item, list | tuple):
    if all(isinstance(x, str) for x in item):
      return " ".join(item)
    if all(isinstance(x, Mapping) and x.get("platform") for x in item):
      return " + ".join(map(_device, item))
  return value(item)


def _device(facts: Mapping[str, Any]) -> str:
  """Names a device of a trial: "NVIDIA H200 GPU-5c1d3f0e-...", "cpu"."""
  kind = str(facts.get("kind") or facts["platform"])
  return f"{kind} {facts['uuid']}" if facts.get("uuid") else kind
