"""Energy to accuracy from scratch and from a pretrained backbone.

Claim: where labels are few, a network that starts from a backbone trained on
related data reaches an accuracy that a random start mostly does not; where
they are many it saves some updates, fewer than pretraining took. A frozen
backbone makes each update cheaper; whether it needs more of them is a matter of
the head's learning rate, so each start is tried at the same three rates, and
the report compares the best of each with the best of the others. The cost of
pretraining is in the same records: one pretraining for each seed, at a rate of
its own, shared by all trials of that seed.
Cost: under ten minutes on two idle CPU cores; `novels` takes longer. `:gpu`,
ResNet-18 from the full Fashion-MNIST to digits, is expected to take five
minutes on an H100: eight trainings, two of them of a head
(jaxpower/gpu_size.py; not yet run on one).

  python scripts/run.py --config=configs/transfer.py
  python scripts/run.py --config=configs/transfer.py:pair=novels
  python scripts/run.py --config=configs/transfer.py:pair=clothes
  python scripts/run.py --config=configs/transfer.py:pair=cifar
  python scripts/run.py --config=configs/transfer.py:gpu
  python scripts/run.py --config=configs/transfer.py:features=once
  python scripts/run.py --config=configs/transfer.py:framework=torch \\
    --out=runs/transfer_torch

The default goes from MNIST to the digits of other writers and another
scanner, `novels` from early novels of Austen to late ones. `clothes` goes from
Fashion-MNIST to digits, where pretraining saves nothing. `cifar`
goes from CIFAR-100 to CIFAR-10 and is meant for a GPU; both are prepared by
scripts/prepare_data.py.
"""

import dataclasses

from jaxpower import gpu_size
from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Transfer,
  Trial,
  arguments,
  unknown,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
  """A dataset to pretrain on (`source`), and one to train on after it.

  `shares` are shares of the second one's training set, `rates` the learning
  rates at which each start is tried on it; `every` is such that the cheapest of
  them is looked at about 20 times on its way to the target.
  """

  source: str
  source_target: float
  source_budget: int
  source_every: int  # examples between evaluations
  data: str
  target: float
  budget: int
  every: int
  shares: tuple[float, ...]
  model: Model
  batch_size: int = 64
  source_rate: float = 3e-3  # of pretraining
  rates: tuple[float, ...] = (3e-3, 1e-2, 3e-2)


DIGITS = Pair(
  source="mnist_5k",
  source_target=0.93,
  source_budget=20_480,
  source_every=1_024,
  data="digits_28",
  target=0.85,
  budget=7_680,
  every=32,
  shares=(0.05, 0.2, 1.0),
  model=Model(name="cnn"),
  batch_size=32,
)
PAIRS = {
  "digits": DIGITS,
  "clothes": dataclasses.replace(
    DIGITS, source="fashion_mnist_6k", source_target=0.8
  ),
  "novels": Pair(
    source="austen_novels_early",
    source_target=0.55,
    source_budget=20_480,
    source_every=2_048,
    data="austen_novels_late",
    target=0.6,
    budget=10_240,
    every=512,
    shares=(0.1, 1.0),
    model=Model(name="transformer", width=0.5, depth=0.5),
    source_rate=5e-3,
    rates=(2e-3, 5e-3, 1.2e-2),
  ),
  "cifar": Pair(
    source="cifar100",
    source_target=0.5,
    source_budget=2_000_000,
    source_every=32_768,
    data="cifar10",
    target=0.8,
    budget=1_000_000,
    every=4_096,
    shares=(0.02, 0.1, 1.0),
    model=Model(name="resnet18"),
    batch_size=128,
    rates=(1e-3, 3e-3, 1e-2),
  ),
}


def gpu_pair(clothes: str) -> Pair:
  """Returns the pair in the size of a GPU; one rate, one share."""
  return Pair(
    source=clothes,
    source_target=0.88,
    source_budget=gpu_size.EXAMPLES,
    source_every=gpu_size.EVERY,
    data="mnist_5k",
    target=0.95,
    budget=gpu_size.EXAMPLES,
    every=gpu_size.EVERY,
    shares=(1.0,),
    model=gpu_size.model(""),
    batch_size=512,
    source_rate=1e-3,
    rates=(1e-3,),
  )


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: those with defaults below.

  `source`, `data` and `model` replace those of the `pair`; `data` alone is the
  dataset of both trainings. `features` "once": those of the frozen backbone are
  computed in one pass before training.
  """
  args = arguments(
    text,
    pair="digits",
    source="",
    data="",
    model="",
    features="every",
    framework="jax",
    quick=False,
    gpu=False,
    auto=False,
  )
  on_gpu = gpu_size.asked_for(args, args.framework)
  if args.pair not in PAIRS:
    raise ConfigError(unknown("pair", args.pair, PAIRS))
  pair = gpu_pair(gpu_size.dataset(args)) if on_gpu else PAIRS[args.pair]
  model = Model(name=args.model) if args.model else pair.model
  if on_gpu:
    model = gpu_size.model(args.model)
  precision = "bfloat16" if on_gpu else "float32"
  # The same model, so that an override holds for both trainings. All else of
  # the pretraining is its own: an override of the sweep does not change it.
  pretraining = Trial(
    data=args.source or args.data or pair.source,
    model=model,
    optimizer=Optimizer(name="adam", learning_rate=pair.source_rate),
    batch_size=pair.batch_size,
    target_accuracy=0.6 if args.quick else pair.source_target,
    budget_examples=pair.source_budget,
    evaluate_every_examples=pair.source_every,
    idle_seconds=0.5,
    precision=precision,
    stop_at_target=not on_gpu,
    framework=args.framework,
  )
  name = "transfer" if args.pair == "digits" else f"transfer_{args.pair}"
  return Sweep(
    name=f"{name}-quick" if args.quick else name + "-gpu" * on_gpu,
    data=args.data or pair.data,
    model=model,
    optimizer=Optimizer(name="adam"),
    batch_size=pair.batch_size,
    vary={
      "transfer": (
        Transfer(),
        Transfer(init_from=pretraining),
        Transfer(init_from=pretraining, freeze=True, features=args.features),
      ),
      "optimizer.learning_rate": pair.rates[:1] if args.quick else pair.rates,
      "data_share": (0.2,) if args.quick else pair.shares,
    },
    seeds=1 if args.quick else 2 if on_gpu else 5,
    target_accuracy=0.6 if args.quick else pair.target,
    budget_examples=pair.budget,
    evaluate_every_examples=pair.every,
    idle_seconds=0.5,
    precision=precision,
    crossing="interpolated" if on_gpu else "confirmed",
    stop_at_target=not on_gpu,  # else every trial trains for 30 s
    framework=args.framework,
  )
