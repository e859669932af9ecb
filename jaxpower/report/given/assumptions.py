"""The assumptions of a life cycle: each number with unit, source, date.

No assumption has a default: a number that nobody chose would be read as one
that somebody measured. What is not given is not counted, and that is said. The
numbers of the template are examples, to be changed, each with its own source.
"""

import math
import textwrap
from dataclasses import dataclass

from jaxpower.report.given.published import BLOOM, GPUS, GRIDS

FIELDS = ("value", "unit", "source", "date")
PLAN = "my own plan"  # the source of what only its reader can know
PLANNED = "2026"
IN_USE = f"{BLOOM}: 6 years, in use 85 % of the time"
HOURS_IN_USE = 44_676  # 6 years of 365 days of 24 hours, 85 % of them


@dataclass(frozen=True)
class Assumption:
  """A number that was not measured here."""

  value: float
  unit: str
  source: str
  date: str


@dataclass(frozen=True, kw_only=True)
class Kind:
  """What an assumption means, and which numbers it may be.

  `least` is allowed unless `above`. The template begins with `example`, of
  which `source` and `date` tell where it is from.
  """

  means: str
  unit: str
  least: float = 0.0
  most: float = math.inf
  above: bool = False
  example: float
  source: str = PLAN
  date: str = PLANNED


KINDS = {
  "downstream_tasks": Kind(
    means="How many tasks share what was spent on pretraining.",
    unit="tasks",
    least=1,
    example=10,
  ),
  "trainings": Kind(
    means="How often the best setting will be trained, retrainings with it.",
    unit="trainings",
    example=1,
  ),
  "inferences": Kind(
    means="How many examples the model will process in its life.",
    unit="examples",
    example=1_000_000,
  ),
  "pue": Kind(
    means="Power usage effectiveness: the energy of the building over that of"
    " its computers. Multiplies all measured energy.",
    unit="ratio",
    least=1,
    example=1.58,
    source="Uptime Institute Global Data Center Survey, industry average",
    date="2023",
  ),
  "grid_intensity": Kind(
    means="What a kWh emits: a number of your own; or the mean of a year for a"
    ' region, as region = "Germany", then alone in its table. Regions are'
    " countries, continents and World, named as by Our World in Data.",
    unit="g CO2e/kWh",
    example=GRIDS["World"].value,
    source=GRIDS["World"].source,
    date=GRIDS["World"].date,
  ),
  "gpu_embodied": Kind(
    means="Embodied carbon of one GPU: a number of your own; or a published"
    ' one, as gpu = "H100", then alone in its table: '
    + ", ".join(f"{gpu} ({of.value:g} kg)" for gpu, of in GPUS.items())
    + ".",
    unit="kg CO2e",
    example=GPUS["A100"].value,
    source=f"A100: {GPUS['A100'].source}",
    date=GPUS["A100"].date,
  ),
  "gpu_lifetime": Kind(
    means="Hours of use over which a GPU's embodied carbon is spread.",
    unit="h",
    above=True,
    example=HOURS_IN_USE,
    source=IN_USE,
    date="2023",
  ),
  "host_embodied": Kind(
    means="Embodied carbon of the host, without its GPUs.",
    unit="kg CO2e",
    example=2500,
    source=f"{BLOOM}: a server near to theirs",
    date="2023",
  ),
  "host_lifetime": Kind(
    means="Hours of use over which the host's embodied carbon is spread.",
    unit="h",
    above=True,
    example=HOURS_IN_USE,
    source=IN_USE,
    date="2023",
  ),
  "host_share": Kind(
    means="The part of the host that the trials used: 0.125 for one GPU of"
    " eight where others use the rest, 1 for a host of their own.",
    unit="share",
    most=1,
    above=True,
    example=1,
  ),
}


def template() -> str:
  """Writes a commented file with every assumption, ready to be changed."""
  head = (
    "Assumptions of a life cycle. Change the values and give their sources."
    " Leave out what is not to be counted: nothing has a default."
  )
  lines = [_comment(head)]
  for name, kind in KINDS.items():
    lines += [
      "",
      _comment(kind.means),
      f"[{name}]",
      f"value = {kind.example:.10g}",
      f'unit = "{kind.unit}"',
      f'source = "{kind.source}"',
      f'date = "{kind.date}"',
    ]
  return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
  return textwrap.fill(text, 79, initial_indent="# ", subsequent_indent="# ")
