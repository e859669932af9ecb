"""Numbers as people read them: three figures, a unit, a bound.

How a varied field, its value and a number are told to a person.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

SHORT = {"batch_size": "batch", "init_from": "start", "transfer": "start"}


def label(path: str) -> str:
  """A field's path in a person's words: `batch_size` is told as "batch"."""
  if path in SHORT:
    return SHORT[path]
  *parents, name = path.split(".")
  if name == "name" and parents:
    name = parents[-1]
  return name.replace("_", " ")


def labels(paths: Iterable[str]) -> dict[str, str]:
  """A label for each path; two that would share one are told in full."""
  paths = tuple(paths)
  short = {path: label(path) for path in paths}
  told = list(short.values())
  return {
    path: word
    if told.count(word) == 1
    else path.replace(".", " ").replace("_", " ")
    for path, word in short.items()
  }


def setting(values: Mapping[str, Any]) -> str:
  """What a trial was run at: "batch 64, learning rate 0.001"."""
  words = labels(values)
  return ", ".join(f"{words[path]} {value(v)}" for path, v in values.items())


def opening(values: Mapping[str, Any]) -> str:
  """The same as the first words of a sentence: "Batch 64"."""
  text = setting(values) or "this setting"
  return text[0].upper() + text[1:]


def value(item: Any) -> str:
  """One value of a config as a person writes it."""
  if isinstance(item, str):
    return item
  if isinstance(item, float):
    return f"{item:g}"
  if isinstance(item, list | tuple) and all(isinstance(x, str) for x in item):
    return " + ".join(item)
  return json.dumps(item)


def number(item: float, figures: int = 3) -> str:
  """So many significant figures: 4.10, 212, 12,300."""
  if not math.isfinite(item):
    return "unknown"
  if item == 0:
    return "0"
  rounded = float(f"{item:.{figures}g}")
  digits = figures - 1 - math.floor(math.log10(abs(rounded)))
  if digits > 6:
    return f"{item:.{figures - 1}e}"
  return f"{rounded:,.{max(digits, 0)}f}".replace(",", _separator(rounded))


def as_given(item: float) -> str:
  """A number that somebody gave, as it was given: 0.125, 1.58, 1,000,000."""
  return f"{item:,.10g}"


def counted(count: int, noun: str) -> str:
  """So many of something: 1 trial, 2 trials."""
  return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def percent(share: float) -> str:
  """A share of one as a percentage: 0.8 is told as "80 %"."""
  return f"{100 * share:.4g} %"


def _separator(item: float) -> str:
  return "," if abs(item) >= 10_000 else ""


def quantity(value: float, unit: str) -> str:
  """41834, "J" -> "41.8 kJ"; three significant figures."""
  for factor, prefix in ((1e6, "M"), (1e3, "k")):
    if abs(value) >= 0.9995 * factor:
      return f"{figures(value / factor)} {prefix}{unit}"
  if value != 0 and abs(value) < 0.9995:
    return f"{figures(value * 1e3)} m{unit}"
  return f"{figures(value)} {unit}"


def figures(value: float) -> str:
  """Three significant figures, without an exponent."""
  if value == 0:
    return "0"
  digits = 2 - math.floor(math.log10(abs(value)))
  rounded = round(value, digits)
  # Rounding up may have given one figure more: 9.996 -> 10.00.
  digits = 2 - math.floor(math.log10(abs(rounded)))
  return f"{rounded:.{max(0, digits)}f}"


def relative_bound(bound: float | None, value: float | None) -> str:
  """A half width as a share: "+- 0.4 %", or nothing where unknown."""
  if bound is None or not value:
    return ""
  share = 100 * bound / abs(value)
  if share < 0.01:
    return "+- 0.01 %"
  return f"+- {share:.2g} %" if share < 9.95 else f"+- {share:.0f} %"
