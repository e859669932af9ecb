r"""Writes the settings of a comparison as a LaTeX table.

It needs \usepackage{booktabs} and \usepackage{siunitx}. Numbers are in \num, so
that the document decides how they look; an interval follows in brackets. A cell
is empty where nothing is known.
"""

import math
import re
from collections.abc import Sequence

from jaxpower.export import ExportError
from jaxpower.records import TrialRecord
from jaxpower.report.cells import (
  goal,
  hardware_name,
  name_among,
  unit_of,
  unit_to_target,
)
from jaxpower.report.compare.comparable import model_name
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.cpu_time import only_cpu_time
from jaxpower.report.compare.statistics import Estimate, converted
from jaxpower.wording import (
  JouleUnit,
  energy_name,
  join_names,
  joule_unit,
  joules_name,
  labels,
  number,
  printable,
  value,
)

SPECIAL = {
  "\\": r"\textbackslash{}",
  "{": r"\{",
  "}": r"\}",
  "&": r"\&",
  "%": r"\%",
  "$": r"\$",
  "#": r"\#",
  "_": r"\_",
  "~": r"\textasciitilde{}",
  "^": r"\textasciicircum{}",
  "<": r"\textless{}",
  ">": r"\textgreater{}",
  "|": r"\textbar{}",
  '"': r"\textquotedbl{}",
  "`": r"\textasciigrave{}",
  "×": r"$\times$",
}
# What pdflatex knows without a package for a script: Latin-1 and Extended-A.
LAST_KNOWN = 0x17F
PER_1000 = "1000"
NEEDS = "% Needs \\usepackage{booktabs} and \\usepackage{siunitx}.\n"


def tables(compared: Compared, name: str, version: str) -> str:
  """Writes a table for each comparison, with its caption and label.

  Args:
    compared: The comparisons.
    name: Of the sweep, for the labels.
    version: Of jaxpower, for the comment on top.

  Raises ExportError where there is no trial to compare.
  """
  comparisons = compared.comparisons
  if not comparisons:
    raise ExportError("no trial to make a table of")
  head = f"% By jaxpower {version}, of {_comment(name)}.\n{NEEDS}"
  several = len(comparisons) > 1
  labelled = (
    (each, f"{name}-{place}" if several else name)
    for place, each in enumerate(comparisons, start=1)
  )
  return head + "\n".join(
    _table(each, label, name_among(each, comparisons))
    for each, label in labelled
  )


def escaped(text: str) -> str:
  """Escapes a text so that LaTeX shows it as it is, on one line.

  What pdflatex has no sign for stands as its number, "U+1F600".
  """
  shown = printable(" ".join(text.split()))
  return "".join(map(_character, shown))


def _character(sign: str) -> str:
  if sign in SPECIAL:
    return SPECIAL[sign]
  return sign if ord(sign) <= LAST_KNOWN else f"U+{ord(sign):04X}"


def _comment(text: str) -> str:
  return printable(" ".join(text.split()))


def _table(comparison: Comparison, label: str, name: str) -> str:
  names = labels(comparison.paths)
  unit = unit_to_target(comparison)
  per_1000 = unit_of(g.joules_per_1000_examples for g in comparison.groups)
  estimated = comparison.estimated
  columns = (
    *(names[path] for path in comparison.paths),
    "reached",
    f"{joules_name(estimated, unit)} to {goal(comparison)}",
    "seconds",
    "ratio of CPU time" if only_cpu_time(comparison) else "ratio",
    f"{joule_unit(estimated, per_1000)} per {PER_1000} examples",
  )
  lines = (
    r"\begin{table}",
    r"  \centering",
    f"  \\caption{{{escaped(_caption(comparison, name))}}}",
    f"  \\label{{tab:{_key(label)}}}",
    f"  \\begin{{tabular}}{{{'l' * len(names)}{'r' * 5}}}",
    r"    \toprule",
    _row([escaped(column) for column in columns]),
    r"    \midrule",
    *(_row(_cells(group, unit, per_1000)) for group in comparison.groups),
    r"    \bottomrule",
    r"  \end{tabular}",
    r"\end{table}",
  )
  return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
  return f"    {' & '.join(cells)} \\\\"


def _cells(group: Group, unit: JouleUnit, per_1000: JouleUnit) -> list[str]:
  examples = group.joules_per_1000_examples
  bound = group.joules_per_1000_examples_bound
  return [
    *(_setting(item) for item in group.varied.values()),
    f"{group.count('reached')} of {group.seeds}",
    _joules(group, unit),
    _estimate(group.seconds),
    _estimate(group.ratio),
    _bounded(examples, bound, per_1000.joules),
  ]


def _setting(item: object) -> str:
  is_number = isinstance(item, int | float) and not isinstance(item, bool)
  return f"\\num{{{value(item)}}}" if is_number else escaped(value(item))


def _joules(group: Group, unit: JouleUnit) -> str:
  if group.joules_missed is not None:
    return f"missed within {_number(group.joules_missed / unit.joules)}"
  if group.joules is None:
    return ""
  return _estimate(converted(group.joules, lambda x: x / unit.joules))


def _estimate(estimate: Estimate | None) -> str:
  """Writes "6.30 (5.23--7.58)"; a lower bound as "> 655"."""
  if estimate is None:
    return ""
  if estimate.at_least:
    return f"$>$ {_number(estimate.value)}"
  middle, low, high = estimate.value, estimate.low, estimate.high
  if low is None or high is None:
    return _number(middle)
  ends = (
    f"{_number(low)} or more"
    if math.isinf(high)
    else f"{_number(low)}--{_number(high)}"
  )
  return f"{_number(middle)} ({ends})"


def _bounded(middle: float | None, bound: float | None, unit: float) -> str:
  """Writes a number and the meter's bound: "0.562 +- 0.004"."""
  if middle is None:
    return ""
  text = _number(middle / unit)
  return text if bound is None else f"{text} $\\pm$ {_number(bound / unit, 2)}"


def _number(amount: float, figures: int = 3) -> str:
  return f"\\num{{{number(amount, figures).replace(',', '')}}}"


def _caption(comparison: Comparison, name: str) -> str:
  """Says what was trained and where, and what the numbers are."""
  seeds = sorted({group.seeds for group in comparison.groups})
  each = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
  costs = "cost of one seed a row"
  if seeds[-1] > 1:
    costs = f"cost of the typical of {each} seeds a row, with 95 % intervals"
  subject = energy_name(comparison.estimated).capitalize()
  note = " Energy is estimated, not measured." if comparison.estimated else ""
  apart = f" ({name})" if name else ""
  return (
    f"{subject} of training {trained(comparison.records)} to"
    f" {goal(comparison)} on the {comparison.conditions.decided_by} set{apart},"
    f" on {hardware_name(comparison.conditions.system)}: {costs}; ratio to the"
    " cheapest row."
    f"{note}"
  )


def trained(records: Sequence[TrialRecord]) -> str:
  """Names models and data: "cnn on fashion_mnist_6k"."""
  models = dict.fromkeys(map(model_name, records))
  data = dict.fromkeys(str(r.config.get("data", "")) for r in records)
  return f"{join_names(list(models))} on {join_names(list(data))}"


def _key(label: str) -> str:
  r"""Makes a name for \label of any text: letters, digits and hyphens."""
  return re.sub(r"[^0-9A-Za-z]+", "-", label).strip("-") or "energy"
