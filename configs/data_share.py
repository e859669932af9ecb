"""Energy to accuracy over the share of the training set.

Claim: a part of the data reaches a modest accuracy at the energy of the
whole set, and below some share never reaches it. All shares share one
executable.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/data_share.py
  python scripts/run.py --config=configs/data_share.py:data=imu
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `data`, `model`, `framework`, `quick`."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  return Sweep(
    name="data_share-quick" if args.quick else "data_share",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    batch_size=128,
    vary={"data_share": (0.25, 1.0) if args.quick else (0.1, 0.25, 0.5, 1.0)},
    seeds=1 if args.quick else 3,
    target_accuracy=0.7 if args.quick else 0.8,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=256,
    idle_seconds=0.5,
    framework=args.framework,
  )
