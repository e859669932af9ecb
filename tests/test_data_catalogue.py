import pathlib
import subprocess
import sys

import pytest

from jaxpower import data
from jaxpower.data import bundled, prepared


def test_the_names_are_those_of_both_kinds():
  assert set(data.names()) == {*bundled.BUNDLED, *prepared.KNOWN}


def test_a_check_of_a_config_opens_no_framework():
  # The parent of a sweep must start fast and leave the devices alone.
  program = """
import sys
from jaxpower import data
data.describe("fashion_mnist_6k")
try:
  data.describe("no_such_set")
except data.DataError:
  pass
heavy = {"jax", "tensorflow", "tensorflow_datasets", "PIL", "requests"}
sys.exit(" ".join(heavy & sys.modules.keys()) or 0)
"""
  done = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
  )
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["austen@64", "digits:1.0.0"])
def test_a_bundled_set_has_one_form(name: str, tmp_path: pathlib.Path):
  with pytest.raises(data.DataError, match=r"in one form; name it '\w+', not"):
    data.describe(name, tmp_path)


def test_the_bundled_facts_cost_no_reading(monkeypatch):
  monkeypatch.setattr(bundled, "FILES", None)
  assert data.describe("fashion_mnist_6k").classes == 10
