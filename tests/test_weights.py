import json
import pathlib
import subprocess
from collections.abc import Callable

import pytest

from jaxpower import weights


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
  checkpoint = tmp_path / "checkpoints" / "5ac604d641a1"
  (checkpoint / "12" / "d").mkdir(parents=True)
  (checkpoint / "12" / "manifest").write_bytes(b"\x00\x01")
  (checkpoint / "12" / "d" / "7c7fa5b7").write_bytes(bytes(range(256)) * 40)
  weights.seal(checkpoint)
  return checkpoint


def test_what_is_sealed_is_whole(folder: pathlib.Path) -> None:
  assert weights.problem(folder) == ""
  weights.require_whole(folder)
  assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_seal_is_what_coreutils_read(folder: pathlib.Path) -> None:
  done = subprocess.run(
    ["sha256sum", "--check", "--quiet", weights.SUMS],
    cwd=folder,
    capture_output=True,
  )
  assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def flip_bit(folder: pathlib.Path) -> None:
  path = folder / "12" / "d" / "7c7fa5b7"
  content = bytearray(path.read_bytes())
  content[5_000] ^= 1
  path.write_bytes(content)


def truncate(folder: pathlib.Path) -> None:
  path = folder / "12" / "d" / "7c7fa5b7"
  path.write_bytes(path.read_bytes()[:-1])


def rename_in_sums(folder: pathlib.Path) -> None:
  """A name that Python's `splitlines` would cut."""
  path = folder / weights.SUMS
  path.write_text(path.read_text().removesuffix("\n") + "\v")


@pytest.mark.parametrize(
  ("harm", "problem"),
  [
    (flip_bit, "12/d/7c7fa5b7 is damaged: its checksum is another"),
    (truncate, "12/d/7c7fa5b7 is damaged: its checksum is another"),
    (lambda f: (f / "12" / "manifest").unlink(), "12/manifest is missing"),
    (
      lambda f: (f / weights.SUMS).unlink(),
      " was not written to its end (no SHA256SUMS)",
    ),
    (lambda f: (f / weights.SUMS).write_text("?\n"), "SHA256SUMS cannot be"),
    (
      lambda f: (f / weights.SUMS).write_bytes(b"\xff\xfe"),
      "SHA256SUMS cannot be read",
    ),
    (rename_in_sums, "is missing"),
    (lambda f: (f / "16").write_text(""), "16 was not there when the weights"),
    (lambda f: f.rename(f.with_name("elsewhere")), " is not there"),
  ],
)
def test_what_is_wrong_is_named(
  folder: pathlib.Path, harm: Callable[[pathlib.Path], object], problem: str
) -> None:
  harm(folder)
  assert weights.problem(folder).startswith(str(folder))
  assert problem in weights.problem(folder)
  with pytest.raises(weights.WeightsError, match=folder.name):
    weights.require_whole(folder)


def test_the_origin_of_weights_is_read(folder: pathlib.Path) -> None:
  unstated = weights.origin(folder)
  assert (unstated["joules"], unstated["source"]) == (None, None)
  (folder / weights.ORIGIN).write_text(
    json.dumps(
      {
        "source": "torchvision ResNet18_Weights.IMAGENET1K_V1",
        "joules_spent": 3.1e7,
        "joules_source": "metered by their authors",
      }
    )
  )
  weights.seal(folder)
  stated = weights.origin(folder)
  assert stated["path"] == str(folder)
  assert (stated["joules"], stated["source"]) == (
    3.1e7,
    "metered by their authors",
  )
  assert stated["sha256"] != unstated["sha256"]


@pytest.mark.parametrize(
  ("content", "reason"),
  [
    ("", "not JSON"),
    ("[" * 5_000, "not JSON: nested too deeply"),
    ("[]", "a list is not an object"),
    ('{"joules_spent": -5}', "joules_spent: -5 is not 0 to 1e+18"),
    ('{"joules_spent": "many"}', "joules_spent: 'many' is not a number"),
    ('{"joules_spent": NaN}', "not JSON: holds NaN"),
    ('{"joules_spent": true}', "joules_spent: true is not a number"),
    ('{"heads": 0}', "heads: 0 is not 1 to 10000"),
    ('{"source": 3}', "source: 3 is not a text"),
  ],
)
def test_a_damaged_origin_is_one_line(
  folder: pathlib.Path, content: str, reason: str
) -> None:
  (folder / weights.ORIGIN).write_text(content)
  with pytest.raises(weights.WeightsError) as refused:
    weights.facts(folder)
  line = f"{folder / weights.ORIGIN}: not the origin of weights ({reason}"
  assert str(refused.value).startswith(line)
  assert "\n" not in str(refused.value)


def test_a_path_that_no_folder_can_have_is_said() -> None:
  assert "File name too long" in weights.problem(pathlib.Path("a" * 300))
  assert weights.problem(pathlib.Path("a\0b")).endswith("is not there")


@pytest.mark.parametrize("name", ["../beside", "a" * 300])
def test_a_checksum_of_a_file_elsewhere_is_refused(
  folder: pathlib.Path, name: str
) -> None:
  (folder.parent / "beside").write_bytes(b"1")
  digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
  with (folder / weights.SUMS).open("a") as file:
    file.write(f"{digest}  {name}\n")
  assert weights.problem(folder) == f"{folder / name} is missing"
