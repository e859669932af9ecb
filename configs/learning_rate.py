"""Energy to accuracy over learning rates.

Claim: on the same model, machine and accuracy, a learning rate that is
too small or too large costs several times the energy of the best one, or never
reaches the target. All rates share one executable.
Cost: under five minutes on two idle CPU cores, for the transformer (the second
command) as well: a ViT on images of 8 x 8 pixels. `:gpu` is expected to take
under five minutes on an H100 (jaxpower/gpu_size.py; not yet run on one).

  python scripts/run.py --config=configs/learning_rate.py
  python scripts/run.py \\
    --config=configs/learning_rate.py:model=vit,data=digits,batch=32,target=0.8
  python scripts/run.py --config=configs/learning_rate.py:gpu,model=vit
"""

from jaxpower import gpu_size
from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: those with defaults below."""
  args = arguments(
    text,
    data="fashion_mnist_6k",
    model="cnn",
    batch=128,
    target=0.84,
    framework="jax",
    quick=False,
    gpu=False,
    auto=False,
  )
  sweep = Sweep(
    name="learning_rate-quick" if args.quick else "learning_rate",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam"),
    batch_size=args.batch,
    vary={
      "optimizer.learning_rate": (1e-3, 1e-2)
      if args.quick
      else (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    },
    seeds=1 if args.quick else 3,
    target_accuracy=0.7 if args.quick else args.target,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=max(256, args.batch),
    idle_seconds=0.5,
    framework=args.framework,
  )
  if not gpu_size.asked_for(args, args.framework):
    return sweep
  return gpu_size.sized(
    sweep,
    args.model,
    name="learning_rate-gpu",
    data=gpu_size.dataset(args, args.data),
    batch_size=512,
    vary={"optimizer.learning_rate": (1e-4, 1e-3, 1e-2)},
    target_accuracy=0.85,
  )
