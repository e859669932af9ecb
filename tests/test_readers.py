import dataclasses
import json
import pathlib
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower import readers
from jaxpower.readers import Between, ReadError, fit, load_json, parse_json


@dataclasses.dataclass
class Look:
  accuracy: Annotated[float, Between(0, 1)]
  joules: Annotated[float, Between(0)] | None = None


@dataclasses.dataclass
class Result:
  name: str
  status: Literal["reached", "missed"]
  count: int = 0
  whole: bool = True
  looks: tuple[Look, ...] = ()
  shares: dict[str, Annotated[float, Between(0, 1)]] = dataclasses.field(
    default_factory=dict
  )
  value: float | str | None = None
  extra: dict[str, Any] = dataclasses.field(
    default_factory=dict, metadata=readers.KEEP_OTHERS
  )


WHOLE = {
  "name": "a",
  "status": "reached",
  "looks": [{"accuracy": 1, "joules": 2.5}, {"accuracy": 0.5, "joules": None}],
  "shares": {"label": 0.25},
  "value": "x",
}


def test_what_fits_the_hints_is_made_of_them() -> None:
  assert fit(Result, WHOLE) == Result(
    name="a",
    status="reached",
    looks=(Look(1, 2.5), Look(0.5)),
    shares={"label": 0.25},
    value="x",
  )


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
  joules: float
  name: str = "a"


@dataclasses.dataclass(frozen=True)
class Checked:
  joules: float

  def __post_init__(self) -> None:
    object.__setattr__(self, "joules", 2 * self.joules)


@dataclasses.dataclass(frozen=True)
class Derived(Slotted):
  more: int = 1


def test_dataclasses_of_every_kind_are_made() -> None:
  assert fit(Slotted, {"joules": 1.5}) == Slotted(1.5)
  assert fit(Derived, {"joules": 1.5, "more": 2}) == Derived(1.5, more=2)
  assert fit(Checked, {"joules": 1.5}) == Checked(1.5)


def test_fields_of_a_newer_version_are_kept_where_there_is_a_place() -> None:
  newer = WHOLE | {"later": [1], "looks": [{"accuracy": 0, "later": 2}]}
  found = fit(Result, newer)
  assert found.extra == {"later": [1]}
  assert found.looks == (Look(0),)


@pytest.mark.parametrize(
  ("change", "line"),
  [
    ({"name": 7}, "name: 7 is not a text"),
    ({"name": None}, "name: null is not a text"),
    ({"status": "banana"}, "status: 'banana' is not reached or missed"),
    ({"status": "\x1b[2J"}, r"status: '\x1b[2J' is not reached or missed"),
    ({"count": 1.5}, "count: 1.5 is not a whole number"),
    ({"count": True}, "count: true is not a whole number"),
    ({"whole": 1}, "whole: 1 is not true or false"),
    ({"looks": {}}, "looks: an object is not a list"),
    ({"looks": [3]}, "looks[0]: 3 is not an object"),
    ({"looks": [{}]}, "looks[0]: has no field accuracy"),
    (
      {"looks": [{"accuracy": 0.5}, {"accuracy": 7}]},
      "looks[1].accuracy: 7 is not 0 to 1",
    ),
    (
      {"looks": [{"accuracy": 0.5, "joules": -5.0}]},
      "looks[0].joules: -5 is not 0 or more",
    ),
    (
      {"looks": [{"accuracy": float("inf")}]},
      "looks[0].accuracy: inf is not a number",
    ),
    ({"shares": {"a b\n": 2}}, r"shares['a b\n']: 2 is not 0 to 1"),
    ({"shares": {"label": "x"}}, "shares.label: 'x' is not a number"),
    ({"value": []}, "value: a list is not a number"),
    ({"name": ["x" * 99]}, "name: a list is not a text"),
    ({"count": "x" * 99}, f"count: '{'x' * 36}... is not a whole number"),
  ],
)
def test_what_does_not_fit_is_named_with_its_place(
  change: dict[str, Any], line: str
) -> None:
  with pytest.raises(ReadError) as error:
    fit(Result, WHOLE | change)
  assert str(error.value) == line


@pytest.mark.parametrize(
  ("content", "reason"),
  [
    (b"", "Expecting value (line 1, column 1)"),
    (b"{\n1", "Expecting property name enclosed in double quotes (line 2, co"),
    (b"\xff\xfe\xff", "holds what is no character"),
    (b'"\xed\xa0\x80"', "holds what is no character"),
    (b'"\\ud800"', "holds what is no character"),
    (b"[" * 100_000, "nested too deeply"),
    (b"[" * 101 + b"1" + b"]" * 101, "nested too deeply"),
    (b'{"a":' * 101 + b"1" + b"}" * 101, "nested too deeply"),
    (b"9" * 5000, "Exceeds the limit (4300 digits) for integer string conver"),
    (b'{"a": NaN}', "holds NaN"),
    (b"-Infinity", "holds -Infinity"),
  ],
)
def test_what_is_no_json_is_one_line(content: bytes, reason: str) -> None:
  with pytest.raises(ReadError) as error:
    parse_json(content)
  assert str(error.value).startswith(f"not JSON: {reason}")
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_any_encoding_is_read(encoding: str) -> None:
  text = json.dumps({"a": "ü😀"}, ensure_ascii=False)
  assert parse_json(text.encode(encoding)) == {"a": "ü😀"}
  assert parse_json(json.dumps({"a": "😀"})) == {"a": "😀"}


def test_many_brackets_are_not_deep() -> None:
  assert parse_json(b"[" + b"[]," * 500 + b"[]]") == [[]] * 501
  assert parse_json(b"[" * 100 + b"]" * 100)


ANYTHING = st.recursive(
  st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(
      st.sampled_from([*WHOLE, "accuracy", "joules"]) | st.text(), inner
    )
  ),
)


@given(value=ANYTHING)
def test_nothing_but_a_line_comes_of_anything(value: Any) -> None:
  for found_in in (value, [value], WHOLE | {"looks": value}):
    try:
      found = fit(Result, found_in)
    except ReadError as error:
      assert str(error).isprintable()
    else:
      assert all(0 <= look.accuracy <= 1 for look in found.looks)


@given(content=st.binary() | st.text().map(str.encode))
def test_any_bytes_are_json_or_a_line(content: bytes) -> None:
  try:
    parse_json(content)
  except ReadError as error:
    assert "\n" not in str(error)


def test_a_file_is_named_with_what_it_should_be(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "origin.json"
  with pytest.raises(ReadError) as error:
    load_json(path, Look, "the origin of weights")
  assert str(error.value) == (
    f"{path}: cannot be read (No such file or directory)"
  )
  path.write_text('{"accuracy": 3}')
  with pytest.raises(ReadError) as error:
    load_json(path, Look, "the origin of weights")
  assert str(error.value) == (
    f"{path}: not the origin of weights (accuracy: 3 is not 0 to 1)"
  )
  path.write_text('{"accuracy": 1}')
  assert load_json(path, Look, "the origin of weights") == Look(1)


def test_numbers_that_json_has_not_become_null() -> None:
  value = {"a": [1.0, float("nan")], "b": (float("-inf"), 2), "c": "nan"}
  assert readers.finite(value) == {"a": [1.0, None], "b": [None, 2], "c": "nan"}
