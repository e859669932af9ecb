"""Energy to accuracy over batch sizes.

Claim: on the same model, machine and accuracy, a bad batch size costs several
times the energy of the best one, at one learning rate for all. That is 0.003,
not scaled: of 0.001, 0.003 and 0.01 no other one was measurably cheaper at
batch 16, 64, 256 or 1024 (two seeds, benchmarks/regimes_cpu/
batch_learning_rate). On CPUs a batch above 64 is computed in pieces.
Cost: under two minutes on two CPU cores. On an H100 `:gpu`, ResNet-18 in
bfloat16 on the full Fashion-MNIST, is expected to train 30 s a trial and to
take under five minutes (jaxpower/gpu_size.py has the arithmetic; not yet run on
one). `:auto` is that where JAX trains on a GPU, and else the small form.

  python scripts/run.py --config=configs/batch.py
  python scripts/run.py --config=configs/batch.py:gpu
  python scripts/run.py --config=configs/batch.py:gpu,model=vit
  python scripts/run.py --config=configs/batch.py:data=cifar10,model=resnet18
  python scripts/run.py --config=configs/batch.py:scaling=sqrt
  python scripts/run.py --config=configs/batch.py --config.seeds=5
"""

from jaxpower import gpu_size
from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: those with defaults below.

  With `scaling` "linear" or "sqrt" the rate is that of batch 128, near the
  middle between 16 and 512.
  """
  args = arguments(
    text,
    data="fashion_mnist_6k",
    model="cnn",
    scaling="none",
    framework="jax",
    quick=False,
    gpu=False,
    auto=False,
  )
  sweep = Sweep(
    name="batch-quick" if args.quick else "batch",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=3e-3, scaling=args.scaling),
    vary={"batch_size": (16, 512) if args.quick else (16, 64, 256, 512)},
    seeds=1 if args.quick else 3,
    target_accuracy=0.75 if args.quick else 0.85,
    budget_examples=60_000,
    evaluate_every_examples=512,
    idle_seconds=0.5,
    framework=args.framework,
  )
  if not gpu_size.asked_for(args, args.framework):
    return sweep
  return gpu_size.sized(
    sweep,
    args.model,
    name="batch-gpu",
    data=gpu_size.dataset(args, args.data),
    optimizer=Optimizer(name="adam", learning_rate=1e-3, scaling=args.scaling),
    vary={"batch_size": (128, 512, 2_048)},
    target_accuracy=0.9,
  )
