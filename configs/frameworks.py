"""JAX and PyTorch side by side: energy to accuracy over batch sizes.

Claim: with the same data order, initial weights, arithmetic and meter, the
framework is the only difference left. PyTorch is written as its users write it
for speed, eager and compiled. The frameworks take turns, each in a process of
its own, and their order is reversed from seed to seed, so that a machine that
drifts favours none (docs/frameworks.md).
Cost: under five minutes on two idle CPU cores; `:quick` under two. `:gpu` is
expected to take five to six minutes on an H100: five workers that start and
compile beside six trials of 30 s (jaxpower/gpu_size.py; not yet run on one).

  python scripts/run.py --config=configs/frameworks.py
  python scripts/run.py --config=configs/frameworks.py:model=transformer
  python scripts/run.py --config=configs/frameworks.py:precision=bfloat16
  python scripts/run.py --config=configs/frameworks.py:gpu
"""

from jaxpower import gpu_size
from jaxpower.config import FRAMEWORKS, Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: those with defaults below.

  Without `data` a transformer reads imu and all other models images.
  `framework` is "all", or the one to compare with JAX.
  """
  args = arguments(
    text,
    data="",
    model="cnn",
    precision="float32",
    framework="all",
    quick=False,
    gpu=False,
    auto=False,
  )
  usual = "imu" if args.model == "transformer" else "fashion_mnist_6k"
  chosen = FRAMEWORKS if args.framework == "all" else ("jax", args.framework)
  frameworks = tuple(dict.fromkeys(chosen))
  sweep = Sweep(
    name="frameworks-quick" if args.quick else "frameworks",
    data=args.data or usual,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    precision=args.precision,
    vary={
      "framework": frameworks,
      "batch_size": (64, 512) if args.quick else (32, 128, 512),
    },
    seeds=1 if args.quick else 3,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=512,
    idle_seconds=0.5,
    devices=1,
  )
  if not gpu_size.asked_for(args):
    return sweep
  return gpu_size.sized(
    sweep,
    args.model,
    name="frameworks-gpu",
    data=args.data or gpu_size.dataset(args),
    batch_size=512,
    vary={"framework": frameworks},
    target_accuracy=0.9,
  )
