"""`export`: what run folders say, as other tools read it.

A text goes to standard output, or into the file that --out names, which it
replaces. Files of other tools are made new, and never added to: a sweep
exported twice would be there twice.
"""

import datetime as dt
import importlib
import importlib.util
import pathlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jaxpower
from jaxpower.cli.output import attempt, say
from jaxpower.cli.paths import path as path_of
from jaxpower.config import ConfigError, unknown
from jaxpower.export import ExportError, bibtex
from jaxpower.folder import durable
from jaxpower.wording import on_one_line

if TYPE_CHECKING:
  from jaxpower.report.compare.comparison import Compared

# What reading and comparing records needs.
REPORTING = ("jinja2", "matplotlib", "numpy", "scipy")
TRAIN = "jaxpower[train]"


@dataclass(frozen=True, kw_only=True)
class Format:
  """What can be exported.

  Attributes:
    summary: In a few words.
    example: What --out may be; empty for a text, which needs none.
    given: Facts that it takes.
    needs: Packages that it is written by.
    extra: What installs these.
  """

  summary: str
  example: str = ""
  given: tuple[str, ...] = ()
  needs: tuple[str, ...] = REPORTING
  extra: str = TRAIN


DATABASE = ("sqlalchemy.exc", "SQLAlchemyError")
FAULTS = {
  "mlflow": (DATABASE, ("mlflow.exceptions", "MlflowException")),
  "optuna": (DATABASE, ("optuna.exceptions", "OptunaError")),
  "wandb": (("wandb.errors", "Error"),),
}
GRID = ("grid_intensity", "region", "pue")
FORMATS = {
  "latex": Format(summary="a table of the settings, for booktabs and siunitx"),
  "paper": Format(summary="a paragraph on compute, and checklist answers"),
  "bibtex": Format(summary="whom to cite; needs no folder", needs=()),
  "model_card": Format(
    summary="energy and, given the grid, CO2e of a model card",
    given=(*GRID, "country"),
  ),
  "codecarbon": Format(
    summary="a row a trial, as CodeCarbon's emissions.csv",
    given=(*GRID, "country", "country_iso_code"),
  ),
  "boamps": Format(
    summary="a report of BoAmps, as JSON",
    given=(
      *("infrastructure", "data_type", "task_family", "country"),
      *("grid_intensity", "region"),
    ),
  ),
  "parquet": Format(
    summary="records as a table of typed columns",
    example="records.parquet",
    needs=(*REPORTING, "pyarrow"),
  ),
  "mlflow": Format(
    summary="an experiment of MLflow",
    example="mlflow.db",
    needs=(*REPORTING, "mlflow", "sqlalchemy"),
    extra="jaxpower[train,mlflow]",
  ),
  "wandb": Format(
    summary="offline runs of Weights & Biases",
    example="wandb-runs",
    needs=(*REPORTING, "wandb"),
    extra="jaxpower[train,wandb]",
  ),
  "tensorboard": Format(
    summary="scalars and HParams of TensorBoard",
    example="tensorboard-runs",
    needs=(*REPORTING, "tensorboard"),
    extra="jaxpower[train,tensorboard]",
  ),
  "optuna": Format(
    summary="a study of Optuna, for its dashboard",
    example="study.db",
    needs=(*REPORTING, "optuna"),
    extra="jaxpower[train,optuna]",
  ),
}


def formats_text() -> str:
  """Lists the formats, a line each."""
  width = max(map(len, FORMATS)) + 2
  return "\n".join(
    f"  {name:<{width}}{each.summary}" for name, each in FORMATS.items()
  )


def run(
  name: str,
  folders: Sequence[str],
  out: str | None,
  given: Sequence[str],
  shared: bool,
  program: str,
) -> int:
  """Exports run folders in a format; returns the exit code.

  Bad input is one line on stderr and exit code 2, and nothing is written.

  Args:
    name: Of the format.
    folders: Run folders.
    out: Where to.
    given: Facts that no record knows, as NAME=VALUE.
    shared: Leaves out what says whose machine it was.
    program: How it was called, for the error.
  """
  try:
    chosen = _chosen(name)
    where = _destination(name, chosen, out)
    missing = [m for m in chosen.needs if importlib.util.find_spec(m) is None]
    if missing:
      raise ExportError(
        f"{name} needs {', '.join(missing)}; run pip install '{chosen.extra}'"
      )
    _export(name, folders, where, given, shared)
  except (ConfigError, ExportError, OSError) as error:
    print(f"{program}: {on_one_line(str(error))}", file=sys.stderr)
    return 2
  return 0


def _chosen(name: str) -> Format:
  if name not in FORMATS:
    raise ExportError(unknown("format", name, FORMATS))
  return FORMATS[name]


def _destination(
  name: str, chosen: Format, out: str | None
) -> pathlib.Path | None:
  """Returns where to write; None for standard output."""
  if out is None:
    if chosen.example:
      raise ExportError(f"{name} needs a place: --out={chosen.example}")
    return None
  where = path_of(out)
  if not where.parent.is_dir():
    raise ExportError(f"--out={out}: {where.parent} is no folder")
  if where.is_dir() and name not in ("wandb", "tensorboard"):
    raise ExportError(f"--out={out}: is a folder; name a file in it")
  if name in ("mlflow", "wandb", "tensorboard", "optuna") and where.exists():
    raise ExportError(
      f"--out={out}: is there already, and {name} would hold trials twice; name"
      " another"
    )
  return where


