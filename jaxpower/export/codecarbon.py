"""Writes trials as an emissions.csv of CodeCarbon, a row each.

Columns, their order and units are those of CodeCarbon 3.3.2, so that whatever
reads its logs reads this one, and CodeCarbon itself can append to it. A cell is
empty where a record does not know; CodeCarbon writes 0 there.
"""

import csv
import io
from collections.abc import Iterable, Mapping

from jaxpower.export import ExportError
from jaxpower.export.given import Grid
from jaxpower.export.spending import (
  ESTIMATED,
  kwh,
  kwh_by_kind,
  recorder,
  seconds,
)
from jaxpower.records import TrialRecord
from jaxpower.wording import printable, setting

# `EmissionsData` of CodeCarbon 3.3.2 (output_methods/emissions_data.py).
COLUMNS = (
  *("timestamp", "project_name", "run_id", "experiment_id", "duration"),
  *("emissions", "emissions_rate", "cpu_power", "gpu_power", "ram_power"),
  *("cpu_energy", "gpu_energy", "ram_energy", "energy_consumed"),
  *("water_consumed", "country_name", "country_iso_code", "region"),
  *("cloud_provider", "cloud_region", "os", "python_version"),
  *("codecarbon_version", "cpu_count", "cpu_model", "gpu_count", "gpu_model"),
  *("longitude", "latitude", "ram_total_size", "tracking_mode"),
  *("cpu_utilization_percent", "gpu_utilization_percent"),
  *("ram_utilization_percent", "ram_used_gb", "on_cloud", "pue", "wue"),
)
# Its name for each kind of domain.
PARTS = {"cpu": "cpu", "gpu": "gpu", "dram": "ram"}
WATTS_OF_A_KILOWATT = 1000.0
SECONDS_OF_AN_HOUR = 3600.0
GRAMS_OF_A_KILOGRAM = 1000.0


def emissions_csv(
  records: Iterable[TrialRecord],
  name: str,
  grid: Grid | None = None,
  given: Mapping[str, str] | None = None,
) -> str:
  """Writes a row for each trial whose energy is known.

  The version of jaxpower stands where CodeCarbon writes its own, with the word
  estimated where power was modelled.

  Args:
    records: The trials.
    name: Of the sweep, for `project_name`.
    grid: For `emissions`, which is empty without it.
    given: `country` and `country_iso_code`.

  Raises ExportError where the energy of no trial is known.
  """
  rows = [
    _row(record, name, grid, given or {})
    for record in records
    if kwh(record) is not None
  ]
  if not rows:
    raise ExportError("the energy of no trial is known: no row to write")
  text = io.StringIO(newline="")
  writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
  writer.writeheader()
  writer.writerows(
    {
      column: printable(cell) if isinstance(cell, str) else cell
      for column, cell in row.items()
    }
    for row in rows
  )
  return text.getvalue()


def _row(
  record: TrialRecord,
  name: str,
  grid: Grid | None,
  given: Mapping[str, str],
) -> dict[str, str | float | None]:
  provenance = record.provenance
  gpus = _gpus(record)
  estimated = ESTIMATED if record.estimated else ""
  return {
    # CodeCarbon: when the row was written, to the second, without a zone.
    "timestamp": (record.ended_utc or "")[:19],
    "project_name": name,
    "run_id": record.trial_id,
    "experiment_id": setting(record.varied),
    "duration": seconds(record),
    **_energies(record, (grid and grid.pue) or 1.0),
    **_emissions(record, grid),
    "country_name": given.get("country"),
    "country_iso_code": given.get("country_iso_code"),
    "os": provenance.get("system"),
    "python_version": (provenance.get("versions") or {}).get("python"),
    "codecarbon_version": f"{recorder([record])}{estimated}",
    "cpu_count": provenance.get("cpu_count"),
    "cpu_model": provenance.get("cpu"),
    "gpu_count": len(gpus) or None,
    "gpu_model": " + ".join(
      f"{gpus.count(kind)} x {kind}" for kind in dict.fromkeys(gpus)
    ),
    "tracking_mode": _scope(record),
    "pue": grid and grid.pue,
  }


def _energies(record: TrialRecord, pue: float) -> dict[str, float | None]:
  """Returns kWh and mean watts of each part; energies include a given PUE."""
  hours = (seconds(record) or 0.0) / SECONDS_OF_AN_HOUR
  total = kwh(record)
  cells: dict[str, float | None] = {
    "energy_consumed": None if total is None else total * pue
  }
  for kind, energy in kwh_by_kind(record).items():
    if kind in PARTS and energy is not None:
      part = PARTS[kind]
      cells[f"{part}_energy"] = energy * pue
      watts = energy / hours * WATTS_OF_A_KILOWATT if hours else None
      cells[f"{part}_power"] = watts
  return cells


def _emissions(
  record: TrialRecord, grid: Grid | None
) -> dict[str, float | None]:
  """Returns kg of CO2e, and kg a second; nothing without an intensity."""
  total, took = kwh(record), seconds(record)
  if grid is None or total is None:
    return {}
  grams = total * (grid.pue or 1.0) * grid.grams_co2e_per_kwh
  kilograms = grams / GRAMS_OF_A_KILOGRAM
  rate = kilograms / took if took else None
  return {"emissions": kilograms, "emissions_rate": rate}


def _gpus(record: TrialRecord) -> list[str]:
  """Names the kind of each GPU that a trial trained on."""
  return [
    str(device.get("kind") or "GPU")
    for device in record.provenance.get("devices") or ()
    if device.get("platform") != "cpu"
  ]


def _scope(record: TrialRecord) -> str | None:
  """Returns CodeCarbon's word for what was counted; None where it was both.

  A model of CPU time counts the process and its children, a sensor the machine.
  """
  modelled = {
    bool(domain.get("estimated"))
    for domain in record.meter.get("domains") or ()
    if domain.get("counted", True)
  }
  if len(modelled) != 1:
    return None
  return "process" if True in modelled else "machine"
