import dataclasses
from typing import Any

import pytest

from jaxpower.learn import devices
from jaxpower.learn.devices import make_mesh


def test_cpu_devices_share_the_memory_of_the_machine(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(devices, "host_bytes", lambda: 24 << 30)
  assert devices.memory_bytes(make_mesh(1)) == 24 << 30
  assert devices.memory_bytes(make_mesh(4)) == 6 << 30


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
    process_index = 0

    def memory_stats(self) -> dict[str, int] | None:
      return stats

  class Mesh:
    class devices:  # noqa: N801, named as in jax
      flat = (Gpu(),)

  mesh: Any = Mesh()
  assert devices.memory_bytes(mesh) == expected