def _export(
  name: str,
  folders: Sequence[str],
  where: pathlib.Path | None,
  given: Sequence[str],
  shared: bool,
) -> None:
  """Reads the folders and writes the format."""
  version = jaxpower.__version__
  if name == "bibtex":
    if folders or given:
      raise ExportError("bibtex takes neither run folders nor --given")
    _put(bibtex.entries(version), where)
    return
  from jaxpower.export.given import parse

  facts = parse(given, FORMATS[name].given, name)
  compared, title = _read(folders, shared)
  if where is None or not FORMATS[name].example:
    _put(_text(name, compared, title, facts, version), where)
  else:
    _write(name, compared, title, where, version)


def _read(folders: Sequence[str], shared: bool) -> "tuple[Compared, str]":
  """Reads and compares what folders hold; several are pooled, as by `report`.

  Returns that and a title, the names of the folders.
  """
  from jaxpower.cli import report
  from jaxpower.records import RecordError
  from jaxpower.report import share
  from jaxpower.report.compare.comparable import pool
  from jaxpower.report.compare.comparison import compare_all

  if not folders:
    raise ExportError("which run folder? name one or more after the format")
  paths = dict.fromkeys(map(path_of, folders))
  try:
    runs = [report.read(path) for path in paths]
  except RecordError as error:
    raise ExportError(str(error)) from None
  for run in runs:
    for line in report.unreadable(run.folder, run.found.rejected):
      say(line)
  newest = [record for run in runs for record in run.newest]
  attempts = [record for run in runs for record in run.found.records]
  sweep = runs[0].sweep if len(runs) == 1 else {}
  if shared:
    newest, attempts = share.records(newest), share.records(attempts)
    sweep = share.sweep(sweep)
  if len(runs) > 1:
    newest = pool(newest)
  title = " + ".join(run.folder.resolve().name for run in runs)
  return compare_all(newest, attempts, sweep=sweep), title


def _text(
  name: str,
  compared: "Compared",
  title: str,
  facts: Mapping[str, str],
  version: str,
) -> str:
  """Returns what is exported as a text."""
  from jaxpower.export import boamps, codecarbon, latex, model_card, paper
  from jaxpower.export.given import grid

  match name:
    case "latex":
      return latex.tables(compared, title, version)
    case "paper":
      return paper.text(compared)
    case "model_card":
      country = facts.get("country", "")
      return model_card.block(compared, grid(facts), country)
    case "codecarbon":
      return codecarbon.emissions_csv(
        compared.records, title, grid(facts), facts
      )
    case "boamps":
      now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
      return boamps.report(compared, facts, now)
  raise AssertionError(f"no text: {name}")


def _write(
  name: str,
  compared: "Compared",
  title: str,
  where: pathlib.Path,
  version: str,
) -> None:
  """Writes files of another tool; of what failed halfway nothing is left."""
  from jaxpower.export import (
    mlflow_runs,
    optuna_study,
    parquet,
    tensorboard_events,
    wandb_runs,
  )
  from jaxpower.export.runs import runs

  if name == "parquet":
    durable.replace(where, parquet.to_bytes(compared.records, version))
    return
  _make(name, where)
  try:
    match name:
      case "optuna":
        optuna_study.write(compared.trials, where, title, version)
      case "mlflow":
        mlflow_runs.write(runs(compared.records, version), where, title)
      case "wandb":
        wandb_runs.write(runs(compared.records, version), where, title)
      case "tensorboard":
        tensorboard_events.write(runs(compared.records, version), where, title)
  except BaseException as error:
    _remove(where)
    if isinstance(error, _faults(name)):
      # SQLAlchemy adds the statement, in lines of their own.
      reason = next(iter(str(error).splitlines()), type(error).__name__)
      raise ExportError(f"{where}: {name} cannot write it: {reason}") from None
    if isinstance(error, OSError) and not error.filename:
      raise OSError(error.errno, error.strerror, str(where)) from None
    raise


def _faults(name: str) -> tuple[type[Exception], ...]:
  """Returns what a tool raises, beside OSError, where it cannot write."""
  return tuple(
    getattr(importlib.import_module(module), kind)
    for module, kind in FAULTS.get(name, ())
  )


def _make(name: str, where: pathlib.Path) -> None:
  """Makes the empty file or folder that a tool is to fill.

  Raises OSError where it cannot be made, or is there already.
  """
  if name in ("wandb", "tensorboard"):
    where.mkdir()
  else:  # an empty file is an empty database of SQLite
    where.open("xb").close()


def _put(text: str, where: pathlib.Path | None) -> None:
  if where is None:
    attempt(sys.stdout, print, text, end="")
  else:
    durable.replace(where, text.encode())


def _remove(where: pathlib.Path) -> None:
  if where.is_dir():
    shutil.rmtree(where, ignore_errors=True)
  else:
    where.unlink(missing_ok=True)
