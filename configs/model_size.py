"""Energy to accuracy over the width and depth of the model.

Claim: neither the smallest nor the largest model reaches an accuracy most
cheaply: a small one takes more examples, a large one more energy for each.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/model_size.py
  python scripts/run.py --config=configs/model_size.py:data=imu
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `data`, `model`, `framework`, `quick`."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  return Sweep(
    name="model_size-quick" if args.quick else "model_size",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    batch_size=128,
    vary={
      "model.width": (0.5, 1.0) if args.quick else (0.5, 1.0, 2.0),
      "model.depth": (1.0,) if args.quick else (1.0, 2.0),
    },
    seeds=1 if args.quick else 2,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=256,
    idle_seconds=0.5,
    framework=args.framework,
  )
