"""Folders of weights: sealed when written, known when damaged.

A folder is sealed by `SHA256SUMS`, in the form `sha256sum --check` reads,
written after all else: without it the folder was not written to its end. No
framework is needed to look.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

SUMS = "SHA256SUMS"
ORIGIN = "origin.json"
TORCH_STATE = "state.pt"  # what the PyTorch wing writes; the JAX wing, Orbax's
NAMED = 3  # so many arrays that do not fit are named, the others counted

Form = tuple[tuple[int, ...], str]  # shape and type of an array


class WeightsError(Exception):
  """Weights cannot be used: one line says which and why."""


def folder_of(trial_id: str) -> pathlib.Path:
  """Where a run folder keeps the weights of a trial, as a path from it."""
  return pathlib.Path("checkpoints") / trial_id


def seal(folder: pathlib.Path) -> None:
  """Writes the checksum of every file under a folder, at once or not at all."""
  text = "".join(f"{_sum(folder / n)}  {n}\n" for n in _names(folder))
  unfinished = folder.with_name(f".{folder.name}.{SUMS}")
  with unfinished.open("w") as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  unfinished.replace(folder / SUMS)


def problem(folder: pathlib.Path) -> str:
  """Says what is wrong with a folder of weights; empty where nothing is."""
  if not folder.is_dir():
    return f"{folder} is not there"
  try:
    sums = _read_sums(folder)
  except FileNotFoundError:
    return f"{folder} was not written to its end (no {SUMS})"
  except (OSError, ValueError):
    return f"{folder / SUMS} cannot be read"
  for name, expected in sums.items():
    path = folder / name
    if not path.is_file():
      return f"{path} is missing"
    if _sum(path) != expected:
      return f"{path} is damaged: its checksum is another"
  for name in _names(folder):
    if name not in sums:
      return f"{folder / name} was not there when the weights were written"
  return ""


def require_whole(folder: pathlib.Path) -> None:
  """Raises WeightsError where a folder of weights is not as it was written."""
  if reason := problem(folder):
    raise WeightsError(reason)


def require_fit(
  folder: pathlib.Path, held: Mapping[str, Form], wanted: Mapping[str, Form]
) -> None:
  """Raises WeightsError unless a folder holds just the arrays of a backbone.

  Args:
    folder: Where they lie.
    held: The form of each array there, by name.
    wanted: What each must be.
  """

  def told(form: Form | None) -> str:
    return f"{list(form[0])} {form[1]}" if form else "absent"

  lines = [
    f"{name} is {told(held.get(name))} there, {told(wanted.get(name))} here"
    for name in sorted(held.keys() | wanted.keys())
    if held.get(name) != wanted.get(name)
  ]
  if lines:
    more = len(lines) - NAMED
    rest = [f"{more} more"] if more > 0 else []
    raise WeightsError(
      f"the weights in {folder} do not fit the network:"
      f" {'; '.join([*lines[:NAMED], *rest])}"
    )


def by_torch(folder: pathlib.Path) -> bool:
  """Whether the PyTorch wing wrote a folder of weights."""
  return (folder / TORCH_STATE).is_file()


def origin(folder: pathlib.Path) -> dict[str, Any]:
  """Where weights came from, for the record of a trial that begins with them.

  "path"; "joules" already spent on them and the "source" of that number, None
  where nobody said; "sha256" of their checksums, which tells weights of one
  path from each other.
  """
  told = facts(folder)
  return {
    "path": str(folder),
    "joules": told.get("joules_spent"),
    "source": told.get("joules_source"),
    "sha256": _sum(folder / SUMS),
  }


def facts(folder: pathlib.Path) -> dict[str, Any]:
  """The origin.json of imported weights; empty for those of a run."""
  path = folder / ORIGIN
  return json.loads(path.read_text()) if path.exists() else {}


def _read_sums(folder: pathlib.Path) -> dict[str, str]:
  lines = (folder / SUMS).read_text().splitlines()
  pairs = (line.split("  ", 1) for line in lines)
  return {name: digest for digest, name in pairs}


def _names(folder: pathlib.Path) -> list[str]:
  """Every file under a folder but the checksums, as paths from it, sorted."""
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.is_file() and path != folder / SUMS
  )


def _sum(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
