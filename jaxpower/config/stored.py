"""Converts configs of every version to JSON and back; names trials by a hash.

A trial's id is a hash of all its fields: with a new name or default of one a
trial has another id, and no folder of records could be continued. So a field
that is added after records have been written is declared with `later`, which
keeps the value that all trials had before the field existed, whatever its
default is now. A later field at that value does not count in the id, and
`completed` gives it to configs that were written without it. Both hold for all
time: a later field's `before` is never changed.
"""

import copy
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from jaxpower.config.fields import BEFORE, Sweep, Trial
from jaxpower.config.paths import (
  field_hints,
  field_names,
  make_plain,
  part_kinds,
  plain_type,
)

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
  """Converts a config, or a part of one, to nested dicts, ready for JSON."""
  return {
    name: _as_json(getattr(config, name)) for name in field_names(type(config))
  }


def _as_json(value: Any) -> Any:
  """Copies a value as JSON would give it back; TypeError where it cannot."""
  kind = type(value)
  if value is None or kind in (str, int, float, bool):
    return value
  if dataclasses.is_dataclass(kind):
    return to_dict(value)
  if kind in (tuple, list):
    return [_as_json(item) for item in value]
  if kind is dict and all(type(key) is str for key in value):
    return {key: _as_json(item) for key, item in value.items()}
  return json.loads(json.dumps(value))


def from_dict(kind: type[T], values: dict[str, Any]) -> T:
  """Makes a config, or a part of one, of what `to_dict` made of it.

  Not for a Sweep, the values of whose `vary` have no declared type. Raises
  TypeError on a field that the kind does not have.
  """
  hints = field_hints(kind)

  def typed(name: str, value: Any) -> Any:
    of = plain_type(hints[name]) if name in hints else object
    if dataclasses.is_dataclass(of) and isinstance(value, dict):
      return from_dict(of, value)
    if of is dict:
      return make_plain(value)
    return tuple(value) if of is tuple else value

  return kind(**{name: typed(name, value) for name, value in values.items()})


def trial_id(trial: Trial) -> str:
  """Hashes a trial's whole config to twelve hex digits that name it.

  Later fields count only where they differ from the value before they existed.
  """
  return id_of(to_dict(trial), type(trial))


def by_id(trials: Iterable[Trial]) -> dict[str, Trial]:
  """Maps trials by their id, in their order; one that is there twice once."""
  named: dict[str, Trial] = {}
  for trial in trials:
    named.setdefault(trial_id(trial), trial)
  return named


def id_of(config: dict[str, Any], kind: type = Trial) -> str:
  """Returns the `trial_id` of a trial from what `to_dict` made of it."""
  return _hashed(as_before(kind, config))


def _hashed(config: dict[str, Any]) -> str:
  text = json.dumps(config, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def is_of_today(kind: type, config: dict[str, Any]) -> bool:
  """Whether a config, its parts and pretrainings have the fields of `kind`."""
  if config.keys() != _names(kind):
    return False
  for name, part in part_kinds(kind).items():
    value = config[name]
    if isinstance(value, dict) and not is_of_today(part, value):
      return False
  return True


@functools.cache
def _names(kind: type) -> frozenset[str]:
  return frozenset(field_names(kind))


def completed(kind: type, config: dict[str, Any]) -> dict[str, Any]:
  """Gives a config of an older version the later fields, at `before`.

  Args:
    kind: What the config is of: Trial, Sweep or a part of one.
    config: As `to_dict` made it then; not changed.

  Returns:
    A copy with the later fields, in its parts, its pretrainings and the values
    of a sweep's `vary` too.
  """
  absent = {
    name: copy.deepcopy(before)
    for name, before in _before(kind).items()
    if name not in config
  }
  return _each_part(kind, config | absent, completed)


def as_before(kind: type, config: dict[str, Any]) -> dict[str, Any]:
  """Leaves out of a config every later field that has its `before` value.

  So a config is the same as one of a version that did not have the field.
  """
  copied = _each_part(kind, config, as_before)
  for name, before in _before(kind).items():
    if name in copied and copied[name] == before:
      del copied[name]
  return copied


@functools.cache
def _before(kind: type) -> dict[str, Any]:
  """Maps the later fields of a kind of config to their `before` values."""
  return {
    field.name: field.metadata[BEFORE]
    for field in dataclasses.fields(kind)
    if BEFORE in field.metadata
  }


def _each_part(
  kind: type,
  config: dict[str, Any],
  convert: Callable[[type, dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
  """Copies a config with each of its parts converted, by kind of the part."""
  copied = config.copy()
  for name, part in part_kinds(kind).items():
    if isinstance(value := copied.get(name), dict):
      copied[name] = convert(part, value)
  if issubclass(kind, Sweep) and isinstance(vary := config.get("vary"), dict):
    copied["vary"] = {
      path: _each_value(path, values, convert) for path, values in vary.items()
    }
  return copied


def _each_value(
  path: str,
  values: list[Any],
  convert: Callable[[type, dict[str, Any]], dict[str, Any]],
) -> list[Any]:
  """Converts the values of a varied field where they are parts of a config."""
  kind: type | None = Trial  # varied fields are those of a trial
  for name in path.split("."):
    kind = None if kind is None else part_kinds(kind).get(name)
  if kind is None:
    return values
  return [convert(kind, v) if isinstance(v, dict) else v for v in values]


def copied(config: T) -> T:
  """Copies a config, its parts and pretrainings: as deepcopy does, faster."""
  again = object.__new__(type(config))
  held = vars(again)
  held.update(vars(config))
  for name in _changeable(type(config)):
    value = held[name]
    if dataclasses.is_dataclass(value):
      held[name] = copied(value)
    elif isinstance(value, dict):
      held[name] = copy.deepcopy(value) if value else {}
  return again


@functools.cache
def _changeable(kind: type) -> tuple[str, ...]:
  """Names the fields of a kind of config that hold parts or dicts."""
  plain = (bool, int, float, str, tuple)
  hints = field_hints(kind)
  return tuple(
    n for n in field_names(kind) if plain_type(hints[n]) not in plain
  )


def with_seed(trial: Trial, seed: int) -> Trial:
  """Copies a trial at another seed, its pretrainings at that seed too."""
  again = copied(trial)
  for trained in (again, *sources(again)):
    trained.seed = seed
  return again


def seeded(trial: Trial, seeds: Iterable[int]) -> Iterator[tuple[str, Trial]]:
  """Yields a trial at each of some seeds, as `with_seed`, after its id.

  In half the time, since all but the seeds is converted once.
  """
  config = as_before(type(trial), to_dict(trial))
  for seed in seeds:
    each: dict[str, Any] | None = config
    while each is not None:
      each["seed"] = seed
      each = each.get("transfer", {}).get("init_from")
    yield _hashed(config), with_seed(trial, seed)


def sources(trial: Trial) -> Iterator[Trial]:
  """Yields a trial's pretraining, then the pretraining of that, and so on."""
  source = trial.transfer.init_from
  while source is not None:
    yield source
    source = source.transfer.init_from
