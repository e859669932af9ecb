"""Published numbers that an assumption may name instead of giving its own.

`region = "Germany"` stands for a grid's carbon intensity, `gpu = "H100"`
for what making that GPU emitted. Each number has its source and its date, so
that the report shows them as it shows a number that somebody gave.
"""

import csv
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass

BLOOM = (
  "Luccioni, Viguier and Ligozat 2023, Estimating the carbon footprint of"
  " BLOOM, JMLR 24(253)"
)

OWID = (
  "Ember and Energy Institute, by way of Our World in Data, carbon intensity of"
  " electricity generation, CC BY 4.0; life cycle of the fuels"
)

FALK = (
  "Falk et al. 2025, arXiv:2509.00093, cradle to gate, as public repositories"
  " quote it"
)


@dataclass(frozen=True)
class Published:
  """A number with the year or day it is of, and where it was published."""

  value: float
  date: str
  source: str


def _read_grids() -> dict[str, Published]:
  """Reads the grams of CO2e that a kWh of each region's electricity emitted.

  Means of the newest year of a region: an hour of it can be far from them.
  """
  file = importlib.resources.files("jaxpower.report.given").joinpath(
    "grids.csv"
  )
  lines = file.read_text("utf-8").splitlines()
  rows = csv.DictReader(line for line in lines if not line.startswith("#"))
  return {
    row["region"]: Published(
      float(row["grams_co2e_per_kwh"]), row["year"], OWID
    )
    for row in rows
  }


GRIDS: Mapping[str, Published] = _read_grids()


def _of_eight(board: str, kg_co2e: float) -> Published:
  """Shares a board of eight GPUs, its NVSwitches with it, among them."""
  return Published(
    kg_co2e / 8,
    "2025",
    f"NVIDIA, product carbon footprint of {board}, cradle to gate:"
    f" {kg_co2e:,.0f} kg for a board of eight",
  )


# Kilograms of CO2e that making one GPU emitted, its use not counted.
GPUS: Mapping[str, Published] = {
  "A100": Published(150, "2023", f"{BLOOM}: an estimate"),
  "A100 PCIe 40 GB": Published(
    181,
    "2026",
    "Lees-Perasso et al. for ADEME 2026, parametric model, life cycle without"
    " use",
  ),
  "A100 SXM 40 GB": Published(127.6, "2025", FALK),
  "B200": _of_eight("HGX B200", 2274),
  "H100": _of_eight("HGX H100", 1312),
}
