"""Energy to accuracy of one batch size over the number of micro-batches.

Claim: an update on a large batch may be cheaper when its gradient is
accumulated over micro-batches that fit the caches, and more expensive on a
GPU that is then idle. The gradients are the same unless a model has batch
statistics. On CPUs `accumulation` of 0, the default, chooses the cheaper; here
it is set, to show the difference.
Cost: under five minutes on two idle CPU cores.

  python scripts/run.py --config=configs/gradient_accumulation.py
  python scripts/run.py --config=configs/gradient_accumulation.py:model=vit
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `data`, `model`, `framework`, `quick`."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  return Sweep(
    name="gradient_accumulation-quick"
    if args.quick
    else "gradient_accumulation",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    batch_size=512 if args.quick else 1_024,
    vary={"accumulation": (1, 8) if args.quick else (1, 4, 16)},
    seeds=1 if args.quick else 3,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=16_384 if args.quick else 61_440,
    evaluate_every_examples=1_024,
    idle_seconds=0.5,
    framework=args.framework,
  )
