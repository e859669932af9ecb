"""JAX against PyTorch compiled with CUDA graphs: joules for an example.

Claim: none yet; the cells are ResNet-18 or a ViT in bfloat16 at batch sizes
from 32 to 1024, each trained on the same number of examples under one meter.
Cost: about 150 s on an H100 for one of them, expected, most of it compiling.

  python scripts/run.py --config=benchmarks/gpu/cells.py
  python scripts/run.py --config=benchmarks/gpu/cells.py:model=vit
  python scripts/run.py --config=benchmarks/gpu/cells.py:batches=4
"""

import dataclasses
import os

from jaxpower import gpu_size
from jaxpower.config import Model, Optimizer, Sweep, arguments

BATCHES = (1024, 32, 256, 128, 512)  # the most telling ones first
EXAMPLES = 163_840  # 3 s at 54,000 a second


def get_config(text: str = "") -> Sweep:
  """Makes the sweep; `batches` says how many of the batch sizes."""
  args = arguments(text, model="resnet18", batches=2, eager=False)
  frameworks = ("jax", "torch_compile", *(("torch",) if args.eager else ()))
  sweep = Sweep(
    name=f"cells_{args.model}",
    data=gpu_size.BUNDLED,
    model=gpu_size.model(args.model),
    optimizer=Optimizer(name="momentum", learning_rate=0.05),
    precision="bfloat16",
    vary={"framework": frameworks, "batch_size": BATCHES[: args.batches]},
    seeds=1,
    target_accuracy=0.8,
    stop_at_target=False,
    budget_examples=EXAMPLES,
    evaluate_every_examples=EXAMPLES // 2,
    idle_seconds=1.0,
    devices=1,
  )
  if not os.environ.get("GPU_REHEARSAL"):
    return sweep
  return dataclasses.replace(
    sweep,
    model=Model(name="cnn"),
    precision="float32",
    vary={"framework": ("jax", "torch"), "batch_size": (1024, 32)},
    budget_examples=4096,
    evaluate_every_examples=2048,
  )
