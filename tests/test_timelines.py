import math
import pathlib
from array import array

import pyarrow.parquet as pq

from jaxpower import timelines
from jaxpower.power import Chunk, Load, Window


def test_readings_and_windows_can_be_read_again(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "timelines" / "5ac604d641a1.parquet"
  timelines.write(
    path,
    [
      Chunk("cpu", *(array("d", [v]) for v in (0.5, 2.0, math.nan))),
      Chunk("gpu:0", *(array("d", [v]) for v in (0.75, math.nan, 90.0))),
    ],
    [
      Window("train", 0.5, 2.0, 180.0, None, (), load=Load(0.25, 0.0)),
      Window("eval", 2.5, 0.5, None, None, ()),
    ],
  )
  assert pq.read_table(path).to_pydict() == {
    "domain": ["cpu", "gpu:0"],
    "seconds": [0.5, 0.75],
    "joules": [2.0, None],
    "watts": [None, 90.0],
  }
  windows = path.with_suffix(".windows.parquet")
  assert pq.read_table(windows).to_pydict() == {
    "phase": ["train", "eval"],
    "start_seconds": [0.5, 2.5],
    "seconds": [2.0, 0.5],
    "joules": [180.0, None],
    "joules_bound": [None, None],
    "other_load_cores": [0.25, None],
    "steal_cores": [0.0, None],
  }
  assert {*path.parent.iterdir()} == {path, windows}, "nothing unfinished"


def test_a_column_without_a_value_has_its_type(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "empty.parquet"
  timelines.write(path, [], [])
  types = {field.name: str(field.type) for field in pq.read_schema(path)}
  assert types == {
    "domain": "string",
    "seconds": "double",
    "joules": "double",
    "watts": "double",
  }
