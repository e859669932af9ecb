"""Turns pretrained weights into a checkpoint that `transfer.weights` can name.

  python scripts/import_weights.py --from=resnet18.safetensors \
    --out=weights/resnet18 --source="torchvision, ResNet18_Weights.V1"

ResNets as torchvision, timm and Hugging Face name them, ViTs as timm and
Hugging Face do. What was spent on the weights already may be told, with who
says so: --joules=3.1e8 --joules_source="model card, 86 kWh".
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import app, flags

from jaxpower.learn.imported import import_weights
from jaxpower.weights import WeightsError

_FROM = flags.DEFINE_string("from", None, "The .safetensors file.")
_OUT = flags.DEFINE_string("out", None, "Folder of the checkpoint, a new one.")
_SOURCE = flags.DEFINE_string("source", None, "Where the weights come from.")
_JOULES = flags.DEFINE_float("joules", None, "Spent on the weights already.")
_JOULES_SOURCE = flags.DEFINE_string("joules_source", None, "Who says so.")
_HEADS = flags.DEFINE_integer(
  "heads", None, "Of a ViT's attention; by default one for every 64 features."
)


def main(arguments: Sequence[str]) -> None:
  """Writes the checkpoint and names it, or says in one line why not."""
  if arguments[1:]:
    _refuse(f"'{arguments[1]}': flags are written --name=value")
  if not (_FROM.value and _OUT.value and _SOURCE.value):
    _refuse("give --from=FILE, --out=FOLDER and --source=TEXT")
  try:
    import_weights(
      pathlib.Path(_FROM.value),
      pathlib.Path(_OUT.value),
      said=_SOURCE.value,
      joules=_JOULES.value,
      joules_source=_JOULES_SOURCE.value,
      heads=_HEADS.value,
    )
  except WeightsError as error:
    _refuse(str(error))
  print(_OUT.value)


def _parse(arguments: Sequence[str]) -> list[str]:
  if {"-h", "-help", "--help"} & set(arguments):
    print(str(__doc__).strip())
    sys.exit(0)
  try:
    return flags.FLAGS(arguments)
  except flags.Error as error:
    _refuse(str(error).splitlines()[0])


def _refuse(why: str) -> NoReturn:
  print(f"import_weights: {why}", file=sys.stderr)
  sys.exit(2)


if __name__ == "__main__":
  app.run(main, flags_parser=_parse)
