"""Prepares a data set of tensorflow-datasets, once.

python scripts/prepare_data.py --data=cifar10
python scripts/prepare_data.py --data=imdb_reviews@512  # bytes of a text
python scripts/prepare_data.py --data=imagenette/160px-v2@64  # pixels a side
"""

import sys
from typing import NoReturn

from absl import app, flags, logging

from jaxpower.data.facts import DataError
from jaxpower.data.prepare import prepare

_DATA = flags.DEFINE_string("data", None, "Name of the set, such as cifar10.")
_DATA_DIR = flags.DEFINE_string(
  "data_dir",
  None,
  "Folder of prepared sets; else $TFDS_DATA_DIR, else ~/tensorflow_datasets.",
)
_FROM = flags.DEFINE_string(
  "from",
  None,
  "Folder that holds the published files already, instead of a download; "
  "or that of Debian's dataset-fashion-mnist, also found where apt puts it.",
)


def main(argv: list[str]) -> None:
  """Prepares and says what was done, or says in one line why not."""
  if argv[1:]:
    _refuse(f"unexpected argument {argv[1]!r}")
  if not _DATA.value:
    _refuse("which set? give --data=NAME, such as --data=cifar10")
  logging.set_verbosity(logging.ERROR)
  try:
    done = prepare(_DATA.value, _DATA_DIR.value, _FROM.value)
  except DataError as error:
    _refuse(str(error))
  except KeyboardInterrupt:
    print("\nprepare_data.py: interrupted; no set is left", file=sys.stderr)
    sys.exit(130)
  facts = done.facts
  how = f"in {done.seconds:.0f} s" if done.seconds else "before; left as it is"
  print(
    f"{facts.name} {facts.version}: {facts.train_examples} training and "
    f"{facts.test_examples} {facts.test_split} examples, "
    f"{done.bytes / 1e6:.0f} MB, prepared {how}: {done.folder}"
  )


def _parse(argv: list[str]) -> list[str]:
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    _refuse(str(error))


def _refuse(why: str) -> NoReturn:
  print(f"prepare_data.py: {' '.join(why.split())}", file=sys.stderr)
  sys.exit(2)


if __name__ == "__main__":
  app.run(main, flags_parser=_parse)
