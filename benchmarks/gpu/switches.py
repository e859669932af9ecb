"""What each switch of `execution` is worth in joules, on ResNet-18 and a ViT.

Claim: none yet. Every switch is varied alone, the others at their default.
Cost: about 20 s a cell on an H100, expected, most of it compiling.

  python scripts/run.py --config=benchmarks/gpu/switches.py
  python scripts/run.py --config=benchmarks/gpu/switches.py:model=vit
"""

import dataclasses
import os

from jaxpower import gpu_size
from jaxpower.config import Execution, Model, Optimizer, Sweep, arguments

EXAMPLES = 163_840
RESNET = (
  Execution(),
  Execution(command_buffers="loops"),
  Execution(unroll=4),
  Execution(command_buffers="none"),
  Execution(autotune_level=0),
  Execution(layout="nchw"),
)
VIT = (Execution(), Execution(attention="plain"), Execution(unroll=4))


def get_config(text: str = "") -> Sweep:
  """Makes the sweep."""
  args = arguments(text, model="resnet18", batch=128)
  sweep = Sweep(
    name=f"switches_{args.model}",
    data=gpu_size.BUNDLED,
    model=gpu_size.model(args.model),
    optimizer=Optimizer(name="momentum", learning_rate=0.05),
    precision="bfloat16",
    batch_size=args.batch,
    vary={"execution": VIT if args.model == "vit" else RESNET},
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
    budget_examples=4096,
    evaluate_every_examples=2048,
  )
