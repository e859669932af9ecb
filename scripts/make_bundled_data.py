"""Makes the bundled data from the published files, or checks what is there.

fashion_mnist_6k: of each of the ten classes the first 600 training images and
the first 100 test images, in the order in which Zalando published them, which
was already shuffled. Nothing is drawn at random. Test images come from the
official test split only.

  apt-get download dataset-fashion-mnist && dpkg-deb -x *.deb DIR
  python scripts/make_bundled_data.py --from=DIR [--check]
"""

import io
import pathlib
import sys
import zipfile

import numpy as np
from absl import app, flags

from jaxpower.data import bundled, debian
from jaxpower.data.facts import DataError, hash_arrays

_FROM = flags.DEFINE_string(
  "from", None, "Folder of Debian's package; by default where apt puts it."
)
_CHECK = flags.DEFINE_bool(
  "check", False, "Compare with the bundled file; write nothing."
)
_NAME = "fashion_mnist_6k"


def first_of_each_class(
  split: dict[str, np.ndarray], per_class: int
) -> dict[str, np.ndarray]:
  """The first examples of every class, in their published order."""
  label = split["label"]
  chosen = [np.flatnonzero(label == c)[:per_class] for c in np.unique(label)]
  index = np.sort(np.concatenate(chosen))
  return {name: array[index] for name, array in split.items()}


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
  """A compressed npz whose bytes depend on the arrays and zlib only."""
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


def main(argv: list[str]) -> None:
  """Builds the file in memory, then writes it or compares."""
  if argv[1:]:
    sys.exit(f"unexpected argument {argv[1]!r}")
  folder = debian.find_files(_FROM.value)
  if folder is None:
    sys.exit(
      "no files of Debian's package here; get them with: "
      f"apt-get download {debian.PACKAGE} && dpkg-deb -x *.deb DIR, "
      "then give --from=DIR"
    )
  train = first_of_each_class(debian.read_split(folder, "train"), 600)
  test = first_of_each_class(debian.read_split(folder, "t10k"), 100)
  content = npz_bytes(
    {
      f"{split}_{part}": array
      for split, arrays in (("train", train), ("test", test))
      for part, array in arrays.items()
    }
  )
  path: pathlib.Path = bundled.FILES / f"{_NAME}.npz"
  sha256 = hash_arrays((train, test))
  if not _CHECK.value:
    path.write_bytes(content)
    print(f"wrote {path}: {len(content)} bytes, arrays sha256:{sha256}")
    return
  try:
    there = bundled.load_bundled(_NAME)
  except DataError as error:
    sys.exit(str(error))
  if there.sha256 != sha256:
    sys.exit(f"{path} holds other arrays than {folder} gives")
  same = "identical" if content == path.read_bytes() else "packed differently"
  print(f"{path}: the arrays are those of {folder}; the file is {same}")


if __name__ == "__main__":
  app.run(main)
