"""What to do differently, from a sweep of two or more fields, in words."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from jaxpower.report.grids import Choice, choices, varied, weigh, whole
from jaxpower.report.groups import Comparison
from jaxpower.report.importance import Importance, Share
from jaxpower.report.labels import labels, setting, value


def advice(comparison: Comparison) -> list[str]:
  """Which field matters most and what to take; empty where one field varies.

  No more is claimed than the intervals over seeds carry.
  """
  paths = varied(comparison)
  if len(paths) < 2 or comparison.best is None:
    return []
  told = labels(comparison.paths)
  found = weigh(comparison)
  energy = "estimated energy" if comparison.estimated else "energy"
  if found.unknown:
    said = [f"Which field matters most cannot be told: {found.unknown}."]
  elif found.seeds is None:
    said = [_uncertain(found, told, energy)]
  else:
    said = _weighed(found, told, energy)
  if len(paths) == 2 and whole(comparison):
    first = found.ranked[0] if found.fields else paths[-1]
    said += _take(comparison, first, told)
  return said


def _uncertain(found: Importance, told: dict[str, str], energy: str) -> str:
  parts = [
    f"{told[path]} {_percent(found.fields[path])}" for path in found.ranked
  ]
  if found.interaction:
    parts.append(f"their interaction {_percent(found.interaction)}")
  return (
    f"Of the variation in {energy} {_row(parts)}{_misses(found)}; with one seed"
    " to a setting, chance is part of each."
  )


def _weighed(found: Importance, told: dict[str, str], energy: str) -> list[str]:
  real = [path for path in found.ranked if found.fields[path].beyond_chance]
  rest = [told[path] for path in found.ranked if path not in real]
  # Misses with another true cost could have made these matter.
  opened = {
    path
    for path, part in found.fields.items()
    if path not in real and part.most > max(part.least, part.chance or 0.0)
  }
  said = []
  if not real and opened:
    text = f"The misses leave open how much {_row(rest)} did to the {energy}"
    said.append(f"{text}{_misses(found)}.")
  elif not real:
    text = f"What {_row(rest)} did to the {energy} cannot be told from chance"
    said.append(f"{text}{_misses(found)}.")
  else:
    first, *others = real
    part = found.fields[first]
    share = f"{_percent(part)} of the variation in {energy}{_interval(part)}"
    share += _misses(found)
    more = [f"{told[path]} ({_told(found.fields[path])})" for path in others]
    if found.leads:
      text = f"{_upper(told[first])} matters most ({share})"
      text += f", {_row(more)} next" if more else ""
    elif more:
      text = f"{_upper(told[first])} matters ({share}), and so does"
      text += f" {_row(more)}; which of them matters more cannot be told"
    else:
      text = f"{_upper(told[first])} matters ({share})"
    said.append(f"{text}.")
    left_open = [told[path] for path in found.ranked if path in opened]
    chance = [name for name in rest if name not in left_open]
    if left_open:
      said.append(f"The misses leave open how much {_row(left_open)} matters.")
    if chance:
      said.append(f"{_upper(_row(chance))} cannot be told from chance.")
  if found.interaction and found.interaction.beyond_chance:
    share = _told(found.interaction)
    said.append(f"What one does depends on the other ({share}).")
  return said


def _take(comparison: Comparison, path: str, told: dict[str, str]) -> list[str]:
  """The value that is best, or not told apart from it, in most rows."""
  rows = choices(comparison, path)
  known = [row for row in rows if row.known]
  if not known:
    return []
  votes = Counter(repr(v) for row in known for v in row.alike)
  wins = Counter(repr(row.best) for row in known)
  usual = max(votes, key=lambda v: (votes[v], wins[v]))
  agree = [row for row in known if usual in map(repr, row.alike)]
  common = [
    v
    for v in agree[0].alike
    if votes[repr(v)] == votes[usual] and _all(v, agree)
  ]
  (held,) = known[0].held
  where = f"at any {told[held]}" if len(agree) == len(rows) else _at(agree)
  name = told[path]
  if len(common) == len({repr(g.varied[path]) for g in comparison.groups}):
    return [f"Which {name} is best {where} cannot be told with these seeds."]
  certain = all(row.certain for row in known)
  text = "Take" if certain else "As far as one seed tells, take"
  text += f" {name} {' or '.join(map(value, common))} {where}"
  others: dict[str, list[Choice]] = {}
  for row in known:
    if row not in agree:
      others.setdefault(value(row.best), []).append(row)
  for best, there in others.items():
    text += f"; {_at(there)} take {best}"
  if blank := [row for row in rows if not row.known]:
    text += f"; {_at(blank)} no {name} reached the target often enough"
  if len(agree) > 1:
    text += _with_it(comparison, path, held, _taken(comparison, path, common))
  return [f"{text}."]


def _taken(comparison: Comparison, path: str, common: Sequence[Any]) -> Any:
  """Of values alike the one of the cheapest setting, where it is there."""
  best = comparison.best.varied[path] if comparison.best else None
  return best if repr(best) in map(repr, common) else common[0]


def _with_it(comparison: Comparison, path: str, other: str, taken: Any) -> str:
  """What to take of the other field along with the value taken of this."""
  (row,) = (c for c in choices(comparison, other) if c.held == {path: taken})
  values = {repr(group.varied[other]) for group in comparison.groups}
  if not row.known or len(row.alike) == len(values):
    return ""
  best = " or ".join(map(value, row.alike))
  name = labels(comparison.paths)[other]
  return f"; the best {name} {_at([row])} is {best}"


def _all(item: Any, rows: Sequence[Choice]) -> bool:
  return all(repr(item) in map(repr, row.alike) for row in rows)


def _at(rows: Sequence[Choice]) -> str:
  first, *others = (row.held for row in rows)
  return "with " + _row(
    [setting(first), *(value(v) for held in others for v in held.values())],
    "or",
  )


def _told(part: Share) -> str:
  return _percent(part) + _interval(part)


def _interval(part: Share) -> str:
  if part.low is None or part.high is None:
    return ""
  low, high = round(100 * part.low), round(100 * part.high)
  return f", 95 % interval {low} to {high} %"


def _percent(part: Share) -> str:
  least, most = round(100 * part.least), round(100 * part.most)
  return f"{least} %" if least == most else f"between {least} and {most} %"


def _misses(found: Importance) -> str:
  if not found.missed:
    return ""
  return f", as {found.missed} of {found.trials} trials missed the target"


def _row(names: Sequence[str], last: str = "and") -> str:
  *first, final = names
  return f"{', '.join(first)} {last} {final}" if first else final


def _upper(text: str) -> str:
  return text[0].upper() + text[1:]
