r"""Turns pretrained weights into a checkpoint that `transfer.weights` can name.

  python scripts/import_weights.py --from=resnet18.safetensors \
    --out=weights/resnet18 --source="torchvision, ResNet18_Weights.V1"

Reads ResNets with the names of torchvision, timm or Hugging Face, ViTs with
those of timm or Hugging Face. The energy already spent on the weights may be
given with its source: --joules=3.1e8 --joules_source="model card, 86 kWh". A
ViT's attention has a head for every 64 features, unless --heads=NUMBER is
given.
"""

import sys
from collections.abc import Sequence

from absl import flags

from jaxpower.cli.paths import path
from jaxpower.cli.script import refuse, run
from jaxpower.config import ConfigError
from jaxpower.learn.imported import import_weights
from jaxpower.weights import WeightsError

_FROM = flags.DEFINE_string("from", None, "")
_OUT = flags.DEFINE_string("out", None, "")
_SOURCE = flags.DEFINE_string("source", None, "")
_JOULES = flags.DEFINE_float("joules", None, "")
_JOULES_SOURCE = flags.DEFINE_string("joules_source", None, "")
_HEADS = flags.DEFINE_integer("heads", None, "")


def main(arguments: Sequence[str]) -> None:
  """Writes the checkpoint and prints its folder, or one line on an error."""
  if arguments[1:]:
    refuse(f"'{arguments[1]}': flags are written --name=value")
  if not (_FROM.value and _OUT.value and _SOURCE.value):
    refuse("give --from=FILE, --out=FOLDER and --source=TEXT")
  try:
    folder = path(_OUT.value)
    facts = import_weights(
      path(_FROM.value),
      folder,
      source=_SOURCE.value,
      joules=_JOULES.value,
      joules_source=_JOULES_SOURCE.value,
      heads=_HEADS.value,
    )
  except (ConfigError, WeightsError) as error:
    refuse(str(error))
  if begin := facts.get("prefix_removed"):
    print(f"'{begin}' was taken off all names", file=sys.stderr)
  print(folder)


if __name__ == "__main__":
  run(main, __doc__ or "")
