"""Writes records and groups as CSV: full precision, unknown is an empty cell.

Column names are stable: other people's scripts read them.
"""

import csv
import functools
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import pretraining
from jaxpower.report.compare.comparison import (
  Compared,
  Comparison,
  Group,
)
from jaxpower.report.compare.statistics import Estimate
from jaxpower.wording import printable

# What a formula of a spreadsheet begins with; tab and carriage return before it
# are escaped. Full-width signs are taken for it too.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

# In columns of their own, or too deep for a cell: see the records.
NESTED = {
  "attempts",
  "config",
  "varied",
  "curve",
  "company",
  "compile",
  "meter",
  "provenance",
  "seconds_by_phase",
  "joules_by_phase",
  "joules_by_domain",
  "joules_by_phase_and_domain",
  "apart_joules_by_phase",
  "monotonic_origin_seconds",
  "other_load_cores",
  "steal_cores",
  "others",
}
FLAT = tuple(f.name for f in fields(TrialRecord) if f.name not in NESTED)
MOST_TEXTS = 4_096  # whose cells are kept: most are those of other trials too


def trials(compared: Compared) -> str:
  """Writes a row a trial, in the order of comparisons; pretraining last."""
  return _csv(rows(compared))


def rows(compared: Compared) -> list[dict[str, Any]]:
  """Makes the rows of `trials` as values, by column; unknown is None."""
  records = (*compared.trials, *pretraining(compared.records))
  return [_trial(record) for record in records]


def summary(comparisons: Iterable[Comparison]) -> str:
  """Writes a row a group.

  `..._status` is "known" for the model's estimate; of an empty cell "missed",
  where more than half of the seeds missed the target, or "unknown".
  """
  return _csv([_group(c, group) for c in comparisons for group in c.groups])


def _trial(record: TrialRecord) -> dict[str, Any]:
  flat = {name: getattr(record, name) for name in FLAT}
  row = {"trial_id": flat.pop("trial_id"), **record.varied, **flat}
  row["joules_per_example"] = record.joules_per_example
  row["attempts"] = len(record.attempts) or None
  if record.compile is not None:
    row["compile_seconds"] = record.compile.seconds
    row["compile_joules"] = record.compile.joules
    row["compile_cache_hit"] = record.compile.cache_hit
  for name, amounts in (
    ("seconds_of_phase", record.seconds_by_phase),
    ("joules_of_phase", record.joules_by_phase),
    ("joules_of_domain", record.joules_by_domain),
    (
      "train_joules_of_domain",
      (record.joules_by_phase_and_domain or {}).get("train", {}),
    ),
    ("other_load_cores_of_phase", record.other_load_cores or {}),
    ("steal_cores_of_phase", record.steal_cores or {}),
  ):
    row |= {f"{name}_{key}": amount for key, amount in amounts.items()}
  return row


def _group(comparison: Comparison, group: Group) -> dict[str, Any]:
  return {
    **group.varied,
    "data": comparison.data,
    "target_accuracy": comparison.target_accuracy,
    "machine": comparison.machine,
    "domains": " + ".join(comparison.domains),
    "estimated": comparison.estimated,
    "trials": len(group.records),
    "seeds": group.seeds,
    "reached": group.count("reached"),
    "missed": group.count("missed"),
    "diverged": group.count("diverged"),
    "failed": group.count("failed"),
    "partial": group.partial,
    **_estimate("joules_to_accuracy", group.joules, group),
    **_estimate("seconds_to_accuracy", group.seconds, group),
    **_estimate("joules_ratio_to_best", group.ratio, group),
    "joules_missed": group.joules_missed,
    "joules_per_1000_examples": group.joules_per_1000_examples,
    "joules_per_1000_examples_bound": group.joules_per_1000_examples_bound,
    "unknown": group.unknown,
  }


def _estimate(
  name: str, value: Estimate | None, group: Group
) -> dict[str, Any]:
  cell = value or Estimate(math.nan)
  missed = group.joules_missed is not None or (
    2 * group.count("reached") < group.seeds_ran
  )
  return {
    name: cell.value,
    f"{name}_low": cell.low,
    f"{name}_high": cell.high,
    f"{name}_status": "known" if value else "missed" if missed else "unknown",
  }


def _csv(rows: Sequence[dict[str, Any]]) -> str:
  names = dict.fromkeys(name for row in rows for name in row)
  text = io.StringIO(newline="")
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(map(_text, names))
  for row in rows:
    # Most are numbers or unknown, which the writer writes as `_cell` would.
    writer.writerow(
      [
        item
        if item is None
        or type(item) is int
        or (type(item) is float and abs(item) < math.inf)
        else _cell(item)
        for item in map(row.get, names)
      ]
    )
  return text.getvalue()


def _cell(item: Any) -> str:
  if isinstance(item, float):
    return str(item) if math.isfinite(item) else ""
  if item is None:
    return ""
  if isinstance(item, bool):
    return str(item).lower()
  # A tuple that has been through JSON is a list, and the same cell.
  if isinstance(item, tuple | list) and all(isinstance(x, str) for x in item):
    return _text("; ".join(item))
  if isinstance(item, dict | list | tuple):
    return json.dumps(item)
  return _text(item) if isinstance(item, str) else str(item)


@functools.lru_cache(maxsize=MOST_TEXTS)
def _text(item: str) -> str:
  """Keeps a text from being a formula in a spreadsheet.

  A spreadsheet computes a cell that begins with one of `FORMULA`, and an
  apostrophe before it makes it text (OWASP, "CSV Injection"). A text that is
  a number, as "-5", stays.
  """
  shown = printable(item)
  if not shown.startswith(FORMULA) or NUMBER.fullmatch(shown):
    return shown
  return f"'{shown}"
