"""Turns joules and hours of use into kWh and grams of CO2e.

Joules are measured, while a PUE, a grid and a lifetime are assumed. So their
result is a `Footprint`, which stands beside the joules and never replaces them:
whoever doubts an assumption still has the measurement. What is not given is not
counted; none of the multipliers has a default.
"""

from dataclasses import dataclass

from jaxpower.report.compare.life import Use, scaled
from jaxpower.report.compare.statistics import Estimate

JOULES_PER_KWH = 3.6e6
SECONDS_PER_HOUR = 3600.0
GRAMS_PER_KG = 1000.0


@dataclass(frozen=True, kw_only=True)
class Hardware:
  """Embodied carbon and the hours it is spread over; None: not given.

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
  def gpu_kg_per_hour(self) -> float | None:
    """Embodied carbon of all GPUs in an hour of use; None: not known."""
    if not self.gpus or self.gpu_kg_co2e is None or self.gpu_hours is None:
      return None
    return self.gpus * self.gpu_kg_co2e / self.gpu_hours

  @property
  def host_kg_per_hour(self) -> float | None:
    """Embodied carbon of the host in an hour of use; None: not known."""
    if (
      self.host_kg_co2e is None
      or self.host_hours is None
      or self.host_share is None
    ):
      return None
    return self.host_share / self.host_hours * self.host_kg_co2e


@dataclass(frozen=True)
class Multipliers:
  """Factors from joules and seconds of use to carbon; None: not given."""

  pue: float | None
  grams_co2e_per_kwh: float | None
  hardware: Hardware


@dataclass(frozen=True)
class Footprint:
  """Energy and carbon of some use; None where unknown or not given."""

  kwh: Estimate | None
  kwh_with_pue: Estimate | None
  operational_grams: Estimate | None
  embodied_grams: Estimate | None


def footprint(use: Use, given: Multipliers) -> Footprint:
  """Computes the footprint of a use.

  Without a PUE operational grams are those of what the meter saw alone.
  """
  pue, intensity = given.pue, given.grams_co2e_per_kwh
  return Footprint(
    kwh(use.joules),
    None if pue is None else kwh(use.joules, pue),
    None
    if intensity is None
    else operational_grams(use.joules, 1.0 if pue is None else pue, intensity),
    embodied_grams(use.seconds, given.hardware),
  )


def kwh(joules: Estimate | None, pue: float = 1.0) -> Estimate | None:
  """Turns joules to kWh; with a PUE (ISO/IEC 30134-2) those of the building."""
  return scaled(joules, pue / JOULES_PER_KWH)


def operational_grams(
  joules: Estimate | None, pue: float, grams_co2e_per_kwh: float
) -> Estimate | None:
  """Computes the operational grams of CO2e: E x I, with E at the building.

  E x I is of ISO/IEC 21031:2024, the Software Carbon Intensity.
  """
  return scaled(kwh(joules, pue), grams_co2e_per_kwh)


def embodied_grams(
  seconds: Estimate | None, hardware: Hardware
) -> Estimate | None:
  """Computes the embodied grams of CO2e of hours of use.

  Each part gives its embodied carbon times the hours used over the hours of
  its life (M = TE x TS x RS of ISO/IEC 21031:2024).
  None where neither that of GPUs nor that of the host is known.
  """
  both = hardware.gpu_kg_per_hour, hardware.host_kg_per_hour
  kg_per_hour = [rate for rate in both if rate is not None]
  if not kg_per_hour:
    return None
  return scaled(seconds, sum(kg_per_hour) * GRAMS_PER_KG / SECONDS_PER_HOUR)
