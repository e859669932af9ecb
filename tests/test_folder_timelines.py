import math
import pathlib
from array import array
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

from jaxpower.folder import timelines
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


def test_both_files_say_when_it_was_on_the_wall(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "joined.parquet"
  times = {
    "started_utc": "2026-11-26T23:47:52.125Z",
    "monotonic_origin_seconds": 81234.0625,
  }
  timelines.write(path, [], [], times)
  for file in (path, path.with_suffix(".windows.parquet")):
    metadata = pq.read_schema(file).metadata
    assert metadata[b"started_utc"] == b"2026-11-26T23:47:52.125Z"
    assert float(metadata[b"monotonic_origin_seconds"]) == 81234.0625


def test_the_recipe_of_the_docs_joins_a_log(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  page = (
    pathlib.Path(__file__).parent.parent / "docs" / "records.md"
  ).read_text()
  part = page.split("## Joining another log")[1]
  recipe = part.split("```python\n")[1].split("```")[0]
  timelines.write(
    tmp_path / "runs" / "batch" / "timelines" / "5ac604d641a1.parquet",
    [],
    [
      Window("idle", 1010.0, 5.0, 10.0, None, ()),
      Window("train", 1020.0, 2.0, 180.0, None, ()),
    ],
    {
      "started_utc": "2026-11-26T23:47:52.000Z",
      "monotonic_origin_seconds": 1010.0,
    },
  )
  # The ten seconds after which training begins are counted from the origin.
  log = "utc,watts\n" + "".join(
    f"2026-11-26T23:48:{second:02}Z,{watts}\n"
    for second, watts in ((1, 40), (2, 100), (3, 110), (4, 60))
  )
  (tmp_path / "pdu.csv").write_text(log)
  monkeypatch.chdir(tmp_path)
  exec(recipe, {})
  assert capsys.readouterr().out.split() == [
    "train",
    "2026-11-26T23:48:02+00:00",
    "180.0",
    "210.0",
  ]


def test_a_long_timeline_is_written_as_it_is_read(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """A group of rows at a time: what comes later is not read yet."""
  monkeypatch.setattr(timelines, "GROUP_ROWS", 5)
  written, begun = [], []
  group = pq.ParquetWriter.write_table

  def write_table(self: pq.ParquetWriter, table: Any) -> None:
    written.append(len(begun))
    group(self, table)

  monkeypatch.setattr(pq.ParquetWriter, "write_table", write_table)

  def chunks() -> Iterator[Chunk]:
    for i in range(8):
      begun.append(i)
      seconds = array("d", [3 * i, 3 * i + 1, 3 * i + 2])
      yield Chunk(f"gpu:{i // 4}", seconds, seconds, seconds)

  path = tmp_path / "long.parquet"
  timelines.write(path, chunks(), [])
  assert written[:4] == [2, 4, 6, 8]
  file = pq.ParquetFile(path)
  assert file.num_row_groups == 4
  rows = file.read().to_pydict()
  assert rows["joules"] == [float(i) for i in range(24)]
  assert rows["domain"] == ["gpu:0"] * 12 + ["gpu:1"] * 12
