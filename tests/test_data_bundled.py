import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from jaxpower.data import DataError, DataSet, bundled, debian, load
from jaxpower.data.facts import channel_moments

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module", params=sorted(bundled.BUNDLED))
def data(request: pytest.FixtureRequest) -> DataSet:
  return load(request.param)


def test_the_file_is_what_its_facts_say(data: DataSet):
  facts = data.facts
  for split, examples in (
    (data.train, facts.train_examples),
    (data.test, facts.test_examples),
  ):
    assert split["input"].shape == (examples, *facts.input_shape)
    assert split["input"].dtype == facts.input_dtype
    assert split["label"].shape == (examples,)
    assert split["label"].dtype == np.int32
    counts = np.bincount(split["label"], minlength=facts.classes)
    assert counts.tolist() == [examples // facts.classes] * facts.classes
  assert facts.fingerprint == f"sha256:{data.sha256}"


def test_no_test_image_is_a_training_image(data: DataSet):
  train = {image.tobytes() for image in data.train["input"]}
  test = {image.tobytes() for image in data.test["input"]}
  assert not train & test


def test_mean_and_deviation_are_those_of_the_training_inputs(data: DataSet):
  inputs = data.train["input"].astype(np.float64)
  axes = tuple(range(inputs.ndim - 1))
  assert data.mean.dtype == data.std.dtype == np.float32
  np.testing.assert_allclose(data.mean, inputs.mean(axes), rtol=1e-6)
  np.testing.assert_allclose(data.std, inputs.std(axes), rtol=1e-6)


def test_the_bundle_stays_small_and_its_licence_is_kept():
  assert sum(f.stat().st_size for f in bundled.FILES.iterdir()) < 10e6
  licences = (bundled.FILES / "LICENSES.md").read_text()
  for name in bundled.BUNDLED:
    assert f"## {name}.npz" in licences
  assert "Copyright (c) 2017 Zalando SE" in licences


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "other"])
def test_a_damaged_file_is_told(
  damage: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  name = "fashion_mnist_6k"
  content = bytearray((bundled.FILES / f"{name}.npz").read_bytes())
  if damage == "cut":
    del content[len(content) // 2 :]
  if damage == "flipped":
    content[len(content) // 2] ^= 1
  file = tmp_path / f"{name}.npz"
  if damage == "other":
    data = load(name)
    arrays = {
      f"{split}_{part}": array[::-1]
      for split, parts in (("train", data.train), ("test", data.test))
      for part, array in parts.items()
    }
    np.savez(file, allow_pickle=False, **arrays)
  elif damage != "gone":
    file.write_bytes(content)
  monkeypatch.setattr(bundled, "FILES", tmp_path)
  with pytest.raises(DataError, match=r"is damaged.*mend: install jaxpower"):
    load(name)


def test_moments_of_numbers_that_are_not_bytes():
  inputs = np.array([[[1.0, 5.0]], [[3.0, 5.0]]], np.float32)
  mean, std = channel_moments(inputs)
  assert mean.tolist() == [2.0, 5.0]
  assert std.tolist() == [1.0, 1.0]  # 1 for the constant channel


def test_the_script_makes_this_very_file():
  if debian.find_files() is None:
    pytest.skip(f"Debian's package {debian.PACKAGE} is not installed")
  done = subprocess.run(
    [sys.executable, "scripts/make_bundled_data.py", "--check"],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 0, done.stderr
  assert "the arrays are those of" in done.stdout
