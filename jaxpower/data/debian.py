"""Finds and reads the files of Debian's package dataset-fashion-mnist.

The images are Zalando's, byte for byte. Debian's build only dropped the file
name and the time from the header of each gzip file, which is why their
checksums are not the published ones until `restore_published_files`.
"""

import gzip
import os
import pathlib
import struct
from collections.abc import Mapping

import numpy as np

from jaxpower.data.facts import DataError

INSTALLED = "usr/share/datasets/fashion-mnist"
PACKAGE = "dataset-fashion-mnist"

# Seconds since 1970 in the headers of the published files. They were found by
# search: with them each file has the checksum that tensorflow-datasets knows.
_PUBLISHED_TIME = {"train": 1504176606, "t10k": 1504176627}
_FILES = tuple(
  f"{split}-{part}-ubyte.gz"
  for split in _PUBLISHED_TIME
  for part in ("images-idx3", "labels-idx1")
)
_BARE_HEADER = bytes([0x1F, 0x8B, 8, 0])  # deflate, no file name


def find_files(
  place: str | None = None, environ: Mapping[str, str] = os.environ
) -> pathlib.Path | None:
  """Finds the folder of the package's files; None where there is none.

  Looks in `place`, which may also be the folder the package was extracted to,
  else in $JAXPOWER_FASHION_MNIST, else where apt-get installs it.
  """
  place = place or environ.get("JAXPOWER_FASHION_MNIST") or "/"
  root = pathlib.Path(place).expanduser()
  for folder in (root, root / INSTALLED):
    if all((folder / name).is_file() for name in _FILES):
      return folder
  return None


def read_split(folder: pathlib.Path, split: str) -> dict[str, np.ndarray]:
  """Reads one official split ('train' or 't10k').

  'input' is uint8 [n, 28, 28, 1] and 'label' int32 [n].
  """
  images = _read_idx(folder / f"{split}-images-idx3-ubyte.gz")
  labels = _read_idx(folder / f"{split}-labels-idx1-ubyte.gz")
  return {"input": images[..., None], "label": labels.astype(np.int32)}


def restore_published_files(
  folder: pathlib.Path, target: pathlib.Path
) -> pathlib.Path:
  """Writes the files to `target` with the header they were published with."""
  target.mkdir(parents=True, exist_ok=True)
  for name in _FILES:
    content = (folder / name).read_bytes()
    if content.startswith(_BARE_HEADER):
      time = struct.pack("<I", _PUBLISHED_TIME[name.split("-")[0]])
      plain_name = name.removesuffix(".gz").encode() + b"\0"
      header = b"\x1f\x8b\x08\x08" + time + b"\0\x03" + plain_name
      content = header + content[10:]
    (target / name).write_bytes(content)
  return target


def _read_idx(path: pathlib.Path) -> np.ndarray:
  # http://yann.lecun.com/exdb/mnist: two zero bytes, the type (8 is uint8),
  # the rank, then one big-endian 32-bit length per axis.
  try:
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    shape = struct.unpack_from(f">{rank}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
  except (OSError, EOFError, ValueError, IndexError, struct.error) as error:
    raise DataError(
      f"{path} is not a whole idx file ({error}); "
      f"fix: apt-get install --reinstall {PACKAGE}"
    ) from error
