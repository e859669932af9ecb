"""Writes the block of a model card on energy: metadata, and a section.

Metadata are those of the Hugging Face Hub (`co2_eq_emissions`, in grams). Grams
stand there only where the grid's intensity is given; without it the block has
the joules alone.
"""

import html
import json
from decimal import Decimal

from jaxpower.export import ExportError
from jaxpower.export.given import Grid
from jaxpower.export.latex import trained
from jaxpower.export.paper import paragraph
from jaxpower.export.spending import recorder
from jaxpower.report.cells import goal, hardware_name, joules_interval
from jaxpower.report.compare.comparable import start_of
from jaxpower.report.compare.comparison import Compared, Comparison
from jaxpower.report.compare.life import spent
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.given.carbon import JOULES_PER_KWH
from jaxpower.wording import count, join_names, number, printable, setting

FACTS = 5  # sentences of the paragraph; those after them are verdicts


def block(
  compared: Compared,
  grid: Grid | None = None,
  country: str = "",
) -> str:
  """Writes metadata and section; the search for the best setting counts.

  Args:
    compared: The trials.
    grid: What a kWh emitted; without it there are no grams.
    country: Where it ran; empty where that is not given.

  Raises ExportError where there is no trial.
  """
  if not compared.trials:
    raise ExportError("no trial to write about")
  metadata = _metadata(compared, grid, country)
  section = [
    " ".join(paragraph(compared)[:FACTS]),
    "",
    *(_best(each) for each in compared.comparisons if each.best),
    _carbon(compared, grid),
  ]
  lines = [
    *(["---", *metadata, "---", ""] if metadata else []),
    *("## Energy", ""),
    *(printable(html.escape(line, quote=False)) for line in section),
  ]
  return "\n".join(lines) + "\n"


def grams(compared: Compared, grid: Grid) -> Estimate | None:
  """Returns the grams of CO2e of all trials in all phases; None: unknown."""
  joules = spent(compared.attempts or compared.records).joules
  if joules is None:
    return None
  factor = (grid.pue or 1.0) * grid.grams_co2e_per_kwh / JOULES_PER_KWH
  return Estimate(joules.value * factor, joules.at_least)


def _metadata(compared: Compared, grid: Grid | None, country: str) -> list[str]:
  """Returns the lines of `co2_eq_emissions`; none without known grams.

  A lower bound is no number that others may compare with, so that it stands in
  the text alone.
  """
  emitted = None if grid is None else grams(compared, grid)
  if grid is None or emitted is None or emitted.at_least:
    return []
  estimated = any(trial.estimated for trial in compared.trials)
  read = "estimated" if estimated else "measured"
  kinds = {start_of(trial).kind for trial in compared.trials}
  systems = dict.fromkeys(
    hardware_name(each.conditions.system) for each in compared.comparisons
  )
  trials = count(len(compared.attempts or compared.records), "trial")
  by = recorder(compared.trials)
  facts = {
    "source": f"{by}: {read} energy of all {trials}, times {grid.words}",
    "training_type": "pre-training" if kinds == {"scratch"} else "fine-tuning",
    "geographical_location": country,
    "hardware_used": join_names(list(systems)),
  }
  return [
    "co2_eq_emissions:",
    f"  emissions: {_plain(emitted.value)}",
    *(
      f"  {name}: {json.dumps(fact, ensure_ascii=False)}"
      for name, fact in facts.items()
      if fact
    ),
  ]


def _plain(amount: float) -> str:
  """Writes six figures, no exponent: "6e-05" is a text in YAML 1.1."""
  return format(Decimal(f"{amount:.6g}"), "f")


def _best(comparison: Comparison) -> str:
  """Says what one training of the cheapest setting costs."""
  best = comparison.best
  assert best is not None
  extremes = comparison.rankings["train"].extremes
  # As the verdict has it: corrected for having been chosen by these trials.
  joules = extremes.cheapest_cost if extremes else best.joules
  cost = joules_interval(joules, comparison.estimated)
  name = setting(best.varied)
  of = f" with {name}" if name else ""
  return (
    f"- One training of {trained(best.records)}{of} to {goal(comparison)} cost"
    f" {cost}, over {count(best.seeds, 'seed')} (in brackets the 95 %"
    " interval)."
  )


def _carbon(compared: Compared, grid: Grid | None) -> str:
  if grid is None:
    return "- Carbon: not known, since no intensity of the grid was given."
  emitted = grams(compared, grid)
  if emitted is None:
    return "- Carbon: not known, since the joules are not."
  bound = "at least " if emitted.at_least else ""
  estimated = any(trial.estimated for trial in compared.trials)
  read = " estimated" if estimated else ""
  return (
    f"- Carbon of all trials: {bound}{number(emitted.value)} g CO2e{read},"
    f" by {grid.words}."
  )
