"""Checks that what a run folder holds and what a sweep asks for fit together.

Trials of one sweep, of one meter and of one environment: joules of another
meter, and numbers of other variables, must not share a table.
"""

import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from jaxpower import provenance
from jaxpower.config import ConfigError, Sweep, Trial, differences
from jaxpower.folder import sweep_file
from jaxpower.plan import growth
from jaxpower.plan.growth import Grown, GrowthError
from jaxpower.readers import ReadError
from jaxpower.records import TrialRecord


def read_folder(folder: pathlib.Path) -> dict[str, Any]:
  """Reads the sweep.json of a run folder; {} where there is none.

  Raises ConfigError where it is damaged.
  """
  if folder.exists() and not folder.is_dir():
    raise ConfigError(f"{folder} is a file; name a folder with --out")
  path = folder / sweep_file.NAME
  try:
    facts = sweep_file.read(folder)
    if not facts and path.exists():
      raise ReadError("nothing in it")
  except ReadError as error:
    raise ConfigError(
      f"{path} is damaged ({error}); move it away (mv {path}"
      f" {path}.damaged): the same command makes it anew from the records"
    ) from None
  return facts


def check_meter(
  folder: pathlib.Path,
  facts: Mapping[str, Any],
  recorded: Iterable[TrialRecord],
  asked: str,
) -> None:
  """Raises ConfigError where a folder holds records of another meter.

  Where its sweep.json does not say which, the records do.
  """
  of_records = (record.meter.get("meter") for record in recorded)
  known = filter(None, (facts.get("meter"), *of_records))
  if (held := next(known, asked)) != asked:
    raise ConfigError(
      f"{folder} holds records of another meter (meter: {held} -> {asked});"
      " name another folder with --out"
    )


def grow(
  folder: pathlib.Path,
  sweep: Sweep,
  expanded: dict[str, Trial],
  recorded: dict[str, TrialRecord],
) -> Grown:
  """Adds a sweep to those of a folder.

  Raises ConfigError where a recorded trial is no part of it.
  """
  try:
    return growth.grow(sweep, expanded, recorded)
  except GrowthError as error:
    fixes = [error.fix] if error.fix else []
    fixes.append("name another folder with --out")
    raise ConfigError(
      f"{folder} holds records of another config ({error});"
      f" {', or '.join(fixes)}"
    ) from None


def check_environment(
  folder: pathlib.Path, recorded: Iterable[TrialRecord]
) -> None:
  """Raises ConfigError where records were made in another environment.

  What a trial that failed was run in does not matter, nor does a record that
  does not say it.
  """
  now = provenance.arithmetic_environment(provenance.of_worker(os.environ))
  ran = [r.provenance for r in recorded if r.status != "failed"]
  before = [
    provenance.arithmetic_environment(p) for p in ran if "environment" in p
  ]
  if not before or now in before:
    return
  changes = differences(before[-1], now, absent="not set")
  raise ConfigError(
    f"{folder} holds records made with other environment variables"
    f" ({'; '.join(changes)}); set them as they were, or name another folder"
    " with --out"
  )
