"""Energy to accuracy with a call for each step, or one between evaluations.

Claim: calling the device once a step costs energy that no step needs; the
smaller the step, the larger that share.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/epoch_program.py
  python scripts/run.py --config=configs/epoch_program.py:data=imu
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `data`, `model`, `framework`, `quick`."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  return Sweep(
    name="epoch_program-quick" if args.quick else "epoch_program",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    vary={
      "program": ("segment", "step"),
      "batch_size": (64,) if args.quick else (16, 64, 256),
    },
    seeds=1 if args.quick else 2,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=1_024,
    idle_seconds=0.5,
    framework=args.framework,
  )
