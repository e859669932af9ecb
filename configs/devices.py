"""What more devices gain and cost: one trial over 1, 2, 4 and 8 of them.

Claim: at the same batch per device more devices cost little more energy per
example, that of summing gradients; at the same global batch each has less to
do, and the energy per example rises. The report sets both side by side, with
what sending and waiting cost and what idle GPUs took meanwhile. Numbers of
devices that a machine does not have are left out, each with a line.
Cost: 48 trials. A GPU needs a network that keeps it busy and a budget of half a
minute of training or more. A CPU's devices share its cores: `:quick` only shows
what there is to see.

  python scripts/run.py --config=configs/devices.py
  python scripts/run.py --config=configs/devices.py:data=cifar10,model=resnet18
  JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=8 \
    python scripts/run.py --config=configs/devices.py:quick
  python benchmarks/devices_simulated.py  # the same on simulated GPUs
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: those with defaults below.

  `batch` is the smallest global batch, which 8 times as many devices take 8
  times as large. All train on the whole budget, since what is asked for is the
  cost of an example.
  """
  args = arguments(
    text,
    data="fashion_mnist_6k",
    model="cnn",
    batch=64,
    sharding="replicated",
    batch_norm="device",
    framework="jax",
    quick=False,
  )
  largest = 8 * args.batch
  return Sweep(
    name="devices-quick" if args.quick else "devices",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(
      name="adam",
      learning_rate=1e-3,
      scaling="sqrt",
      reference_batch_size=args.batch,
    ),
    vary={
      "devices": (1, 2, 4, 8),
      "batch_size": tuple(args.batch * n for n in (1, 2, 4, 8)),
    },
    seeds=1 if args.quick else 3,
    target_accuracy=0.8,
    stop_at_target=False,
    budget_examples=2 * largest if args.quick else 120 * largest,
    evaluate_every_examples=largest if args.quick else 8 * largest,
    idle_seconds=0.2 if args.quick else 2.0,
    sharding=args.sharding,
    batch_norm=args.batch_norm,
    framework=args.framework,
  )
