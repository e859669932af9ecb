"""How a varied field, its value and a number are told to a person."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from jaxpower.records import TrialRecord

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


def start(record: TrialRecord) -> str:
  """What a trial's weights began as: "scratch", "fine-tuned" or "frozen".

  With " at 0.1" where the backbone learns at another rate than the head.
  """
  word = record.varied.get("transfer")
  if isinstance(word, str):
    return word
  transfer = record.config.get("transfer")
  transfer = transfer if isinstance(transfer, dict) else {}
  given = transfer.get("init_from") or transfer.get("weights")
  if not (record.init_from or record.pretrained or given):
    return "scratch"
  if transfer.get("freeze"):
    return "frozen"
  rate = transfer.get("backbone_rate", 1.0)
  return "fine-tuned" if rate == 1 else f"fine-tuned at {value(rate)}"


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


def plain(item: float) -> str:
  """A number that somebody gave, as it was given: 0.125, 1.58, 1,000,000."""
  return f"{item:,.10g}"


def counted(count: int, noun: str) -> str:
  """So many of something: 1 trial, 2 trials."""
  return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def percent(share: float) -> str:
  """A share of one as a percentage: 0.8 is told as "80 %"."""
  return f"{100 * share:.4g} %"


def natural_key(item: Any) -> tuple[int, Any]:
  """Sorts numbers by size, then words; for values of a config."""
  if isinstance(item, bool | int | float):
    return 0, item
  if isinstance(item, str):
    return 1, item
  return 2, json.dumps(item, sort_keys=True)


def _separator(item: float) -> str:
  return "," if abs(item) >= 10_000 else ""
