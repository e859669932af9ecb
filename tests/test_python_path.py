import os
import pathlib
import sys

import pytest

import jaxpower
from jaxpower import python_path
from jaxpower.power import board_settings
from jaxpower.workers import rank_process, worker

HERE = pathlib.Path(jaxpower.__file__).parents[1]


@pytest.mark.parametrize(
  ("given", "expected"),
  [
    (None, [HERE]),
    ("", [HERE]),
    (f"{os.pathsep}/a", [HERE, "/a"]),
    (f"/a{os.pathsep}{os.pathsep}/b{os.pathsep}", [HERE, "/a", "/b"]),
  ],
)
def test_no_child_looks_in_the_current_folder(
  given: str | None, expected: list[pathlib.Path | str]
) -> None:
  variables = {} if given is None else {"PYTHONPATH": given, "A": "1"}
  wanted = os.pathsep.join(map(str, expected))
  assert python_path.of_child(variables) == {"PYTHONPATH": wanted}
  assert worker.environment(variables, "jax")["PYTHONPATH"] == wanted
  of_rank = rank_process.environment(variables, {"B": "2"})
  assert of_rank == variables | {"PYTHONPATH": wanted, "B": "2"}
  assert board_settings.environment(variables) == {
    **variables,
    "PYTHONPATH": wanted,
  }


def test_the_package_of_this_process_is_that_of_its_children() -> None:
  assert str(HERE) in {str(pathlib.Path(p).absolute()) for p in sys.path}
