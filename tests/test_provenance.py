import json
import subprocess
import sys

import numpy as np
import pytest

from jaxpower import provenance


def test_what_is_collected_can_be_written() -> None:
  collected = json.loads(json.dumps(provenance.collect()))
  assert collected["versions"]["numpy"] == np.__version__
  assert collected["versions"]["python"] == sys.version.split()[0]
  assert collected["cpu_count"] >= collected["cpus_usable"] >= 1


def test_no_git_leaves_the_revision_unknown(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  def missing(*args: object, **kwargs: object) -> None:
    raise FileNotFoundError("git")

  monkeypatch.setattr(subprocess, "run", missing)
  assert provenance.collect()["git_revision"] is None


def test_only_settings_of_the_frameworks_are_kept(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
  monkeypatch.setenv("SECRET_TOKEN", "hunter2")
  environment = provenance.collect()["environment"]
  assert environment["CUDA_VISIBLE_DEVICES"] == "1,0"
  assert "hunter2" not in json.dumps(environment)
