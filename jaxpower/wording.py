"""Puts numbers, units, settings and names into words: the only room that does.

Whatever a person reads, on a terminal, in an error line or on a page, gets its
three significant figures, its unit, its "estimated" and its "80 %" here, so
that the same quantity reads the same wherever it stands. Values come in, text
goes out; nothing reads its text back. Loads neither numpy nor a framework,
since `python -m jaxpower measure` needs it.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHORT_LABELS = {
  "batch_size": "batch",
  "init_from": "start",
  "transfer": "start",
}
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"))
# A number rounds up to the next prefix from here on: 999.5 J is 1.00 kJ.
ROUNDS_UP = 0.9995
MEBIBYTE, GIBIBYTE = 2**20, 2**30
MOST_NAMES = 4  # in a row in a sentence; of more, their number

ESTIMATED = "Power is estimated, not measured."
ONE_SEED = "With one seed there is no interval."


# Numbers and units


def number(value: float, figures: int = 3) -> str:
  """Rounds to so many significant figures: 4.10, 212, 12,300."""
  if not math.isfinite(value):
    return "unknown"
  if value == 0:
    return "0"
  rounded = float(f"{value:.{figures}g}")
  decimals = figures - 1 - math.floor(math.log10(abs(rounded)))
  if decimals > 6:
    return f"{value:.{figures - 1}e}"
  separator = "," if abs(rounded) >= 10_000 else ""
  return f"{rounded:,.{max(decimals, 0)}f}".replace(",", separator)


def quantity(value: float, unit: str) -> str:
  """Puts a prefix to a unit: 41,834 and "J" give "41.8 kJ"."""
  factor, prefix = prefix_for(value)
  return f"{number(value / factor)} {prefix}{unit}"


def prefix_for(value: float) -> tuple[float, str]:
  """Chooses the factor and the prefix under which a value reads shortest."""
  if value == 0:
    return 1.0, ""
  return next(
    (pair for pair in PREFIXES if abs(value) >= ROUNDS_UP * pair[0]),
    PREFIXES[-1],
  )


def memory(number_of_bytes: float) -> str:
  """Shows memory with a binary prefix: "512 MiB", "1.50 GiB"."""
  if number_of_bytes < GIBIBYTE:
    return f"{number(number_of_bytes / MEBIBYTE)} MiB"
  return f"{number(number_of_bytes / GIBIBYTE)} GiB"


def as_given(value: float) -> str:
  """Shows a number that somebody gave as it was: 0.125, 1.58, 1,000,000."""
  return f"{value:,.10g}"


def percent(share: float) -> str:
  """Shows a share of one as a percentage: 0.8 is "80 %"."""
  return f"{100 * share:.4g} %"


def whole_percent(share: float) -> str:
  """Rounds a share of one to a whole percentage, without its sign: "62"."""
  return f"{100 * share:.0f}"


def points(difference: float) -> str:
  """Shows a difference of two shares in points, with its sign: "-2.4"."""
  return f"{100 * difference:+.1f}"


def count(number: int, noun: str) -> str:
  """Counts something: 1 trial, 2 trials."""
  return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def relative_bound(bound: float | None, value: float | None) -> str:
  """Shows a half width as a share: "+- 0.4 %"; empty where unknown."""
  if bound is None or not value:
    return ""
  percentage = 100 * bound / abs(value)
  if percentage < 0.01:
    return "+- 0.01 %"
  figures = f"{percentage:.2g}" if percentage < 9.95 else f"{percentage:.0f}"
  return f"+- {figures} %"


# Energy: what is modelled never goes by the name of what is measured


@dataclass(frozen=True)
class JouleUnit:
  """A unit of energy, its name and its symbol; `joules` is how many it is."""

  joules: float
  name: str
  symbol: str


JOULES = JouleUnit(1.0, "joules", "J")
JOULE_UNITS = (
  JouleUnit(1e9, "gigajoules", "GJ"),
  JouleUnit(1e6, "megajoules", "MJ"),
  JouleUnit(1e3, "kilojoules", "kJ"),
  JOULES,
)


def joule_unit_for(joules: Iterable[float]) -> JouleUnit:
  """Chooses one unit for a column: the largest that its least value reaches.

  Zero reaches none and is left out. A column in which 200 J stand beside
  41,800 J is in joules, so that no cell is a small fraction.
  """
  least = min((value for value in joules if value > 0), default=0.0)
  return next((u for u in JOULE_UNITS if least >= ROUNDS_UP * u.joules), JOULES)


def energy(joules: float, estimated: bool) -> str:
  """Writes energy: "1.84 kJ", or "1.84 kJ estimated" where it is modelled."""
  return quantity(joules, "J") + (" estimated" if estimated else "")


def duration(seconds: float) -> str:
  """Formats a time to wait: "40 s", "3 min", "2.5 h"."""
  if seconds < 90:
    return f"{seconds:.0f} s"
  if seconds < 90 * 60:
    return f"{seconds / 60:.0f} min"
  return f"{seconds / 3600:.1f} h"


def joules_name(estimated: bool, unit: JouleUnit = JOULES) -> str:
  """Names a column of energy: "joules" or "estimated kilojoules"."""
  return f"estimated {unit.name}" if estimated else unit.name


def joule_unit(estimated: bool, unit: JouleUnit = JOULES) -> str:
  """Names the unit of a column: "J" or "estimated kJ"."""
  return f"estimated {unit.symbol}" if estimated else unit.symbol


def energy_name(estimated: bool) -> str:
  """Names energy in a sentence: "energy" or "estimated energy"."""
  return "estimated energy" if estimated else "energy"


def measured_or_estimated(estimated: bool) -> str:
  """Says how energy is known: "measured" or "estimated"."""
  return "estimated" if estimated else "measured"


def partly_measured(partial: int, trials: int) -> str:
  """Says how many were partly measured: "1 of 3 trials was only ..."."""
  verb = "was" if partial == 1 else "were"
  return f"{partial} of {count(trials, 'trial')} {verb} only partly measured"


# Fields of a config and their values


def label(path: str) -> str:
  """Names a field of a config: `batch_size` is "batch"."""
  if path in SHORT_LABELS:
    return SHORT_LABELS[path]
  *parents, name = path.split(".")
  if name == "name" and parents:
    name = parents[-1]
  return name.replace("_", " ")


def labels(paths: Iterable[str]) -> dict[str, str]:
  """Names several fields; two that would share a name get their whole path."""
  short = {path: label(path) for path in paths}
  names = list(short.values())
  return {
    path: name
    if names.count(name) == 1
    else path.replace(".", " ").replace("_", " ")
    for path, name in short.items()
  }


def value(item: Any) -> str:
  """Writes a value of a config as a person would; "-" where there is none."""
  if item is None:
    return "-"
  if isinstance(item, str):
    return item
  if isinstance(item, float):
    return f"{item:g}"
  if isinstance(item, list | tuple) and all(isinstance(x, str) for x in item):
    return " + ".join(item)
  return json.dumps(item)


def setting(values: Mapping[str, Any]) -> str:
  """Names a setting by its values: "batch 64, learning rate 0.001".

  A field that a trial does not have, as the data of a pretraining where
  weights were random, is left out.
  """
  names = labels(values)
  return ", ".join(
    f"{names[path]} {value(item)}"
    for path, item in values.items()
    if item is not None
  )


def values_of(values: Mapping[str, Any]) -> str:
  """Names a setting without its fields: "64, 0.001"."""
  return ", ".join(map(value, values.values()))


def opening(values: Mapping[str, Any]) -> str:
  """Names a setting at the head of a sentence: "Batch 64"."""
  return capitalised(setting(values) or "this setting")


def start_name(
  kind: str, backbone_rate: float = 1.0, features_once: bool = False
) -> str:
  """Names how weights began: "scratch", "frozen", "fine-tuned at 0.1"."""
  name = f"{kind}, features once" if features_once else kind
  return name if backbone_rate == 1 else f"{name} at {value(backbone_rate)}"


# Sentences


def capitalised(text: str) -> str:
  """Raises the first letter and leaves all others as they are."""
  return text[:1].upper() + text[1:]


def join_names(names: Sequence[str], conjunction: str = "and") -> str:
  """Joins names in a sentence: "a", "a and b", "a, b and c"."""
  *first, last = names
  return f"{', '.join(first)} {conjunction} {last}" if first else last


def join_settings(names: Sequence[str], conjunction: str = "and") -> str:
  """Joins names of settings; of more than four says only how many."""
  if len(names) > MOST_NAMES:
    return f"{len(names)} other settings"
  return join_names(names, conjunction)


# Texts of others

MOST_SHOWN = 2_000  # characters of a line; chosen: a screen of 25 x 80

# Unicode's control characters but the end of a line (Cc), the marks of format
# (Cf: direction, joiners, tags), separators of lines (Zl, Zp), surrogates (Cs).
ACTED_UPON = re.compile(
  "[\0-\t\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"
  "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def printable(text: str) -> str:
  """Escapes whatever a terminal would act upon; lines stay lines.

  Control characters, marks that turn the direction of text or are not seen,
  and halves of characters become escapes, as in `\\x1b[2J`.
  """
  return ACTED_UPON.sub(lambda found: ascii(found[0])[1:-1], text)


def on_one_line(text: str) -> str:
  """Escapes what a terminal would act upon, joins lines, cuts what is long."""
  line = printable(" ".join(text.split()))
  return line if len(line) <= MOST_SHOWN else f"{line[: MOST_SHOWN - 3]}..."
