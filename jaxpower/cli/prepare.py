"""The command line that prepares a dataset, once."""

import sys

from absl import flags

from jaxpower.cli.script import refuse, run
from jaxpower.data.facts import DataError
from jaxpower.data.prepare import prepare

HELP = """Prepares a dataset of tensorflow-datasets, once.

  {command} --data=cifar10
  {command} --data=imdb_reviews@512  # bytes of a text
  {command} --data=imagenette/160px-v2@64  # pixels a side

  --data=NAME        the dataset
  --data_dir=FOLDER  where prepared datasets are; $TFDS_DATA_DIR by default,
                     else ~/tensorflow_datasets
  --from=FOLDER      the published files, instead of a download; or those of
                     Debian's dataset-fashion-mnist, also found where apt puts
                     them

A dataset that is prepared already is left as it is.
"""

_DATA = flags.DEFINE_string("data", None, "")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "")
_FROM = flags.DEFINE_string("from", None, "")


def main(argv: list[str]) -> None:
  """Prepares the dataset and prints its facts, or one line on what is wrong."""
  if argv[1:]:
    refuse(f"unexpected argument {argv[1]!r}")
  if not _DATA.value:
    refuse("which set? give --data=NAME, such as --data=cifar10")
  try:
    done = prepare(_DATA.value, _DATA_DIR.value, _FROM.value)
  except DataError as error:
    refuse(str(error))
  except KeyboardInterrupt:
    print("\nprepare_data: interrupted; no set is left", file=sys.stderr)
    sys.exit(130)
  facts = done.facts
  how = f"in {done.seconds:.0f} s" if done.seconds else "before; left as it is"
  print(
    f"{facts.name} {facts.version}: {facts.train_examples} training and "
    f"{facts.test_examples} {facts.test_split} examples, "
    f"{done.bytes / 1e6:.0f} MB, prepared {how}: {done.folder}"
  )


def start(command: str) -> None:
  """Reads the command line and prepares a dataset; exits with its code.

  Args:
    command: What was typed before the arguments.
  """
  run(main, HELP.format(command=command))
