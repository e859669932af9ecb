"""Energy to accuracy over update rules, each at several rates.

Claim: rules differ less in energy at their best rates than one rule does
between its rates; a rule whose step costs more must save as many steps.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/optimizer.py
  python scripts/run.py --config=configs/optimizer.py:data=imu
"""

from jaxpower.config import OPTIMIZERS, Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """The sweep; `data`, `model`, `framework` and `quick` go behind the colon."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  names = tuple(
    name
    for name, rule in OPTIMIZERS.items()
    if args.framework in rule.frameworks
  )
  return Sweep(
    name="optimizer",
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
    evaluate_every_examples=1_024,
    idle_seconds=0.5,
    framework=args.framework,
  )
