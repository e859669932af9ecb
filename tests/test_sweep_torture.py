"""The short form of `make torture`: real runs, killed at random instants."""

import pathlib
import random

import pytest

from benchmarks import torture


@pytest.mark.slow
def test_a_sweep_survives_being_killed(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.delenv("XLA_FLAGS", raising=False)  # as a user runs it
  monkeypatch.setenv("PYTHONPATH", str(torture.ROOT))
  counts = torture.torture(tmp_path, 1, 1, random.Random(14))
  facts = torture.summary(counts)
  assert facts["faults"] == []
  assert facts["trials_equal_to_undisturbed"] == facts["trials"] > 0
