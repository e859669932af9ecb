"""From joules and hours of use to kWh and grams of CO2e; and of which grids.

Multipliers are told beside joules, never inside them.
"""

from dataclasses import dataclass, replace

from jaxpower.report.compare.statistics import Estimate

JOULES_PER_KWH = 3.6e6

SECONDS_PER_HOUR = 3600.0

GRAMS_PER_KG = 1000.0


EMBER = (
  "Ember and Energy Institute, by way of Our World in Data, carbon intensity of"
  " electricity generation; life cycle of the fuels"
)

EMBER_2024 = (
  "Ember, 3 July 2024, by way of statista.com/statistics/943137; life cycle of"
  " the fuels"
)

EIA = (
  "U.S. EIA, eia.gov/tools/faqs/faq.php?id=74: 1,532 Mt CO2 for 4,183,271 GWh;"
  " CO2 of burning alone, biomass as zero, so lower than the others by nature"
)


@dataclass(frozen=True)
class Intensity:
  """What a kWh of a region's electricity emitted, on the mean of a year."""

  grams_co2e_per_kwh: float
  year: str
  source: str


# Means of a year: an hour of it can be far from them. For a number of your own
# grid give value, unit, source and date.
GRIDS = {
  "Australia": Intensity(549, "2023", EMBER),
  "Austria": Intensity(111, "2023", EMBER),
  "Belgium": Intensity(138, "2023", EMBER),
  "Brazil": Intensity(98, "2023", EMBER),
  "Canada": Intensity(170, "2023", EMBER),
  "China": Intensity(582, "2023", EMBER),
  "Finland": Intensity(79, "2023", EMBER),
  "France": Intensity(56, "2023", EMBER),
  "Germany": Intensity(381, "2023", EMBER),
  "India": Intensity(713, "2023", EMBER),
  "Norway": Intensity(30, "2023", EMBER_2024),
  "United States": Intensity(366, "2023", EIA),
  "World": Intensity(481, "2023", EMBER_2024),
}


@dataclass(frozen=True, kw_only=True)
class Hardware:
  """Embodied carbon and the hours of use it is shared by; None: not given.

  `host_share` is the part of the host that the trials held: an eighth where
  they held one of eight GPUs and nobody else may count it.
  """

  gpus: int | None
  gpu_kg_co2e: float | None = None
  gpu_hours: float | None = None
  host_kg_co2e: float | None = None
  host_hours: float | None = None
  host_share: float | None = None

  @property
  def counts_gpus(self) -> bool:
    """Whether the carbon of the GPUs can be told; so also where none ran."""
    known = None not in (self.gpu_kg_co2e, self.gpu_hours)
    return self.gpus == 0 or (known and self.gpus is not None)

  @property
  def counts_host(self) -> bool:
    """Whether the carbon of the host can be told."""
    return None not in (self.host_kg_co2e, self.host_hours, self.host_share)

  @property
  def counted(self) -> str:
    """Whose carbon can be told, in words; empty where nobody's can."""
    cards = self.counts_gpus and self.gpus
    if self.counts_host and cards:
      return "GPUs and host"
    return "GPUs alone" if cards else "host alone" if self.counts_host else ""


def kwh(joules: Estimate | None, pue: float = 1.0) -> Estimate | None:
  """Joules as kWh; with a PUE (ISO/IEC 30134-2) those of the building."""
  return scaled(joules, pue / JOULES_PER_KWH)


def operational_grams(
  joules: Estimate | None, pue: float, grams_co2e_per_kwh: float
) -> Estimate | None:
  """Grams of CO2e of using so much energy: E x I, with E at the building.

  E x I is of ISO/IEC 21031:2024, the Software Carbon Intensity.
  """
  return scaled(kwh(joules, pue), grams_co2e_per_kwh)


def embodied_grams(
  seconds: Estimate | None, hardware: Hardware
) -> Estimate | None:
  """Grams of CO2e of the making of the hardware, shared by hours of use.

  Each part gives its embodied carbon times the hours used over the hours of
  its life (M = TE x TS x RS of ISO/IEC 21031:2024).
  None where neither GPUs nor host can be told.
  """
  h = hardware
  per_hour = 0.0
  if h.counts_gpus and h.gpus:
    per_hour += h.gpus * (h.gpu_kg_co2e or 0) / (h.gpu_hours or 1)
  if h.counts_host:
    share = (h.host_share or 0) / (h.host_hours or 1)
    per_hour += share * (h.host_kg_co2e or 0)
  elif not (h.counts_gpus and h.gpus):
    return None
  return scaled(seconds, per_hour * GRAMS_PER_KG / SECONDS_PER_HOUR)


def scaled(found: Estimate | None, factor: float) -> Estimate | None:
  """An estimate in another unit, its interval with it."""
  if found is None:
    return None
  return replace(
    found,
    value=found.value * factor,
    low=None if found.low is None else found.low * factor,
    high=None if found.high is None else found.high * factor,
  )
