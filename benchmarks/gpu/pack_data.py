"""Packs the full Fashion-MNIST into one file that travels to a GPU machine.

A machine without a package index has no tensorflow-datasets, and needs none for
arrays: first_run.sh trains on this file where it is there. 30 MB, from Debian's
package dataset-fashion-mnist; two seconds.

  python benchmarks/gpu/pack_data.py .gpu_data/fashion_mnist.npz
"""

import pathlib
import sys

import numpy as np

from jaxpower.data import debian


def main(path: str) -> int:
  folder = debian.find_files()
  if folder is None:
    print(
      f"pack_data: no files here; apt-get install {debian.PACKAGE}",
      file=sys.stderr,
    )
    return 2
  arrays = {
    f"{split}_{part}": values
    for split, published in (("train", "train"), ("test", "t10k"))
    for part, values in debian.read_split(folder, published).items()
  }
  file = pathlib.Path(path)
  file.parent.mkdir(parents=True, exist_ok=True)
  np.savez_compressed(file, allow_pickle=False, **arrays)
  print(f"{file}: {file.stat().st_size:,} bytes")
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1]))
