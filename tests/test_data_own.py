"""Arrays of the user's: a function, an archive, a folder."""

import pathlib

import numpy as np
import pytest

from jaxpower import data
from jaxpower.data import DataError, own
from tests import user_files


@pytest.fixture
def here(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
  monkeypatch.chdir(tmp_path)
  return user_files.write(
    tmp_path, sets=user_files.ARRAYS, wide_arrays=user_files.HELPER
  )


def splits(seed: int = 0) -> dict[str, np.ndarray]:
  train, test = user_files.arrays(0, 200), user_files.arrays(seed + 1, 60)
  return {
    "train_input": train[0],
    "train_label": train[1],
    "test_input": test[0],
    "test_label": test[1],
  }


def test_all_three_forms_are_the_same_set(here: pathlib.Path) -> None:
  np.savez(here / "arrays.npz", **splits())  # type: ignore[arg-type]
  (here / "arrays").mkdir()
  for name, values in splits().items():
    np.save(here / "arrays" / f"{name}.npy", values)
  names = ("sets.py:load", "arrays.npz", "./arrays")
  described = [data.describe(name) for name in names]
  loaded = [data.load(name) for name in names]
  for facts, found in zip(described, loaded, strict=True):
    assert facts == found.facts
    assert facts.fingerprint == described[0].fingerprint
    assert (facts.train_examples, facts.test_examples) == (200, 60)
    assert (facts.kind, facts.input_shape) == ("image", (4, 4, 1))
    assert facts.labels == {"label": 3}
    assert found.sha256 == loaded[0].sha256
  assert isinstance(loaded[2].train["input"].base, np.memmap)


def test_a_function_is_called_in_a_child_by_whoever_plans(
  here: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  path = here / "sets.py"
  path.write_text(
    path.read_text()
    + "\nimport os, pathlib, sys\n"
    + "print('noise'); print('noise', file=sys.stderr)\n"
    + "gpus = os.environ.get('CUDA_VISIBLE_DEVICES')\n"
    + "pathlib.Path('pid').write_text(f'{os.getpid()} {gpus!r}')\n"
  )
  data.describe("sets.py:load")
  pid, gpus = (here / "pid").read_text().split()
  assert (int(pid) != own.os.getpid(), gpus) == (True, "''")
  monkeypatch.setenv(own.WORKER, "1")  # a worker calls it itself
  data.describe("sets.py:load")
  assert (here / "pid").read_text().split()[0] == str(own.os.getpid())


def test_validation_is_taken_from_the_set_or_held_back(
  here: pathlib.Path,
) -> None:
  arrays = splits()
  np.savez(here / "two.npz", **arrays)  # type: ignore[arg-type]
  inputs, labels = user_files.arrays(7, 50)
  own_split = {"validation_input": inputs, "validation_label": labels}
  np.savez(here / "three.npz", **arrays, **own_split)  # type: ignore[arg-type]
  two = data.load("two.npz", validation_share=0.1)
  three = data.load("three.npz", validation_share=0.1)
  assert two.validation is not None and two.left is not None
  assert (len(two.validation["label"]), len(two.left)) == (20, 180)
  assert three.validation is not None and three.left is None
  assert len(three.validation["label"]) == 50
  assert data.load("three.npz").validation is None
  assert data.left_examples(data.describe("three.npz"), 0.1) == 200
  assert two.facts.fingerprint != three.facts.fingerprint


def test_sets_of_the_users_are_mixed_with_others(here: pathlib.Path) -> None:
  arrays = splits()
  for name, (examples, classes) in {"a": (40, 2), "b": (60, 3)}.items():
    random = np.random.default_rng(classes)
    np.savez(
      here / f"{name}.npz",
      train_input=random.integers(0, 255, (examples, 4, 4), np.uint8),
      train_label=np.arange(examples) % classes,
      test_input=arrays["test_input"],
      test_label=np.arange(60) % classes,
    )
  mixed = data.load("a.npz+b.npz")
  assert mixed.facts.labels == {"a.npz": 2, "b.npz": 3}
  assert mixed.facts.train_examples == 100
  assert data.is_own("digits+b.npz")
  assert not data.is_own("digits+mnist_5k")


@pytest.mark.parametrize(
  ("name", "text", "line"),
  [
    ("sets.py:laod", None, "does not define laod; did you mean load?"),
    ("stes.py:load", None, "stes.py is not there; did you mean sets.py?"),
    ("sets.py", None, "sets.py: which function of it? write sets.py:load"),
    ("arrys.npz", None, "No such file or directory; did you mean arrays.npz?"),
    ("./nowhere", None, "nowhere: No such file or directory"),
    ("arrays.npz", None, "arrays.npz cannot be read: "),
    ("folder", None, "to read the folder of that name write ./folder"),
    ("sets.py:load", "def load(): 1/0", "line 1: ZeroDivisionError: division"),
    (
      "sets.py:load",
      "import os\ndef load():\n  print('dying', file=os.sys.stderr)\n"
      "  os.sys.stderr.flush()\n  os._exit(3)",
      "ended its process (3): dying",
    ),
    ("sets.py:load", "def load(): return 3", "returned an int; return a dict"),
    (
      "sets.py:load",
      "def load(): return {'train': 3}",
      "train is an int; give {",
    ),
  ],
)
def test_what_is_wrong_is_one_line(
  name: str, text: str | None, line: str, here: pathlib.Path
) -> None:
  (here / "arrays.npz").write_text("no archive")
  (here / "folder").mkdir()
  if text is not None:
    (here / "sets.py").write_text(text)
  for call in (data.describe, data.load) if text is None else (data.describe,):
    with pytest.raises(DataError) as raised:
      call(name)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_archive_of_other_names_is_refused(here: pathlib.Path) -> None:
  np.savez(here / "x.npz", x_train=np.zeros(3), train_input=np.zeros((3, 2)))
  with pytest.raises(DataError, match=r"x\.npz: what is x_train\? arrays are"):
    data.describe("x.npz")
