"""Many values read at once: the same as one after the other."""

import dataclasses
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.readers import (
  KEEP_OTHERS,
  Between,
  ReadError,
  check_parts,
  fit,
)
from jaxpower.readers_many import check_parts_of_all, fit_all


@dataclasses.dataclass(frozen=True)
class Look:
  accuracy: Annotated[float, Between(0, 1)]
  joules: Annotated[float, Between(0)] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
  count: int


@dataclasses.dataclass(frozen=True)
class Result:
  name: str
  status: Literal["reached", "missed"]
  whole: bool = True
  looks: tuple[Look, ...] = ()
  first: Look | None = None
  shares: dict[str, Annotated[float, Between(0, 1)]] | None = None
  words: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
  value: float | str | None = None
  slotted: Slotted | None = None
  extra: dict[str, Any] = dataclasses.field(
    default_factory=dict, metadata=KEEP_OTHERS
  )


ONE: dict[str, Any] = {
  "name": "a",
  "status": "reached",
  "looks": [{"accuracy": 1, "joules": 2.5}, {"accuracy": 0.5}],
  "first": {"accuracy": 0.25},
  "shares": {"label": 0.25},
  "words": {"a": ["b", "c"], "d": []},
  "value": "x",
  "slotted": {"count": 3},
}
MANY = [
  ONE,
  ONE | {"name": "b", "looks": [], "value": 2.5, "shares": None},
  {"status": "missed", "name": "c"},
  ONE | {"first": None, "later": [1], "slotted": None, "words": {}},
]


def test_many_are_what_each_of_them_is() -> None:
  assert fit_all(Result, MANY) == [fit(Result, each) for each in MANY]
  assert fit_all(Result, []) == []


@pytest.mark.parametrize(
  "change",
  [
    {"name": 7},
    {"name": None},
    {"status": "banana"},
    {"whole": 1},
    {"looks": {}},
    {"looks": [3]},
    {"looks": [{}]},
    {"looks": [{"accuracy": 7}]},
    {"looks": [{"accuracy": True}]},
    {"looks": [{"accuracy": 0.5, "joules": -5.0}]},
    {"looks": [{"accuracy": 0.5, "joules": float("inf")}]},
    {"first": []},
    {"shares": {"a": 2}},
    {"shares": {"a": None}},
    {"words": {"a": "b"}},
    {"words": {"a": ["b", 1]}},
    {"value": []},
    {"slotted": {"count": 1.5}},
  ],
)
def test_one_that_does_not_fit_is_found(change: dict[str, Any]) -> None:
  with pytest.raises(ReadError):
    fit(Result, ONE | change)
  with pytest.raises(ReadError):
    fit_all(Result, [*MANY, ONE | change, ONE])


ANYTHING = st.recursive(
  st.none()
  | st.booleans()
  | st.floats(allow_nan=False)
  | st.integers()
  | st.sampled_from(["reached", "missed"]),
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*ONE, "accuracy", "joules"]), inner)
  ),
)


@given(changes=st.lists(st.dictionaries(st.sampled_from([*ONE]), ANYTHING)))
def test_anything_is_judged_as_each_alone(
  changes: list[dict[str, Any]],
) -> None:
  values = [ONE | change for change in changes]
  try:
    each = [fit(Result, value) for value in values]
  except ReadError:
    with pytest.raises(ReadError):
      fit_all(Result, values)
  else:
    assert fit_all(Result, values) == each


@given(parts=st.lists(st.dictionaries(st.sampled_from([*ONE]), ANYTHING)))
def test_parts_are_checked_as_each_alone(parts: list[dict[str, Any]]) -> None:
  try:
    for part in parts:
      check_parts(Result, part)
  except ReadError:
    with pytest.raises(ReadError):
      check_parts_of_all(Result, parts)
  else:
    check_parts_of_all(Result, parts)
