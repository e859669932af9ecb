import pathlib

import pytest

from jaxpower.workers import host_memory


def test_the_nearest_counter_counts(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  near, far = tmp_path / "memory.events", tmp_path / "vmstat"
  monkeypatch.setattr(host_memory, "COUNTERS", (str(near), str(far)))
  assert host_memory.processes_killed() is None
  assert not host_memory.killed_since(None)
  far.write_text("nr_free_pages 12\noom_kill 7\n")
  assert host_memory.processes_killed() == 7
  near.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
  assert host_memory.processes_killed() == 2
  assert host_memory.killed_since(1)
  assert not host_memory.killed_since(2)
