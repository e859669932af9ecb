"""Energy to accuracy over batch sizes and learning rates together.

Claim: the best learning rate depends on the batch size, so a batch size
judged at one rate is judged wrongly; scaling the rate with the batch, or with
its square root, removes part of that.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/batch_learning_rate.py
  python scripts/run.py --config=configs/batch_learning_rate.py:scaling=sqrt
  python scripts/run.py --config=configs/batch_learning_rate.py:model=vit
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: those with defaults below."""
  args = arguments(
    text,
    data="fashion_mnist_6k",
    model="cnn",
    scaling="none",
    framework="jax",
    quick=False,
  )
  return Sweep(
    name="batch_learning_rate-quick" if args.quick else "batch_learning_rate",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", scaling=args.scaling),
    vary={
      "batch_size": (64, 256) if args.quick else (32, 256),
      "optimizer.learning_rate": (3e-3, 1e-2)
      if args.quick
      else (1e-3, 3e-3, 1e-2),
    },
    seeds=1 if args.quick else 5,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=256,
    idle_seconds=0.5,
    framework=args.framework,
  )
