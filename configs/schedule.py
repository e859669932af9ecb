"""Energy to accuracy over learning rate schedules.

Claim: at one highest rate, how the rate rises and falls over the same
examples changes the energy to the same accuracy. All schedules share one
executable.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/schedule.py
  python scripts/run.py --config=configs/schedule.py:data=imu
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `data`, `model`, `framework`, `quick`."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  return Sweep(
    name="schedule-quick" if args.quick else "schedule",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=5e-3),
    batch_size=128,
    vary={
      "optimizer.schedule": ("constant", "one_cycle")
      if args.quick
      else ("constant", "warm_up", "step", "cosine", "one_cycle")
    },
    seeds=1 if args.quick else 3,
    target_accuracy=0.7 if args.quick else 0.84,
    # A schedule falls over the whole budget; with a longer one, trials would
    # meet the target having seen only its beginning.
    budget_examples=8_192 if args.quick else 24_576,
    evaluate_every_examples=256,
    idle_seconds=0.5,
    framework=args.framework,
  )
