"""Finds fields by their dotted paths, as `vary` names them."""

import dataclasses
import functools
import types
import typing
from typing import Any

from jaxpower.config.fields import Conditions


@functools.cache
def field_names(kind: type) -> tuple[str, ...]:
  """Returns the names of the fields of a kind of config."""
  return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def field_hints(kind: type) -> dict[str, Any]:
  """Returns the declared type of each field of a config."""
  return typing.get_type_hints(kind)


@functools.cache
def plain_type(hint: Any) -> type:
  """Strips a type hint: `dict[str, float]` is dict, `Trial | None` Trial."""
  if isinstance(hint, types.UnionType):
    hint = typing.get_args(hint)[0]
  return typing.get_origin(hint) or hint


@functools.cache
def part_kinds(kind: type) -> dict[str, type]:
  """Maps those fields of a config that are configs to their kind."""
  kinds = {n: plain_type(h) for n, h in typing.get_type_hints(kind).items()}
  return {n: k for n, k in kinds.items() if dataclasses.is_dataclass(k)}


def make_plain(value: Any) -> Any:
  """Makes values of Python's own types of those that a config file may hold.

  Scalars and arrays of numpy or JAX become numbers and tuples, lists and
  ranges tuples, so that `np.arange(3)`, `range(3)` and `(0, 1, 2)` are one
  config with one trial id. Parts of a config are changed in place. Whatever
  else there is stays as it is.
  """
  if hasattr(value, "dtype") and hasattr(value, "tolist"):
    value = value.tolist()
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    for field in dataclasses.fields(value):
      plain = make_plain(getattr(value, field.name))
      setattr(value, field.name, plain)
    return value
  if isinstance(value, tuple | list | range):
    return tuple(map(make_plain, value))
  if isinstance(value, dict):
    return {make_plain(key): make_plain(item) for key, item in value.items()}
  return value


def get(config: Any, path: str) -> Any:
  """Returns the value of a field, or of a key of a dict field.

  A free name that a config does not give is None.
  """
  holder, name = _holder(config, path)
  if not isinstance(holder, dict):
    return getattr(holder, name)
  return holder.get(name) if is_free(path, type(config)) else holder[name]


def put(config: Any, path: str, value: Any) -> None:
  """Sets a field, or a key of a dict field, in place."""
  holder, name = _holder(config, path)
  if isinstance(holder, dict):
    holder[name] = value
  else:
    setattr(holder, name, value)


def _holder(config: Any, path: str) -> tuple[Any, str]:
  """Finds the object that holds a field, and the field's name in it."""
  name, dot, rest = path.partition(".")
  if isinstance(config, dict):
    return config, path  # keys of `vary` have dots of their own
  return _holder(getattr(config, name), rest) if dot else (config, name)


def is_free(path: str, kind: type = Conditions) -> bool:
  """Whether a path names an entry of a dict whose names are the user's own."""
  name, _, rest = path.partition(".")
  if field_hints(kind).get(name) == dict[str, Any]:
    return rest != ""
  part = part_kinds(kind).get(name)
  return part is not None and rest != "" and is_free(rest, part)


def field_types(config: Any, prefix: str = "") -> dict[str, type]:
  """Maps every field, keys of dict fields included, to its declared type."""
  kinds: dict[str, type] = {}
  hints = field_hints(type(config))
  for field in dataclasses.fields(config):
    path, value = prefix + field.name, getattr(config, field.name)
    kinds[path] = plain_type(hints[field.name])
    if dataclasses.is_dataclass(value):
      kinds |= field_types(value, f"{path}.")
    elif isinstance(value, dict) and kinds[path] is dict:
      of_items = plain_type(typing.get_args(hints[field.name])[1])
      kinds |= {f"{path}.{key}": of_items for key in value}
  return kinds


def differences(
  old: dict[str, Any],
  new: dict[str, Any],
  prefix: str = "",
  absent: str = "absent",
) -> list[str]:
  """Lists where two configs differ, one `field: old -> new` each."""
  lines = []
  for key in sorted(old.keys() | new.keys()):
    a, b = old.get(key, absent), new.get(key, absent)
    if isinstance(a, dict) and isinstance(b, dict):
      lines += differences(a, b, f"{prefix}{key}.", absent)
    elif a != b:
      lines.append(f"{prefix}{key}: {a} -> {b}")
  return lines
