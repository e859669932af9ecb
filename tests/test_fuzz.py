"""Damaged input to every reader: the short form of tests/fuzz.py."""

import pathlib

import fuzz
import pytest

# Not every field may have the value that it is given there.
UNLIKE = {"flags of fields", "command line of run"}
INPUTS = 25  # to each reader; `python tests/fuzz.py` takes 120,000 together


@pytest.mark.parametrize("name", fuzz.readers())
def test_damaged_input_is_refused_in_one_line_or_taken(
  name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.chdir(tmp_path)  # a damaged path may name anything
  result = fuzz.feed(fuzz.readers()[name], INPUTS, seed=1)
  assert result.taken + result.refused == INPUTS, result.examples


@pytest.mark.parametrize("name", sorted(set(fuzz.readers()) - UNLIKE))
def test_inputs_begin_as_right_ones(
  name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.chdir(tmp_path)
  reader = fuzz.readers()[name]
  for given in reader.inputs:
    reader.read(given, tmp_path)


def test_what_is_looked_for_is_found() -> None:
  def fail(given: str, folder: pathlib.Path) -> None:
    if len(given) % 3 == 0:
      raise KeyError(given)
    if len(given) % 3 == 1:
      raise fuzz.NonsenseError("odd")

  result = fuzz.feed(fuzz.Reader(("abc",), fail, ()), 200, seed=0)
  assert {what.split(" ")[0] for what in result.found} == {
    "KeyError",
    "nonsense:",
  }
