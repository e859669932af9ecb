"""Says before anything runs which train windows a power sensor cannot resolve.

A train window lasts from one evaluation to the next. What an energy counter
shows of it is whole ticks, so that windows of a few ticks are mostly error. How
long they will be is estimated: operations of an update, counted from the sizes
of the network, over what the card is assumed to reach. That may be off by a
factor of three, which is enough to know milliseconds from seconds.
"""

import math
from collections.abc import Iterable

from jaxpower import data
from jaxpower.architectures import (
  BOTTLENECK_RATIO,
  MLP_RATIO,
  CnnSizes,
  ResNetSizes,
  Sizes,
  TransformerSizes,
  network_of,
  positions_of,
  sizes_of,
)
from jaxpower.config import FRAMEWORKS, Trial
from jaxpower.messages import Ready

# Chosen: at 20 periods the bound is about 1 % of a steady power
# (benchmarks/meter_accuracy.json).
FEWEST_PERIODS = 20
# Dense bfloat16 operations a second by NVIDIA's data sheets, by a word of the
# card's name; float32 products are TF32, at half of it.
PEAKS = {
  "B200": 2.25e15,
  "H200": 9.9e14,
  "H100": 9.9e14,
  "A100": 3.1e14,
  "L40S": 3.6e14,
  "V100": 1.2e14,
  "T4": 6.5e13,
}
OTHER_PEAK = 3e14  # of a card without an entry; chosen
UTILISATION = 0.15  # assumed, for small images and short sequences
STEP_SECONDS = 3e-4  # assumed: the shortest update is 60 launches of 5 us
PASSES = 3  # forward passes that an update costs: one, and two backward


def short_windows(trials: Iterable[Trial], ready: Ready) -> str:
  """Says which windows are expected to be too short, with the fix; or "".

  `ready` is what the worker says of its devices and its meter. On CPUs
  nothing is expected: their counter moves every millisecond.
  """
  period = counter_period(ready)
  if ready.platform == "cpu" or period is None:
    return ""
  trials = list(filter(_is_countable, trials))
  if not trials:
    return ""
  lasting = [window_seconds(trial, ready) for trial in trials]
  short = sum(seconds < FEWEST_PERIODS * period for seconds in lasting)
  if not short:
    return ""
  seconds, trial = min(
    zip(lasting, trials, strict=True), key=lambda pair: pair[0]
  )
  times = math.ceil(FEWEST_PERIODS * period / seconds)
  every = times * trial.evaluate_every_examples
  budget = (
    f" --config.budget_examples={every}"
    if every > trial.budget_examples
    else ""
  )
  return (
    f"train windows of {short} of {len(trials)} trials are expected to be too"
    f" short to be measured: at batch {trial.batch_size} about"
    f" {seconds * 1e3:.2g} ms (estimated), {seconds / period:.2g} periods of a"
    f" counter that moves every {period * 1e3:.3g} ms; {FEWEST_PERIODS} are"
    f" wanted: --config.evaluate_every_examples={every}{budget}, or a larger"
    " set and model, as configs/batch.py:gpu has"
  )


def _is_countable(trial: Trial) -> bool:
  """Whether it is known what a trial computes: not of a user's network."""
  return trial.framework in FRAMEWORKS and not network_of(trial.model.name).own


def counter_period(ready: Ready) -> float | None:
  """Returns the slowest period of the job's energy counters, in seconds."""
  sensors = [
    domain.get("sensor") or {}
    for domain in ready.meter.get("domains", ())
    if domain.get("counted") and domain.get("kind") == "gpu"
  ]
  periods = [sensor.get("counter_period_seconds") for sensor in sensors]
  return max((p for p in periods if p), default=None)


def window_seconds(trial: Trial, ready: Ready) -> float:
  """Estimates how long training lasts from one evaluation to the next."""
  kind = ready.device_kind
  peak = next((p for word, p in PEAKS.items() if word in kind), OTHER_PEAK)
  if trial.precision == "float32":
    peak /= 2
  devices = trial.devices or ready.devices
  operations = PASSES * forward_operations(trial) * trial.batch_size / devices
  steps = trial.evaluate_every_examples / trial.batch_size
  return steps * max(operations / (peak * UTILISATION), STEP_SECONDS)


def forward_operations(trial: Trial) -> float:
  """Counts the operations of one example's forward pass.

  Those of products and convolutions: two for each multiplication.
  """
  facts = data.describe(trial.data)
  sizes: Sizes = sizes_of(trial.model)
  shape = facts.input_shape
  if isinstance(sizes, TransformerSizes):
    return 2 * _transformer(sizes, shape)
  # A window is a column of pixels, with or without an axis of channels.
  height, width, channels = shape if len(shape) == 3 else (*shape[:1], 1, 1)
  if len(shape) == 2:
    channels = shape[1]
  if isinstance(sizes, CnnSizes):
    return 2 * _cnn(sizes, height, width, channels)
  assert isinstance(sizes, ResNetSizes)  # those of a user's are not known
  return 2 * _resnet(sizes, height, width, channels)


def _cnn(sizes: CnnSizes, height: int, width: int, channels: int) -> float:
  """Counts multiplications: each stage halves the image."""
  products, window = 0, 9 if width > 1 else 3
  for features in sizes.channels:
    height, width = -(-height // 2), -(-width // 2)
    first = height * width * window * channels * features
    others = height * width * window * features**2 * (sizes.layers - 1)
    products, channels = products + first + others, features
  return products + height * width * channels * sizes.hidden


def _resnet(
  sizes: ResNetSizes, height: int, width: int, channels: int
) -> float:
  """Counts multiplications of blocks, and where shapes differ projections."""
  before = sizes.channels
  products = height * width * 9 * channels * before
  for stage, blocks in enumerate(sizes.stages):
    inside = sizes.channels * 2**stage
    after = inside * (BOTTLENECK_RATIO if sizes.bottleneck else 1)
    for block in range(blocks):
      pixels = height * width  # before a block that halves the image
      if stage and not block:
        height, width = -(-height // 2), -(-width // 2)
      small = height * width
      if sizes.bottleneck:
        products += pixels * before * inside
        products += small * (9 * inside**2 + inside * after)
      else:
        products += small * 9 * (before * inside + inside**2)
      if before != after or pixels != small:
        products += small * before * after
      before = after
  return products


def _transformer(sizes: TransformerSizes, shape: tuple[int, ...]) -> float:
  """Counts multiplications of attention and perceptrons."""
  length, features = positions_of(shape), sizes.features
  linear = length * features**2 * (4 + 2 * MLP_RATIO)
  return sizes.layers * (linear + 2 * length**2 * features)
