"""The cost of training on after the target, and of patience.

Claim: training on after the target multiplies the energy of a training;
patience saves part of that, and too little patience stops before the target.
Energy to accuracy counts to the evaluation that reaches the target in every
case; `train_joules` counts the whole training.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/early_stopping.py
  python scripts/run.py --config=configs/early_stopping.py:data=imu
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `data`, `model`, `framework`, `quick`."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  return Sweep(
    name="early_stopping-quick" if args.quick else "early_stopping",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    batch_size=128,
    vary={
      "stop_at_target": (True, False),
      "patience": (0,) if args.quick else (0, 8, 20),
    },
    seeds=1 if args.quick else 2,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=256,
    idle_seconds=0.5,
    framework=args.framework,
  )
