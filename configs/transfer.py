"""Energy to accuracy from scratch and from a pretrained backbone.

Claim: where labels are few, a network that starts from a backbone trained on
related data reaches an accuracy that a random start mostly does not; where
they are many it saves some updates, fewer than pretraining took. A frozen
backbone makes each update cheaper and needs more of them. The cost of
pretraining is in the same records: one pretraining for each seed, shared by
all trials of that seed.
Cost: under five minutes on two idle CPU cores; `novels` takes longer.

  python scripts/run.py --config=configs/transfer.py
  python scripts/run.py --config=configs/transfer.py:pair=novels
  python scripts/run.py --config=configs/transfer.py:pair=clothes
  python scripts/run.py --config=configs/transfer.py:pair=cifar
  python scripts/run.py --config=configs/transfer.py:framework=torch \\
    --out=runs/transfer_torch

The default goes from MNIST to the digits of other writers and another
scanner, `novels` from early novels of Austen to late ones. `clothes` goes from
Fashion-MNIST to digits, where pretraining saves nothing. `cifar`
goes from CIFAR-100 to CIFAR-10 and is meant for a GPU; both are prepared by
scripts/prepare_data.py.
"""

import dataclasses

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

  `shares` are shares of the second one's training set.
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
  learning_rate: float = 3e-3


DIGITS = Pair(
  source="mnist_5k",
  source_target=0.93,
  source_budget=20_480,
  source_every=1_024,
  data="digits_28",
  target=0.85,
  budget=7_680,
  every=64,
  shares=(0.05, 0.2, 1.0),
  model=Model(name="cnn"),
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
    every=2_048,
    shares=(0.1, 1.0),
    model=Model(name="transformer", width=0.5, depth=0.5),
    learning_rate=5e-3,
  ),
  "cifar": Pair(
    source="cifar100",
    source_target=0.5,
    source_budget=2_000_000,
    source_every=32_768,
    data="cifar10",
    target=0.8,
    budget=1_000_000,
    every=8_192,
    shares=(0.02, 0.1, 1.0),
    model=Model(name="resnet18"),
    batch_size=128,
  ),
}


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: those with defaults below.

  `source`, `data` and `model` replace those of the `pair`; `data` alone is the
  dataset of both trainings.
  """
  args = arguments(
    text,
    pair="digits",
    source="",
    data="",
    model="",
    framework="jax",
    quick=False,
  )
  if args.pair not in PAIRS:
    raise ConfigError(unknown("pair", args.pair, PAIRS))
  pair = PAIRS[args.pair]
  model = Model(name=args.model) if args.model else pair.model
  optimizer = Optimizer(name="adam", learning_rate=pair.learning_rate)
  # The same model and optimizer, so that an override holds for both trainings.
  pretraining = Trial(
    data=args.source or args.data or pair.source,
    model=model,
    optimizer=optimizer,
    batch_size=pair.batch_size,
    target_accuracy=0.6 if args.quick else pair.source_target,
    budget_examples=pair.source_budget,
    evaluate_every_examples=pair.source_every,
    idle_seconds=0.5,
    framework=args.framework,
  )
  return Sweep(
    name="transfer" if args.pair == "digits" else f"transfer_{args.pair}",
    data=args.data or pair.data,
    model=model,
    optimizer=optimizer,
    batch_size=pair.batch_size,
    vary={
      "transfer": (
        Transfer(),
        Transfer(init_from=pretraining),
        Transfer(init_from=pretraining, freeze=True),
      ),
      "data_share": (0.2,) if args.quick else pair.shares,
    },
    seeds=1 if args.quick else 5,
    target_accuracy=0.6 if args.quick else pair.target,
    budget_examples=pair.budget,
    evaluate_every_examples=pair.every,
    idle_seconds=0.5,
    framework=args.framework,
  )
