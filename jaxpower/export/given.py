"""What no record knows and a format may ask for: `--given=NAME=VALUE`.

Nothing here has a default: a number that nobody chose would be read as one that
somebody measured.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from jaxpower.config import unknown
from jaxpower.export import ExportError
from jaxpower.report.given.published import GRIDS
from jaxpower.wording import as_given

INTENSITY = "g CO2e/kWh"
FACTS = {
  "grid_intensity": f"what a kWh emitted, in {INTENSITY}",
  "region": "the grid, as Germany: its mean of a year is taken",
  "pue": "power usage effectiveness of the building, from 1 on",
  "country": "where it ran, by name",
  "country_iso_code": "the same in three letters",
  "infrastructure": "publicCloud, privateCloud, onPremise or other",
  "data_type": "what the data is, as image or text",
  "task_family": "what was learned, as image classification",
}


@dataclass(frozen=True)
class Grid:
  """What a kWh emitted, who says so, and the building's share (PUE).

  `pue` is None where it is not given: then the building is not counted.
  """

  grams_co2e_per_kwh: float
  source: str
  pue: float | None = None

  @property
  def words(self) -> str:
    """Says by what joules became grams."""
    factor = f"{as_given(self.grams_co2e_per_kwh)} {INTENSITY} ({self.source})"
    if self.pue is None:
      return f"{factor}, without the building (no PUE was given)"
    return f"{factor}, times a PUE of {as_given(self.pue)}"


def parse(
  words: Iterable[str], allowed: Collection[str], format_name: str
) -> dict[str, str]:
  """Reads facts of the form NAME=VALUE.

  Raises ExportError on a name that the format does not take, one given twice,
  or a value that is missing.
  """
  given: dict[str, str] = {}
  for word in words:
    name, equals, value = word.partition("=")
    name, value = name.strip(), value.strip()
    if name not in FACTS:
      raise ExportError(unknown("fact", name, FACTS))
    if name not in allowed:
      takes = f"takes {', '.join(allowed)}" if allowed else "takes none"
      raise ExportError(f"--given={name}: {format_name} {takes}")
    if not equals or not value:
      raise ExportError(f"--given={name}: write --given={name}=VALUE")
    if name in given:
      raise ExportError(f"--given={name}: given twice")
    given[name] = value
  return given


def grid(given: Mapping[str, str]) -> Grid | None:
  """Returns what a kWh emitted; None where neither it nor a region is given.

  Raises ExportError on both at once, an unknown region, or what is no number.
  """
  pue = _number("pue", given["pue"], 1.0) if "pue" in given else None
  if "region" in given and "grid_intensity" in given:
    raise ExportError("--given=region: give it or grid_intensity, not both")
  if "region" in given:
    region = given["region"]
    if region not in GRIDS:
      raise ExportError(unknown("region", region, GRIDS))
    mean = GRIDS[region]
    source = f"mean of {region} in {mean.date}, {mean.source}"
    return Grid(mean.value, source, pue)
  if "grid_intensity" in given:
    grams = _number("grid_intensity", given["grid_intensity"], 0.0)
    return Grid(grams, "as given by the author", pue)
  if pue is not None:
    raise ExportError(
      "--given=pue: says nothing without --given=grid_intensity or region"
    )
  return None


def _number(name: str, text: str, least: float) -> float:
  try:
    number = float(text)
  except ValueError:
    number = math.nan
  if not (math.isfinite(number) and number >= least):
    raise ExportError(
      f"--given={name}: {text!r} is no number from {least:g} on"
    )
  return number
