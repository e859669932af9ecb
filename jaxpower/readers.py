"""Reads JSON that may be damaged, or of another version, as typed values.

The type hints of a dataclass are the schema: what fits them is made an instance
of it, and what does not is one line that says where and why. Ranges are part of
a type, `Annotated[float, Between(0, 1)]`. A field that the dataclass does not
have is of a newer version and no fault: it is kept in the field whose metadata
are `KEEP_OTHERS`, where there is one, and left out otherwise.
"""

import dataclasses
import functools
import json
import math
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Convert = Callable[[Any], Any]  # raises ReadError

# Chosen: our own files nest 8 deep, and 3 more for each pretraining of a
# pretraining. Python itself gives up at about a thousand.
MOST_DEPTH = 100
# Larger ones are infinite, or whole numbers that no float can be.
MOST_FLOAT = math.nextafter(math.inf, 0)
MOST_SHOWN = 40  # characters of a value shown in an error; chosen
# Metadata of the field of a dataclass that keeps the fields it does not have.
KEEP_OTHERS = {"keeps_others": True}
# Orders of the names of an object that are kept, of one dataclass; chosen: each
# version writes one.
MOST_FORMS = 64
NUMBERS = {int: "a whole number", float: "a number"}


class ReadError(ValueError):
  """An input that cannot be read: as text one line, place and reason.

  Attributes:
    reason: What is wrong.
    place: Where, as `curve[3].accuracy`; empty for the whole.
  """

  def __init__(self, reason: str, place: str = ""):
    super().__init__(reason)
    self.reason = reason
    self.place = place

  def __str__(self) -> str:
    return ": ".join(filter(None, (self.place, self.reason)))

  def inside(self, outer: str) -> "ReadError":
    """Returns the same error of a value that is a part of another one."""
    dot = "." if self.place and not self.place.startswith("[") else ""
    return ReadError(self.reason, f"{outer}{dot}{self.place}")


@dataclasses.dataclass(frozen=True)
class Between:
  """A range of numbers, its ends included; for `Annotated`."""

  low: float = -math.inf
  high: float = math.inf

  def __str__(self) -> str:
    if self.high == math.inf:
      return f"{self.low:g} or more"
    return f"{self.low:g} to {self.high:g}"


def load_json(path: pathlib.Path, kind: type[T], what: str) -> T:
  """Reads a JSON file as a type.

  Args:
    path: The file.
    kind: A dataclass, or another type that `fit` knows.
    what: What the file should be, for the error: "the origin of weights".

  Raises ReadError in one line that begins with the path, OSErrors among them.
  """
  try:
    return fit(kind, parse_json(path.read_bytes()))
  except OSError as error:
    reason = f"cannot be read ({error.strerror})"
  except ReadError as error:
    reason = f"not {what} ({error})"
  raise ReadError(reason, str(path))


def parse_json(content: bytes | str) -> Any:
  """Parses JSON of any encoding; raises ReadError where it is none.

  Refused are also NaN and infinities, which JSON does not have, values nested
  more than `MOST_DEPTH` deep, and halves of characters, which nobody can print.
  """
  try:
    if isinstance(content, bytes):
      content = content.decode(json.detect_encoding(content))
    value = json.loads(content, parse_constant=_refuse_constant)
    if "\\ud" in content or "\\uD" in content:
      json.dumps(value, ensure_ascii=False).encode()
  except RecursionError:
    reason = "nested too deeply"
  except json.JSONDecodeError as error:
    reason = f"{error.msg} (line {error.lineno}, column {error.colno})"
  except UnicodeError:
    reason = "holds what is no character"
  except ValueError as error:  # NaN, or a number of thousands of digits
    reason = " ".join(str(error).split())
  else:
    brackets = content.count("[") + content.count("{")
    if brackets <= MOST_DEPTH or not _deeper_than(MOST_DEPTH, value):
      return value
    reason = "nested too deeply"
  raise ReadError(f"not JSON: {reason}")


