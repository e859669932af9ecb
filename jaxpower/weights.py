"""Checkpoint folders: sealed with checksums, checked before they are restored.

A pretraining may be restored days later, by another run or another user, and
its energy is charged to every trial that begins from it; so a checkpoint has
to be the one that was written, to the last bit. Orbax itself finds a
half-written folder but not a flipped bit. Hence `SHA256SUMS`, in the format of
`sha256sum --check`: it is written last, so without it the checkpoint is
incomplete. Checking needs no framework, so a sweep does it before any worker
starts.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import types
from collections.abc import Mapping
from typing import Annotated, Any

from jaxpower import readers
from jaxpower.readers import Between

SUMS = "SHA256SUMS"
ORIGIN = "origin.json"
TORCH_STATE = "state.pt"  # of PyTorch checkpoints; JAX's hold Orbax's files
MOST_SHOWN = 60  # characters of a path that no file can have; chosen
MAX_NAMED = 3  # arrays named in an error, the rest counted: it is one line
# Of what a stranger may state; chosen: 1e18 J are three hours of all the power
# that mankind uses (Our World in Data: 1.8e5 TWh of primary energy in 2023).
MOST_JOULES = 1e18
MOST_HEADS = 10_000  # chosen, as in `checks`

NO_TEXTS: Mapping[str, str] = types.MappingProxyType({})
Form = tuple[tuple[int, ...], str]  # shape and dtype of an array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
  """Where imported weights come from: the fields of origin.json.

  Joules are what was spent on training them, None if unknown.
  """

  source: str | None = None
  joules_spent: Annotated[float, Between(0, MOST_JOULES)] | None = None
  joules_source: str | None = None
  heads: Annotated[int, Between(1, MOST_HEADS)] | None = None
  prefix_removed: str | None = None  # of all names, as "module."


class WeightsError(Exception):
  """A checkpoint cannot be used; one line says which and why."""


def folder_of(trial_id: str) -> pathlib.Path:
  """Returns the checkpoint folder of a trial, relative to the run folder."""
  return pathlib.Path("checkpoints") / trial_id


def forget(folder: pathlib.Path, trial_id: str) -> None:
  """Removes the trained weights of a trial from a run folder. Never raises."""
  shutil.rmtree(folder / folder_of(trial_id), ignore_errors=True)


def seal(folder: pathlib.Path, texts: Mapping[str, str] = NO_TEXTS) -> None:
  """Writes `SHA256SUMS` of every file under a folder, atomically.

  Before that the files `texts`, by name.
  """
  for name, content in texts.items():
    (folder / name).write_text(content)
  text = "".join(f"{_sha256(folder / n)}  {n}\n" for n in _names(folder))
  # Beside the folder, so that what a crash leaves is no file of the checkpoint.
  unfinished = folder.with_name(f".{folder.name}.{SUMS}")
  with unfinished.open("w") as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  unfinished.replace(folder / SUMS)


def problem(folder: pathlib.Path) -> str:
  """Returns what is wrong with a checkpoint in one line, "" if nothing is.

  Reads every file to compare its checksum.
  """
  try:
    there = folder.is_dir()
  except (OSError, ValueError) as error:  # a name no file can have
    return f"{str(folder)[:MOST_SHOWN]!r} is no folder ({error.args[-1]})"
  if not there:
    return f"{folder} is not there"
  try:
    checksums = _read_sums(folder)
  except FileNotFoundError:
    return f"{folder} was not written to its end (no {SUMS})"
  except (OSError, ValueError):
    return f"{folder / SUMS} cannot be read"
  names = _names(folder)
  for name, expected in checksums.items():
    path = folder / name
    if name not in names:  # nor is a file elsewhere, `../x`, of the checkpoint
      return f"{path} is missing"
    if _sha256(path) != expected:
      return f"{path} is damaged: its checksum is another"
  for name in names:
    if name not in checksums:
      return f"{folder / name} was not there when the weights were written"
  return ""


def require_whole(folder: pathlib.Path) -> None:
  """Raises WeightsError if a checkpoint is incomplete or damaged."""
  if reason := problem(folder):
    raise WeightsError(reason)


def require_fit(
  folder: pathlib.Path, held: Mapping[str, Form], wanted: Mapping[str, Form]
) -> None:
  """Raises WeightsError unless a checkpoint fits the backbone exactly.

  Args:
    folder: The checkpoint, for the error.
    held: Shape and dtype of each array in the checkpoint, by name.
    wanted: Shape and dtype of each array of the backbone, by name.
  """

  def words(form: Form | None) -> str:
    return f"{list(form[0])} {form[1]}" if form else "absent"

  mismatches = [
    f"{name} is {words(held.get(name))} there, {words(wanted.get(name))} here"
    for name in sorted(held.keys() | wanted.keys())
    if held.get(name) != wanted.get(name)
  ]
  if mismatches:
    more = len(mismatches) - MAX_NAMED
    rest = [f"{more} more"] if more > 0 else []
    raise WeightsError(
      f"the weights in {folder} do not fit the network:"
      f" {'; '.join([*mismatches[:MAX_NAMED], *rest])}"
    )


def by_torch(folder: pathlib.Path) -> bool:
  """Whether the PyTorch wing wrote a checkpoint."""
  return (folder / TORCH_STATE).is_file()


def origin(folder: pathlib.Path) -> dict[str, Any]:
  """Returns `pretrained` of a record: the origin of imported weights.

  "path"; "joules" spent on training them and the "source" of that number, None
  if unknown; "sha256" of `SHA256SUMS`, which differs between two imports to
  the same path.
  """
  stated = facts(folder)
  return {
    "path": str(folder),
    "joules": stated.joules_spent,
    "source": stated.joules_source,
    "sha256": _sha256(folder / SUMS),
  }


def facts(folder: pathlib.Path) -> Origin:
  """Reads origin.json, which an import writes; empty for a trial's checkpoint.

  Raises WeightsError where it is damaged.
  """
  path = folder / ORIGIN
  if not path.exists():
    return Origin()
  try:
    return readers.load_json(path, Origin, "the origin of weights")
  except readers.ReadError as error:
    raise WeightsError(str(error)) from None


def _read_sums(folder: pathlib.Path) -> dict[str, str]:
  """Reads the checksum of each file by its name; raises ValueError if torn."""
  text = (folder / SUMS).read_text()
  # Not `splitlines`, which also ends one at what a name may have in it.
  lines = text.removesuffix("\n").split("\n") if text else []
  pairs = (line.split("  ", 1) for line in lines)
  return {name: digest for digest, name in pairs}


def _names(folder: pathlib.Path) -> list[str]:
  """Lists all files under a folder but `SHA256SUMS`, relative and sorted."""
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.is_file() and path != folder / SUMS
  )


def _sha256(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
