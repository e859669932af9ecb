"""Writes a sweep as a report of BoAmps 1.1.0, Boavizta's format for open data.

Its schemas (github.com/Boavizta/BoAmps, model/*_schema.json) demand facts that
no record knows; they have to be given. What is neither known nor demanded is
left out. `powerConsumption` is energy in kWh there.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpower.config import unknown
from jaxpower.export import ExportError
from jaxpower.export.given import FACTS, grid
from jaxpower.export.paper import paragraph
from jaxpower.export.spending import ESTIMATED, methods, recorder
from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import model_name, start_of
from jaxpower.report.compare.comparison import Compared
from jaxpower.report.compare.life import spent
from jaxpower.report.compare.system import family
from jaxpower.report.given.carbon import JOULES_PER_KWH

FORMAT_VERSION = "1.1.0"  # of 2025-03-19, by its release notes
SPECIFICATION = "https://github.com/Boavizta/BoAmps/tree/main/model"
NEEDED = ("infrastructure", "data_type", "task_family")
# Enumerations of the schemas.
INFRASTRUCTURES = ("publicCloud", "privateCloud", "onPremise", "other")
DATA_TYPES = (
  *("tabular", "audio", "boolean", "image", "video", "object"),
  *("text", "token", "word", "other"),
)
# As the schema's examples write precisions.
QUANTIZATIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
BILLION = 1e9
# Two exports of the same trials have the same identity.
NAMESPACE = uuid.UUID("7d4d4c0e-7a6c-5b8e-9a53-6a617870770a")
SENTENCES = 5  # of the paragraph; those after them are verdicts


def report(compared: Compared, given: Mapping[str, str], now: str) -> str:
  """Writes the report of all trials as JSON.

  Args:
    compared: The trials.
    given: Facts by name: `NEEDED`, and `country`, `grid_intensity`, `region`.
    now: When the report is made, as YYYY-MM-DD HH:MM:SS.

  Raises ExportError where a needed fact is missing or not one of the schema's,
  or where the energy of a trial or the number of its processors is unknown.
  """
  _check(given)
  records = compared.attempts or compared.records
  if not records:
    raise ExportError("no trial to report")
  facts = {
    "header": {
      "formatVersion": FORMAT_VERSION,
      "formatVersionSpecificationUri": SPECIFICATION,
      "reportId": str(uuid.uuid5(NAMESPACE, _ids(records))),
      "reportDatetime": now,
      "reportStatus": "draft",
    },
    "task": _task(compared, given),
    "measures": [_measure(records)],
    "system": _system(records),
    "software": _software(records),
    "infrastructure": {
      "infraType": given["infrastructure"],
      "components": _components(records),
    },
    "environment": _environment(given),
  }
  kept = {name: part for name, part in facts.items() if part}
  return json.dumps(kept, indent=2, allow_nan=False) + "\n"


def _check(given: Mapping[str, str]) -> None:
  missing = [name for name in NEEDED if name not in given]
  if missing:
    wanted = "; ".join(
      f"--given={name}=... ({FACTS[name]})" for name in missing
    )
    raise ExportError(f"BoAmps asks for what no record knows: {wanted}")
  for name, allowed in (
    ("infrastructure", INFRASTRUCTURES),
    ("data_type", DATA_TYPES),
  ):
    if given[name] not in allowed:
      raise ExportError(unknown(name, given[name], allowed))


def _ids(records: Sequence[TrialRecord]) -> str:
  return " ".join(f"{r.trial_id}@{r.started_utc or ''}" for r in records)


def _task(compared: Compared, given: Mapping[str, str]) -> dict[str, Any]:
  kinds = {start_of(trial).kind for trial in compared.trials}
  text = " ".join(paragraph(compared)[:SENTENCES])
  return {
    "taskStage": "training" if kinds <= {"scratch"} else "finetuning",
    "taskFamily": given["task_family"],
    "algorithms": _algorithms(compared.records),
    "dataset": [{"dataUsage": "input", "dataType": given["data_type"]}],
    "taskDescription": text,
  }


def _algorithms(records: Sequence[TrialRecord]) -> list[dict[str, Any]]:
  """Describes each network and way of training, once."""
  distinct: dict[str, dict[str, Any]] = {}
  for record in records:
    own = family(record.framework)
    versions = record.provenance.get("versions") or {}
    optimizer = record.config.get("optimizer") or {}
    parameters = record.parameters
    facts = {
      "trainingType": "supervisedLearning"
      if start_of(record).from_scratch
      else "transferLearning",
      "algorithmType": "neural network",
      "algorithmName": model_name(record),
      "parametersNumber": None if parameters is None else parameters / BILLION,
      "framework": own,
      "frameworkVersion": versions.get(own),
      "optimizer": optimizer.get("name"),
      "quantization": QUANTIZATIONS.get(str(record.config.get("precision"))),
    }
    known = {name: fact for name, fact in facts.items() if fact}
    distinct[json.dumps(known)] = known
  return list(distinct.values())


def _measure(records: Sequence[TrialRecord]) -> dict[str, Any]:
  use = spent(records)
  if use.joules is None or use.joules.at_least:
    raise ExportError(
      "BoAmps needs the energy of all trials, and that of some is unknown"
    )
  read = methods(records)
  began = min((r.started_utc for r in records if r.started_utc), default=None)
  estimated = any(record.estimated for record in records)
  facts = {
    "measurementMethod": f"jaxpower{ESTIMATED}" if estimated else "jaxpower",
    "version": recorder(records).removeprefix("jaxpower").strip() or None,
    "cpuTrackingMode": read.get("cpu"),
    "gpuTrackingMode": read.get("gpu"),
    "powerConsumption": use.joules.value / JOULES_PER_KWH,
    "measurementDuration": use.seconds.value if use.seconds else None,
    "measurementDateTime": began and began[:19].replace("T", " "),
  }
  return {name: fact for name, fact in facts.items() if fact is not None}


def _system(records: Sequence[TrialRecord]) -> dict[str, str]:
  name = records[0].provenance.get("system")
  # "Linux-6.1-x86_64": the name comes first.
  return {"os": str(name).partition("-")[0]} if name else {}


def _software(records: Sequence[TrialRecord]) -> dict[str, str]:
  version = (records[0].provenance.get("versions") or {}).get("python")
  return {"language": "python"} | ({"version": version} if version else {})


def _components(records: Sequence[TrialRecord]) -> list[dict[str, Any]]:
  """Lists processors: hardware threads that a trial could use, and GPUs."""
  found: dict[tuple[str, str], int] = {}
  for record in records:
    name = str(record.provenance.get("cpu") or "")
    threads = record.provenance.get("cpus_usable")
    if not threads:
      raise ExportError(
        f"BoAmps needs the number of processors; trial {record.trial_id} does"
        " not tell"
      )
    key = ("cpu", name)
    found[key] = max(found.get(key, 0), threads)
    kinds = [
      str(device.get("kind") or "")
      for device in record.provenance.get("devices") or ()
      if device.get("platform") != "cpu"
    ]
    for kind in kinds:
      key = ("gpu", kind)
      found[key] = max(found.get(key, 0), kinds.count(kind))
  return [
    {
      **({"componentName": name} if name else {}),
      "componentType": kind,
      "nbComponent": number,
    }
    for (kind, name), number in found.items()
  ]


def _environment(given: Mapping[str, str]) -> dict[str, Any]:
  """Returns what is given of the place; the schema wants its country."""
  intensity = grid(given)
  if "country" not in given:
    if intensity is None:
      return {}
    raise ExportError(
      "BoAmps wants the country where it has an intensity: --given=country=..."
    )
  carbon = (
    {}
    if intensity is None
    else {"powerSourceCarbonIntensity": intensity.grams_co2e_per_kwh}
  )
  return {"country": given["country"], **carbon}