def fit(kind: type[T], value: Any) -> T:
  """Makes a value of a type from what JSON has of it.

  Known are dataclasses, int, float (any finite number, left as it is), str,
  bool, None, Any, Literal, unions, Annotated with a `Between`, list, tuple and
  dict with keys that are strings.

  Raises ReadError with the place in the value.
  """
  return converter(kind)(value)


def finite(value: Any) -> Any:
  """Replaces numbers that are not finite, which JSON does not have, by None."""
  if isinstance(value, dict):
    return {key: finite(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [finite(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def check_parts(kind: type, value: dict[str, Any]) -> None:
  """Checks those fields of a dataclass that a dict has; others may be missing.

  For what another version wrote, which has other fields. Raises ReadError.
  """
  items = items_of(kind)
  for name, inner in value.items():
    if name in items:
      convert, part, taken, numbers, low, high = items[name]
      of = type(inner)
      if of in taken or (of in numbers and low <= inner <= high):
        continue
      try:
        if part is not None and isinstance(inner, dict):
          check_parts(part, inner)
        else:
          convert(inner)
      except ReadError as error:
        raise error.inside(name) from None


def _refuse_constant(name: str) -> None:
  raise ValueError(f"holds {name}")


def _deeper_than(depth: int, value: Any) -> bool:
  """Whether a value has more than so many levels of lists and dicts."""
  level = [value]
  for _ in range(depth + 1):
    level = [
      inner
      for outer in level
      if isinstance(outer, dict | list)
      for inner in (outer.values() if isinstance(outer, dict) else outer)
    ]
    if not level:
      return False
  return True


# A converter for each type, made once


@functools.cache
def converter(kind: Any) -> Convert:
  """Makes the function that turns what JSON has into a value of a type."""
  origin, arguments = typing.get_origin(kind), typing.get_args(kind)
  if kind in (Any, object):
    return lambda value: value
  if kind in (None, type(None)):
    return _one_of((None,))
  if kind in NUMBERS:
    return _number(kind, Between())
  if origin is typing.Annotated:
    (within,) = (a for a in arguments[1:] if isinstance(a, Between))
    return _number(arguments[0], within)
  if origin is typing.Literal:
    return _one_of(arguments)
  if origin in (types.UnionType, typing.Union):
    return _union(arguments)
  if dataclasses.is_dataclass(kind):
    return _dataclass(typing.cast(type, kind))
  if (origin or kind) is dict:
    item = arguments[1] if arguments else Any
    return _dict(converter(item)) if item is not Any else _anything_by_name
  if (origin or kind) in (list, tuple):
    item = arguments[0] if arguments else Any
    return _sequence(origin or kind, converter(item))
  return _plain(kind)


def _plain(kind: type) -> Convert:
  words = {str: "a text", bool: "true or false"}[kind]

  def convert(value: Any) -> Any:
    if type(value) is not kind:
      raise ReadError(f"{shown(value)} is not {words}")
    return value

  return convert


def _number(kind: type, within: Between) -> Convert:
  kinds, low, high = _range(kind, within)
  most = math.inf if kind is int else MOST_FLOAT

  def convert(value: Any) -> Any:
    if type(value) in kinds and low <= value <= high:
      return value
    if type(value) not in kinds or not -most <= value <= most:
      raise ReadError(f"{shown(value)} is not {NUMBERS[kind]}")
    raise ReadError(f"{shown(value)} is not {within}")

  return convert


def _one_of(values: tuple[Any, ...]) -> Convert:
  words = " or ".join("null" if v is None else str(v) for v in values)

  def convert(value: Any) -> Any:
    if not any(type(value) is type(v) and value == v for v in values):
      raise ReadError(f"{shown(value)} is not {words}")
    return value

  return convert


def _union(kinds: tuple[Any, ...]) -> Convert:
  """Converts to the first kind that fits; an error is that of the first."""
  first, *rest = [converter(kind) for kind in kinds if kind is not type(None)]
  may_be_null = type(None) in kinds
  if may_be_null and not rest:
    return lambda value: None if value is None else first(value)

  def convert(value: Any) -> Any:
    if value is None and may_be_null:
      return None
    try:
      return first(value)
    except ReadError:
      for other in rest:
        try:
          return other(value)
        except ReadError:
          continue
      raise

  return convert


def _anything_by_name(value: Any) -> Any:
  if type(value) is not dict:
    raise ReadError(f"{shown(value)} is not an object")
  return value.copy()


def _dict(item: Convert) -> Convert:
  def convert(value: Any) -> Any:
    if type(value) is not dict:
      raise ReadError(f"{shown(value)} is not an object")
    converted = {}
    for key, inner in value.items():
      try:
        converted[key] = item(inner)
      except ReadError as error:
        raise error.inside(_key(key)) from None
    return converted

  return convert


def _sequence(kind: type, item: Convert) -> Convert:
  def convert(value: Any) -> Any:
    if type(value) is not list:
      raise ReadError(f"{shown(value)} is not a list")
    converted = []
    for number, inner in enumerate(value):
      try:
        converted.append(item(inner))
      except ReadError as error:
        raise error.inside(f"[{number}]") from None
    return kind(converted)

  return convert


class Item(typing.NamedTuple):
  """How a field is read: `part` is the dataclass that it may hold.

  Values of the types `taken` stay as they are, and so do those of `numbers`
  from `low` to `high`. Most values of a record do, and need no call.
  """

  convert: Convert
  part: type | None
  taken: frozenset[type]
  numbers: frozenset[type]
  low: float
  high: float


@functools.cache
def items_of(kind: type) -> dict[str, Item]:
  """Maps the fields of a dataclass to how they are read."""
  return {
    name: Item(converter(hint), _dataclass_in(hint), *kept_types(hint))
    for name, hint in hints_of(kind).items()
  }


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
  """Maps the fields of a dataclass that JSON may have to their types."""
  hints = typing.get_type_hints(kind, include_extras=True)
  fields = dataclasses.fields(kind)
  names = {field.name for field in fields if field.metadata != KEEP_OTHERS}
  return {name: hint for name, hint in hints.items() if name in names}


def kept_types(
  kind: Any,
) -> tuple[frozenset[type], frozenset[type], float, float]:
  """Returns what a type takes as it is: types, and types of numbers in a range.

  It may take more.
  """
  origin, arguments = typing.get_origin(kind), typing.get_args(kind)
  none: frozenset[type] = frozenset()
  if kind in (str, bool):
    return frozenset([kind]), none, 0, 0
  if kind in NUMBERS:
    return none, *_range(kind, Between())
  if origin is typing.Annotated:
    (within,) = (a for a in arguments[1:] if isinstance(a, Between))
    return none, *_range(arguments[0], within)
  if origin in (types.UnionType, typing.Union) and type(None) in arguments:
    one, *more = (k for k in arguments if k is not type(None))
    kind = one if not more else Any  # of a wider union null alone
    taken, numbers, low, high = kept_types(kind)
    return taken | {type(None)}, numbers, low, high
  return none, none, 0, 0


def _range(kind: type, within: Between) -> tuple[frozenset[type], float, float]:
  """Returns the types of numbers that are taken, and from where to where."""
  if kind is int:
    return frozenset([int]), within.low, within.high
  low, high = max(within.low, -MOST_FLOAT), min(within.high, MOST_FLOAT)
  return frozenset([int, float]), low, high


def _dataclass_in(hint: Any) -> type | None:
  """Finds the dataclass that a hint is, or is beside None."""
  kinds = (hint, *typing.get_args(hint))
  return next((k for k in kinds if dataclasses.is_dataclass(k)), None)  # pyright: ignore[reportReturnType]


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
  """How a dataclass is made of a dict.

  Attributes:
    kind: The dataclass.
    keeps: The field that keeps fields it does not have, if any.
    constants: Defaults of fields.
    made_anew: What makes the defaults of others.
    needed: Fields without a default.
    is_plain: Whether it is made without its constructor.
  """

  kind: type
  keeps: str | None
  constants: dict[str, Any]
  made_anew: dict[str, Callable[[], Any]]
  needed: list[str]
  is_plain: bool

  def split(self, names: tuple[str, ...]) -> tuple[dict[str, Item], list[str]]:
    """Returns how fields of these names are read, and names that are no field.

    Raises ReadError where one is missing.
    """
    items = items_of(self.kind)  # now, since a dataclass may hold itself
    if lacking := [name for name in self.needed if name not in names]:
      raise ReadError(f"has no field {lacking[0]}")
    known = {name: items[name] for name in names if name in items}
    return known, [name for name in names if name not in items]

  def make(self, value: dict[str, Any], changed: dict[str, Any]) -> Any:
    """Makes an instance of a dict of fields, some of them changed."""
    if not self.is_plain:
      return self.kind(**(value | changed))
    # As __init__ does, without setting each field by a call (a frozen one's).
    made = object.__new__(self.kind)
    held = made.__dict__
    held.update(self.constants)
    held.update((name, make()) for name, make in self.made_anew.items())
    held.update(value)
    held.update(changed)
    return made


@functools.cache
def form_of(kind: type) -> Form:
  """Returns how a dataclass is made of a dict."""
  fields = dataclasses.fields(kind)
  missing = dataclasses.MISSING
  constants = {f.name: f.default for f in fields if f.default is not missing}
  made_anew = {
    f.name: f.default_factory
    for f in fields
    if f.default_factory is not missing
  }
  return Form(
    kind,
    next((f.name for f in fields if f.metadata == KEEP_OTHERS), None),
    constants,
    made_anew,
    [f.name for f in fields if f.name not in constants | made_anew],
    not hasattr(kind, "__slots__") and not hasattr(kind, "__post_init__"),
  )


def _dataclass(kind: type) -> Convert:
  form = form_of(kind)

  @functools.lru_cache(maxsize=MOST_FORMS)
  def steps_of(names: tuple[str, ...]) -> tuple[list[tuple], list[str]]:
    # Most records have the same names in the same order.
    items, unknown = form.split(names)
    return [(name, *item) for name, item in items.items()], unknown

  def read(value: Any) -> Any:
    if type(value) is not dict:
      raise ReadError(f"{shown(value)} is not an object")
    steps, unknown = steps_of(tuple(value))
    others = {name: value[name] for name in unknown}
    if unknown:
      value = {name: value[name] for name, *_ in steps}
    changed = {}
    for step, inner in zip(steps, value.values(), strict=True):
      name, convert, _, taken, numbers, low, high = step
      of = type(inner)
      if of in taken or (of in numbers and low <= inner <= high):
        continue
      try:
        changed[name] = convert(inner)
      except ReadError as error:
        raise error.inside(name) from None
    if form.keeps is not None:
      changed[form.keeps] = others
    return form.make(value, changed)

  return read


def shown(value: Any) -> str:
  """Shows a value in an error: one short line of printable characters."""
  kinds = {dict: "an object", list: "a list", None.__class__: "null"}
  if type(value) in kinds:
    return kinds[type(value)]
  if isinstance(value, bool):
    return "true" if value else "false"
  if isinstance(value, int) and abs(value) >= 10**MOST_SHOWN:
    return f"a number of more than {MOST_SHOWN} digits"
  text = ascii(value) if isinstance(value, str) else f"{value:.6g}"
  return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def _key(key: str) -> str:
  """Shows a key of an object as a place."""
  return key if key.isidentifier() and key.isascii() else f"[{shown(key)}]"
