"""From joules and hours of use to kWh and grams of CO2e."""

import math

import pytest

from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.given.carbon import (
  Hardware,
  embodied_grams,
  kwh,
  operational_grams,
)
from jaxpower.report.questions.lifecycle.words import hardware_name


def test_kwh_and_grams():
  joules = Estimate(7.2e6, low=3.6e6, high=math.inf)
  energy, grams = kwh(joules), operational_grams(joules, 1.5, 100.0)
  assert energy is not None and grams is not None
  assert (energy.value, energy.low) == pytest.approx((2.0, 1.0))
  assert (grams.value, grams.low) == pytest.approx((300.0, 150.0))
  assert energy.high == grams.high == math.inf
  assert kwh(None) is None
  assert operational_grams(None, 1.5, 100.0) is None


def test_embodied_carbon_is_shared_by_hours_of_use():
  hour = Estimate(3600.0)
  gpus = Hardware(gpus=2, gpu_kg_co2e=150.0, gpu_hours=1000.0)
  assert embodied_grams(hour, gpus) == Estimate(300.0)
  assert hardware_name(gpus) == "GPUs alone"
  host = Hardware(
    gpus=0, host_kg_co2e=2000.0, host_hours=10_000.0, host_share=0.5
  )
  assert embodied_grams(hour, host) == Estimate(100.0)
  assert hardware_name(host) == "host alone"
  assert embodied_grams(None, gpus) is None


@pytest.mark.parametrize(
  "hardware",
  [
    Hardware(gpus=2),
    Hardware(gpus=2, gpu_kg_co2e=150.0),
    Hardware(gpus=None, gpu_kg_co2e=150.0, gpu_hours=1000.0),
    Hardware(gpus=0, gpu_kg_co2e=150.0, gpu_hours=1000.0),
    Hardware(gpus=2, host_kg_co2e=2000.0, host_hours=10_000.0),
  ],
)
def test_embodied_carbon_that_is_not_known_is_not_zero(hardware):
  assert embodied_grams(Estimate(3600.0), hardware) is None
  assert hardware_name(hardware) == ""
