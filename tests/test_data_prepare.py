import functools
import gzip
import http.server
import io
import os
import pathlib
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums, extractor
from tensorflow_datasets.image_classification import cifar

from jaxpower.data import DataError, debian, load, prepare
from jaxpower.data.tensorflow_free import tensorflow_free
from jaxpower.folder import record_files

ROOT = pathlib.Path(__file__).parent.parent


def cifar10_archive(folder: pathlib.Path) -> np.ndarray:
  """Writes a small archive of CIFAR-10's layout; returns its images."""
  folder.mkdir()
  rng = np.random.default_rng(0)
  rows = rng.integers(0, 256, (12, 1 + 3 * 32 * 32), np.uint8)
  rows[:, 0] %= 10
  files = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
  labels = "airplane automobile bird cat deer dog frog horse ship truck"
  members = {
    f"cifar-10-batches-bin/{file}": rows[2 * i : 2 * i + 2].tobytes()
    for i, file in enumerate(files)
  }
  names = labels.replace(" ", "\n").encode() + b"\n"
  members["cifar-10-batches-bin/batches.meta.txt"] = names
  with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
    for name, content in members.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  # The file holds each colour in turn; TFDS gives [32, 32, 3].
  return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


@pytest.fixture
def cifar10(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[pathlib.Path, np.ndarray]:
  """A folder of which the stock builder believes the checksum."""
  folder = tmp_path / "published"
  images = cifar10_archive(folder)
  builder_class = tfds.builder_cls("cifar10")
  info = checksums.compute_url_info(folder / "cifar-10-binary.tar.gz")
  (url,) = builder_class.url_infos or {}
  monkeypatch.setattr(builder_class, "url_infos", {url: info})
  return folder, images


def test_the_stock_builder_runs_without_tensorflow(
  cifar10: tuple[pathlib.Path, np.ndarray], tmp_path: pathlib.Path
):
  folder, images = cifar10
  data_dir = tmp_path / "tfds"
  done = prepare.prepare("cifar10", data_dir, folder)
  assert "tensorflow" not in sys.modules
  assert (done.facts.train_examples, done.facts.test_examples) == (10, 2)
  assert done.seconds is not None
  assert done.folder == data_dir / "cifar10" / done.facts.version
  assert [entry.name for entry in data_dir.iterdir()] == ["cifar10"]
  data = load("cifar10", data_dir)
  for split, expected in ((data.train, images[:10]), (data.test, images[10:])):
    assert {image.tobytes() for image in split["input"]} == {
      image.tobytes() for image in expected
    }

  again = prepare.prepare("cifar10", data_dir, folder)
  assert again.seconds is None
  assert again.facts == done.facts


def test_a_file_with_another_checksum_is_refused_and_nothing_left(
  cifar10: tuple[pathlib.Path, np.ndarray], tmp_path: pathlib.Path
):
  folder, _ = cifar10
  archive = folder / "cifar-10-binary.tar.gz"
  archive.write_bytes(archive.read_bytes() + b"\0")
  data_dir = tmp_path / "tfds"
  with pytest.raises(DataError, match="could not prepare") as error:
    prepare.prepare("cifar10", data_dir, folder)
  assert "\n" not in str(error.value)
  assert not list(data_dir.rglob("*.json"))
  assert not list(data_dir.iterdir())


def test_what_a_killed_preparation_left_is_swept(
  cifar10: tuple[pathlib.Path, np.ndarray], tmp_path: pathlib.Path
):
  data_dir = tmp_path / "tfds"
  half = data_dir / "incomplete.jaxpower.cifar10/cifar10/3.0.2"
  half.mkdir(parents=True)
  (half / "features.json").write_text("{}")
  with pytest.raises(DataError, match="not prepared"):
    load("cifar10", data_dir)
  prepare.prepare("cifar10", data_dir, cifar10[0])
  assert load("cifar10", data_dir).facts.train_examples == 10
  assert [entry.name for entry in data_dir.iterdir()] == ["cifar10"]


def test_a_living_preparation_is_not_swept(
  cifar10: tuple[pathlib.Path, np.ndarray], tmp_path: pathlib.Path
):
  work = tmp_path / "tfds/incomplete.jaxpower.cifar10"
  with prepare._clean_folder(work):
    (work / "half").touch()
    with pytest.raises(DataError, match="another preparation is at work"):
      prepare.prepare("cifar10", tmp_path / "tfds", cifar10[0])
    assert (work / "half").exists()


def test_tensorflow_is_replaced_only_while_preparing():
  builder = object.__new__(cifar.Cifar10)
  before = (extractor.tf, cifar.tf)
  with pytest.raises(KeyError), tensorflow_free(builder):
    assert extractor.tf.compat.as_text(b"name") == "name"
    assert cifar.tf.io.gfile.GFile is open
    raise KeyError
  assert (extractor.tf, cifar.tf) == before


@pytest.mark.parametrize(
  ("name", "source", "message"),
  [
    ("cifr10", None, "no set 'cifr10' to prepare; did you mean 'cifar10'"),
    ("fashion_mnist_6k", None, "comes with jaxpower"),
    ("cifar10/nothing", None, "cannot make 'cifar10/nothing'"),
    ("cifar10:9.9.9", None, "cannot make 'cifar10:9.9.9'"),
    ("a b", None, "not the name of a data set"),
    ("glue/mnli", None, r"hypothesis \(Text\).*premise \(Text\)"),
    (
      "coco/2017",
      None,
      r"cannot make 'coco/2017'.*No module named 'tensorflow",
    ),
    ("cifar10@64", None, r"inputs of fixed shape; name it without @64"),
    ("cifar10@0", None, "not the name of a data set"),
    ("cifar10", "nowhere", "no folder nowhere"),
  ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
  name: str,
  source: str | None,
  message: str,
  tmp_path: pathlib.Path,
  capsys: pytest.CaptureFixture[str],
):
  with pytest.raises(DataError, match=message) as error:
    prepare.prepare(name, tmp_path / "tfds", source)
  assert "\n" not in str(error.value)
  assert not list(tmp_path.iterdir())
  assert capsys.readouterr().out == ""


def test_a_site_out_of_reach_is_told_with_the_files_it_wants(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  requested = []

  def offline(urls: list[str]) -> str:
    requested.extend(urls)
    return "www.cs.toronto.edu is not reached (ConnectionError)"

  monkeypatch.setattr(prepare, "unreachable_reason", offline)
  message = (
    r"cannot be fetched: www\.cs\.toronto\.edu is not reached.*"
    r"fix: put cifar-10-binary\.tar\.gz .*--from=FOLDER"
  )
  with pytest.raises(DataError, match=message):
    prepare.prepare("cifar10", tmp_path / "tfds")
  assert len(requested) == 1
  assert not list(tmp_path.iterdir())


def test_only_the_files_of_the_config_are_wanted(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  monkeypatch.setattr(prepare, "unreachable_reason", lambda urls: "no network")
  for name, wanted in (
    ("imagenette/160px-v2", r"put imagenette2-160\.tgz \("),
    ("glue/sst2", r"put SST-2\.zip \("),
    ("svhn_cropped", r"train_32x32\.mat, test_32x32\.mat, extra_32x32\.mat"),
  ):
    with pytest.raises(DataError, match=wanted):
      prepare.prepare(name, tmp_path / "tfds")


@pytest.fixture
def site(
  cifar10: tuple[pathlib.Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
  """A real site on this machine, which the stock builder downloads from."""
  folder, _ = cifar10
  handler = functools.partial(QuietHandler, directory=str(folder))
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz"
    builder_class = tfds.builder_cls("cifar10")
    (info,) = (builder_class.url_infos or {}).values()
    monkeypatch.setattr(builder_class, "url_infos", {url: info})
    stock = object.__new__(cifar.Cifar10)._cifar_info
    facts = stock._replace(url=url)
    monkeypatch.setattr(builder_class, "_cifar_info", facts)
    yield url
    server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
  def log_message(self, format: str, *args: object) -> None:
    pass


def test_files_are_downloaded_and_cleared_away(
  site: str, tmp_path: pathlib.Path
):
  data_dir = tmp_path / "tfds"
  assert prepare.prepare("cifar10", data_dir).facts.train_examples == 10
  assert [entry.name for entry in data_dir.iterdir()] == ["cifar10"]


def test_a_site_without_the_file_is_told(site: str, tmp_path: pathlib.Path):
  (tmp_path / "published/cifar-10-binary.tar.gz").unlink()
  with pytest.raises(DataError, match="answers 404 File not found; fix: put"):
    prepare.prepare("cifar10", tmp_path / "tfds")
  assert not (tmp_path / "tfds").exists()


def test_a_closed_port_is_told_at_once():
  reason = prepare.unreachable_reason(["http://127.0.0.1:9/file"])
  assert reason == "127.0.0.1:9 is not reached (ConnectionError)"


def test_a_silent_site_is_given_up_within_the_time(
  monkeypatch: pytest.MonkeyPatch,
):
  monkeypatch.setattr(prepare, "_request", lambda url, seconds: time.sleep(60))
  begin = time.monotonic()
  reason = prepare.unreachable_reason(["https://example.org/a"], seconds=0.05)
  assert reason == "example.org gave no answer in 0.1 s"
  assert time.monotonic() - begin < 10


def test_every_site_is_asked_once(monkeypatch: pytest.MonkeyPatch):
  requested = []
  monkeypatch.setattr(
    prepare, "_request", lambda url, seconds: requested.append(url)
  )
  urls = ["https://a.org/1", "https://a.org/2", "http://b.org/1"]
  assert prepare.unreachable_reason(urls) is None
  assert requested == ["https://a.org/2", "http://b.org/1"]


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, "scripts/prepare_data.py", *arguments],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=120,
  )


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ((), "which set? give --data=NAME"),
    (("--dat=cifar10",), "Unknown command line flag 'dat'"),
    (("cifar10",), "unexpected argument 'cifar10'"),
    (("--data=../x",), "is not the name of a data set"),
    (("--data=fashion_mnist_6k",), "comes with jaxpower"),
  ],
)
def test_the_script_refuses_in_one_line(
  arguments: tuple[str, ...], message: str, tmp_path: pathlib.Path
):
  done = script(*arguments, f"--data_dir={tmp_path / 'tfds'}")
  assert done.returncode == 2
  assert done.stdout == ""
  assert message in done.stderr
  assert done.stderr.count("\n") == 1
  assert not list(tmp_path.iterdir())


@pytest.mark.proof
def test_full_fashion_mnist_from_debian(tmp_path: pathlib.Path):
  folder = debian.find_files()
  if folder is None:
    pytest.skip(f"Debian's package {debian.PACKAGE} is not installed")
  done = script("--data=fashion_mnist", f"--data_dir={tmp_path}")
  assert done.returncode == 0, done.stderr
  assert "60000 training and 10000 test examples" in done.stdout
  assert [entry.name for entry in tmp_path.iterdir()] == ["fashion_mnist"]
  data = load("fashion_mnist", tmp_path)
  published = debian.read_split(folder, "train")
  # TFDS shuffles: the same images with the same labels in another order.
  assert image_label_pairs(data.train) == image_label_pairs(published)
  assert np.bincount(data.test["label"]).tolist() == [1000] * 10
  run_the_main_job_on(tmp_path)


def run_the_main_job_on(data_dir: pathlib.Path) -> None:
  folder = data_dir / "run"
  done = subprocess.run(
    [
      sys.executable,
      "scripts/run.py",
      "--config=configs/batch.py:data=fashion_mnist,quick",
      f"--out={folder}",
    ],
    cwd=ROOT,
    # Long enough to be worth optimising, unlike other tests.
    env=os.environ
    | {
      "TFDS_DATA_DIR": str(data_dir),
      "PYTHONPATH": str(ROOT),
      "XLA_FLAGS": "",
    },
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  recorded = record_files.read(folder).records
  assert [record.status for record in recorded] == ["reached"] * 2


def image_label_pairs(split) -> list[tuple[bytes, int]]:
  pairs = zip(split["input"], split["label"], strict=True)
  return sorted((image.tobytes(), int(label)) for image, label in pairs)


def test_a_damaged_package_is_refused(tmp_path: pathlib.Path):
  files = tmp_path / "files"
  files.mkdir()
  for split in ("train", "t10k"):
    for part in ("images-idx3", "labels-idx1"):
      content = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 0]), mtime=0)
      (files / f"{split}-{part}-ubyte.gz").write_bytes(content)
  data_dir = tmp_path / "tfds"
  with pytest.raises(DataError, match="could not prepare 'fashion_mnist'"):
    prepare.prepare("fashion_mnist", data_dir, files)
  assert not list(data_dir.iterdir())
