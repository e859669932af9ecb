"""Checkpoints inside a trial, so that a kill costs minutes and not hours.

What is trained at a look follows from the state, the seed and the number of the
segment: order, draws of images, dropout and rates are functions of these (see
`data.order`, `schedule`). So a checkpoint is the state, as a wing writes it,
and notes: the number of the next segment, the results of all looks, and the
windows of the meter that they cost, by the attempt that paid them. A trial that
is taken up there goes on as if nothing had happened, to the bit.

resume/<trial_id>/<examples>/ has the wing's files and `progress.json`, under
the checksums of `weights`. It is written beside its place and renamed; the one
before it stays until it is there. The newest whole one is taken up, and the one
before where that is damaged. Where framework, devices or meter have changed
none is: a record is of one setting.
"""

import contextlib
import dataclasses
import json
import math
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jaxpower import readers, weights
from jaxpower.accounting import EvalResult
from jaxpower.power import Window
from jaxpower.readers import ReadError

FOLDER = "resume"
NOTES = "progress.json"
UNFINISHED = "unfinished"
SCHEMA = 1  # of the notes; another one is not taken up

# Phases whose windows go on to count; the others are gone through again.
COUNTED = ("train", "eval", "checkpoint")

# Writes a state to a folder, with texts beside it by the name of their file.
Save = Callable[[pathlib.Path, Any, Mapping[str, str]], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
  """What a trial has done up to a look.

  Attributes:
    results: Of every look so far.
    waits: Seconds for which the devices waited for data, by segment.
    windows: By the name of an attempt, what it was metered for that counts.
    warnings: The meter's in earlier attempts.
  """

  results: tuple[EvalResult, ...] = ()
  waits: tuple[float, ...] = ()
  windows: Mapping[str, tuple[Window, ...]] = dataclasses.field(
    default_factory=dict
  )
  warnings: tuple[str, ...] = ()

  def all_windows(self) -> tuple[Window, ...]:
    """Returns the windows of all attempts, in order."""
    return tuple(w for windows in self.windows.values() for w in windows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Notes:
  """The form of progress.json; a loss that is not finite is null there.

  The order of the examples and all draws are those of `seed` from
  `next_segment` on.
  """

  schema: int
  seed: int
  next_segment: int
  setting: dict[str, Any]
  results: tuple[dict[str, Any], ...]
  waits: tuple[float, ...]
  windows: dict[str, tuple[Window, ...]]
  warnings: tuple[str, ...] = ()


class Checkpoints:
  """The checkpoints of one attempt at a trial."""

  def __init__(
    self,
    folder: pathlib.Path,
    trial_id: str,
    seed: int,
    setting: Mapping[str, Any],
    save: Save,
  ):
    """Args: the run folder, the trial, what must not have changed, a wing's."""
    self._folder = folder_of(folder, trial_id)
    self._seed = seed
    self._setting = json.loads(json.dumps(setting))  # as it is read again
    self._save = save
    self._before: pathlib.Path | None = None

  def found(self) -> Iterator[tuple[pathlib.Path, Part | str]]:
    """Yields the checkpoints, the newest first, or why one is not usable."""
    for path in reversed(_places(self._folder)):
      try:
        weights.require_whole(path)
        yield path, self._part(path)
      except (weights.WeightsError, ReadError, OSError) as error:
        yield path, str(error)

  def taken_up(self, path: pathlib.Path) -> None:
    """Says which checkpoint training goes on from."""
    self._before = path

  def save(self, state: Any, part: Part) -> None:
    """Writes a checkpoint; afterwards it and the one before it are there.

    Raises OSError, and what the wing raises; what was there is then still.
    """
    examples = part.results[-1].examples
    place = self._folder / f"{examples:015d}"
    unfinished = self._folder / f"{UNFINISHED}-{examples}"
    try:
      self._save(unfinished, state, {NOTES: self._text(part)})
      shutil.rmtree(place, ignore_errors=True)  # one that was damaged
      unfinished.rename(place)
    except BaseException:
      shutil.rmtree(unfinished, ignore_errors=True)
      raise
    for path in self._folder.iterdir():
      if path not in (place, self._before):
        shutil.rmtree(path, ignore_errors=True)
    self._before = place

  def _text(self, part: Part) -> str:
    notes = Notes(
      schema=SCHEMA,
      seed=self._seed,
      next_segment=len(part.results) - 1,
      setting=self._setting,
      results=tuple(map(dataclasses.asdict, part.results)),
      waits=part.waits,
      windows=dict(part.windows),
      warnings=part.warnings,
    )
    facts = readers.finite(dataclasses.asdict(notes))
    return json.dumps(facts, allow_nan=False)

  def _part(self, path: pathlib.Path) -> Part:
    """Reads the notes of a checkpoint; ReadError where they do not fit."""
    notes = readers.load_json(path / NOTES, Notes, "notes of a checkpoint")
    if notes.schema != SCHEMA:
      raise ReadError(f"{path} was written by another version of jaxpower")
    if changed := _changed(notes.setting, self._setting):
      raise ReadError(f"{path} was written with another {changed}")
    try:
      results = tuple(EvalResult(**_losses(r)) for r in notes.results)
    except TypeError as error:
      raise ReadError(f"{path / NOTES}: {error}") from None
    if len(results) != notes.next_segment + 1 or notes.seed != self._seed:
      raise ReadError(f"{path / NOTES}: not of this trial")
    return Part(
      results=results,
      waits=notes.waits,
      windows=notes.windows,
      warnings=notes.warnings,
    )


def folder_of(folder: pathlib.Path, trial_id: str) -> pathlib.Path:
  """Returns where in a run folder the checkpoints inside a trial lie."""
  return folder / FOLDER / trial_id


def forget(folder: pathlib.Path, trial_id: str) -> None:
  """Removes the checkpoints inside a trial: it has its record. Never raises."""
  shutil.rmtree(folder_of(folder, trial_id), ignore_errors=True)
  with contextlib.suppress(OSError):
    (folder / FOLDER).rmdir()  # where it was the last


def _places(folder: pathlib.Path) -> list[pathlib.Path]:
  """Lists the checkpoints of a trial by their examples, the fewest first."""
  if not folder.is_dir():
    return []
  return sorted(path for path in folder.iterdir() if path.name.isdecimal())


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
  """Names the first part of a setting that has changed; "" where none has."""
  for name in sorted(before.keys() | now.keys()):
    if before.get(name) != now.get(name):
      return f"{name} ({before.get(name)} -> {now.get(name)})"
  return ""


def _losses(result: dict[str, Any]) -> dict[str, Any]:
  """Gives a result back the losses that are no finite numbers."""
  names = ("train_loss", "loss")
  return result | {n: math.nan for n in names if result.get(n) is None}
