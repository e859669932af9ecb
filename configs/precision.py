"""Energy to accuracy over the precision of the arithmetic.

Claim: on hardware built for it, arithmetic of fewer bits cuts the energy to
the same accuracy; on a CPU it need not. On GPUs "default" products of float32
are TF32 and "highest" are not; on CPUs the two are the same, so that a
difference there is noise.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/precision.py
  python scripts/run.py --config=configs/precision.py:model=resnet18
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `data`, `model`, `framework`, `quick`."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  return Sweep(
    name="precision-quick" if args.quick else "precision",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    batch_size=128,
    vary={
      "precision": ("float32", "bfloat16"),
      "matmul_precision": ("default",)
      if args.quick
      else ("default", "highest"),
    },
    seeds=1 if args.quick else 3,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=256,
    idle_seconds=0.5,
    framework=args.framework,
  )
