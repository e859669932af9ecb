"""Energy to accuracy over how many cores of the CPU a trial may use.

Claim: a second core is not free. Where steps are small, as at batch 16, it
waits more than it computes, and its joules buy little or nothing; where each
core has enough to do it halves the time, and what the rest of the machine
takes meanwhile. On a CPU without an energy counter joules are modelled from
CPU time, which is the part of this that cores change.
Cost: about three minutes on two idle CPU cores.

  python scripts/run.py --config=configs/cores.py
  python scripts/run.py --config=configs/cores.py --config.vary.cores='(1,2,4)'
"""

from jaxpower.config import Model, Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `data`, `model`, `framework`, `quick`."""
  args = arguments(
    text, data="fashion_mnist_6k", model="cnn", framework="jax", quick=False
  )
  return Sweep(
    name="cores-quick" if args.quick else "cores",
    data=args.data,
    model=Model(name=args.model),
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    vary={
      "batch_size": (128,) if args.quick else (16, 256),
      "cores": (1, 2),
    },
    seeds=1 if args.quick else 5,
    target_accuracy=0.7 if args.quick else 0.84,
    budget_examples=8_192 if args.quick else 40_960,
    evaluate_every_examples=256,
    idle_seconds=0.5,
    framework=args.framework,
  )
