"""What patience costs, and training past the target.

Claim: training on past the target multiplies the energy of a training;
patience gives part of it back, and too little of it stops before the target.
Energy to accuracy counts to the first passing evaluation in every case, the
whole of a training is `train_joules`.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/early_stopping.py
  python scripts/run.py --config=configs/early_stopping.py:data=imu
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """The sweep; `data`, `model`, `framework` and `quick` go behind the colon."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  return Sweep(
    name="early_stopping",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    batch_size=128,
    vary={
      "stop_at_target": (True, False),
      "patience": (0,) if args.quick else (0, 2, 5),
    },
    seeds=1 if args.quick else 2,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=1_024,
    idle_seconds=0.5,
    framework=args.framework,
  )
