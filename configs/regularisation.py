"""Energy to accuracy with and without four kinds of regularisation.

Claim: what helps the final accuracy may cost energy on the way to a modest
one. Weight decay, dropout, label smoothing and augmentation are switched on
and off in all combinations, but for those that the model does not have.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/regularisation.py
  python scripts/run.py --config=configs/regularisation.py:model=vit
  python scripts/run.py --config=configs/regularisation.py:model=resnet18
"""

from jaxpower.architectures import NETWORKS
from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `data`, `model`, `framework`, `quick`."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  network = NETWORKS.get(args.model, NETWORKS["cnn"])
  vary: dict[str, tuple] = {"label_smoothing": (0.0, 0.1)}
  if not args.quick:
    vary["optimizer.weight_decay"] = (0.0, 0.05)
  if network.dropout and not args.quick:
    vary["dropout"] = (0.0, 0.2)
  if "image" in network.reads and not args.quick:
    vary["augmentation"] = ("none", "crop_flip")
  return Sweep(
    name="regularisation-quick" if args.quick else "regularisation",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adamw", learning_rate=3e-3),
    batch_size=128,
    vary=vary,
    seeds=1,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=256,
    idle_seconds=0.5,
    framework=args.framework,
  )
