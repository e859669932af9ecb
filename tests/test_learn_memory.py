import dataclasses
import pathlib
from typing import Any

import pytest

from jaxpower import config, data
from jaxpower.learn import memory
from jaxpower.learn.state import make_mesh

SETS = data.load("digits")
# 1,797 images of 64 bytes with a label of four.
NEEDED = 1_797 * (64 + 4)


@pytest.mark.parametrize(
  ("streaming", "room", "expected"),
  [
    ("auto", 2 * NEEDED, False),
    ("auto", 2 * NEEDED - 2, True),
    ("auto", None, False),
    ("always", 2 * NEEDED, True),
    ("never", 1, False),
  ],
)
def test_a_set_is_streamed_where_it_takes_more_than_half(
  streaming: str,
  room: int | None,
  expected: bool,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(memory, "memory_bytes", lambda mesh: room)
  trial = config.Trial(data="digits", streaming=streaming)
  assert memory.is_streamed(trial, SETS, make_mesh(1)) == expected


def test_cpu_devices_share_the_memory_of_the_machine(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(memory, "host_bytes", lambda: 24 << 30)
  assert memory.memory_bytes(make_mesh(1)) == 24 << 30
  assert memory.memory_bytes(make_mesh(4)) == 6 << 30


@pytest.mark.parametrize(
  ("stats", "expected"),
  [({"bytes_limit": 80 << 30, "bytes_in_use": 5}, 80 << 30), (None, None)],
)
def test_a_gpu_tells_its_own_memory(
  stats: dict[str, int] | None, expected: int | None
) -> None:
  @dataclasses.dataclass
  class Gpu:
    platform = "gpu"

    def memory_stats(self) -> dict[str, int] | None:
      return stats

  class Mesh:
    class devices:  # noqa: N801, named as in jax
      flat = (Gpu(),)

  mesh: Any = Mesh()
  assert memory.memory_bytes(mesh) == expected


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
  monkeypatch.setattr(memory, "LIMIT", file)
  found = memory.host_bytes()
  assert found == expected if expected else found > 1 << 28
