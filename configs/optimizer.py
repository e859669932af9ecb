"""Energy to accuracy over optimizers, each at several learning rates.

Claim: optimizers differ less in energy at their best rates than one optimizer
does between its rates; one whose step costs more must save as many steps. The
rates are a decade apart, so the best one of an optimizer may lie between them.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/optimizer.py
  python scripts/run.py --config=configs/optimizer.py:data=imu
"""

from jaxpower.config import OPTIMIZERS, Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `data`, `model`, `framework`, `quick`."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  names = tuple(
    name
    for name, rule in OPTIMIZERS.items()
    if args.framework in rule.frameworks
  )
  return Sweep(
    name="optimizer-quick" if args.quick else "optimizer",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(),
    batch_size=128,
    vary={
      "optimizer.name": ("momentum", "adam") if args.quick else names,
      "optimizer.learning_rate": (1e-2,) if args.quick else (1e-3, 1e-2, 1e-1),
    },
    seeds=1,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=8_192 if args.quick else 24_576,
    evaluate_every_examples=256,
    idle_seconds=0.5,
    framework=args.framework,
  )
