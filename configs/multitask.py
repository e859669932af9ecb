"""Energy to several targets in one network, against a network for each.

Claim: whether one network for all tasks is cheaper than one for each depends
on what the tasks share, and can be measured in joules up to the last target,
against the sum over single-task networks. The accuracy that each task ends
with shows a saving that was paid for in accuracy. All train on to the same
number of examples.
Cost: under five minutes on two idle CPU cores; a transformer takes longer.
`:gpu`, clothes and digits in one ResNet-18, is expected to take under five
minutes on an H100 (jaxpower/gpu_size.py; not yet run on one).

  python scripts/run.py --config=configs/multitask.py
  python scripts/run.py --config=configs/multitask.py:model=transformer
  python scripts/run.py --config=configs/multitask.py:weighting=uncertainty
  python scripts/run.py --config=configs/multitask.py:data=mnist_5k+digits_28
  python scripts/run.py --config=configs/multitask.py:gpu

For the fine and coarse classes of one set: data=cifar100,model=resnet18.
"""

from jaxpower import gpu_size
from jaxpower.architectures import NETWORKS
from jaxpower.config import Model, Optimizer, Sweep, arguments

IMU, DIGITS = "imu", "mnist_5k+digits_28"
# Each task's target: what its own network reaches in a third of the budget.
TARGETS = {
  IMU: {"label": 0.85, "subject": 0.55},
  DIGITS: {"mnist_5k": 0.92, "digits_28": 0.9},
  "fashion_mnist_6k+mnist_5k": {"fashion_mnist_6k": 0.82, "mnist_5k": 0.93},
  "cifar100": {"label": 0.4, "coarse_label": 0.5},
}
BUDGETS = {"cifar100": 1_536_000}


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: those with defaults below.

  `data` is a dataset with several labels or datasets joined by "+". By default
  sensor windows, with the tasks to name the exercise ("label") and the wearer
  ("subject"); for a model of images two datasets of digits.
  """
  args = arguments(
    text,
    data="",
    model="cnn",
    framework="jax",
    weighting="fixed",
    seeds=5,
    quick=False,
    gpu=False,
    auto=False,
  )
  network = NETWORKS.get(args.model)
  windows = network is None or "window" in network.reads
  data = args.data or (IMU if windows else DIGITS)
  targets = TARGETS.get(data) or dict.fromkeys(data.split("+"), 0.8)
  budget = BUDGETS.get(data, 40_960)
  sweep = Sweep(
    name="multitask-quick" if args.quick else "multitask",
    data=data,
    model=Model(name=args.model),
    framework=args.framework,
    optimizer=Optimizer(name="adam", learning_rate=3e-3),
    batch_size=64,
    task_weighting=args.weighting,
    vary={"tasks": (tuple(targets), *((task,) for task in targets))},
    seeds=1 if args.quick else args.seeds,
    targets=dict.fromkeys(targets, 0.4) if args.quick else targets,
    budget_examples=16_384 if args.quick else budget,
    evaluate_every_examples=512 if data == IMU else 256,
    stop_at_target=args.quick,  # stopped, final accuracies show no loss
    idle_seconds=0.5,
  )
  if not gpu_size.asked_for(args, args.framework):
    return sweep
  clothes = gpu_size.dataset(args)
  targets = {clothes: 0.88, "mnist_5k": 0.95}
  return gpu_size.sized(
    sweep,
    args.model,
    name="multitask-gpu",
    data=f"{clothes}+mnist_5k",
    optimizer=Optimizer(name="adam", learning_rate=1e-3),
    batch_size=512,
    vary={"tasks": (tuple(targets), *((task,) for task in targets))},
    targets=targets,
  )
