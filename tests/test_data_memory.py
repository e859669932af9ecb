import pathlib

import pytest

from jaxpower import data
from jaxpower.data import streaming

SETS = data.load("digits")
# 1,797 images of 64 bytes with a label of four.
NEEDED = 1_797 * (64 + 4)


@pytest.mark.parametrize(
  ("choice", "room", "expected"),
  [
    ("auto", 2 * NEEDED, False),
    ("auto", 2 * NEEDED - 2, True),
    ("auto", None, False),
    ("always", 2 * NEEDED, True),
    ("never", 1, False),
  ],
)
def test_a_set_is_streamed_where_it_takes_more_than_half(
  choice: str, room: int | None, expected: bool
) -> None:
  assert streaming.is_streamed(choice, SETS, room) == expected


@pytest.mark.parametrize(
  ("content", "expected"),
  [("1048576\n", 1 << 20), ("max\n", None), (None, None)],
)
def test_a_container_is_smaller_than_its_machine(
  content: str | None,
  expected: int | None,
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  file = tmp_path / "memory.max"
  if content:
    file.write_text(content)
  monkeypatch.setattr(streaming, "LIMIT", file)
  found = streaming.host_bytes()
  assert found == expected if expected else found > 1 << 28
