"""Energy to accuracy over the power limit of the GPU.

Claim: at a lower limit a card takes longer and, down to some limit, fewer
joules for the same training; below it the watts that flow whatever it does
weigh more than what is saved. The limit is set on the card, read back and put
back; that needs the rights of root and a GPU, and is refused in one line
without (docs/gpu.md).
Cost: on an H100 about six minutes expected, not yet run on one: ten trials of
30 s or a little more.

  sudo .venv/bin/python scripts/run.py --config=configs/power_limit.py
  sudo .venv/bin/python scripts/run.py --config=configs/power_limit.py \\
    --config.vary.power_limit_watts='(300,250,200,150)'
"""

from jaxpower import gpu_size
from jaxpower.config import Optimizer, Sweep, arguments


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: those with defaults below."""
  args = arguments(
    text,
    data=gpu_size.FULL,
    model="resnet18",
    framework="jax",
    quick=False,
  )
  sweep = Sweep(
    name="power_limit-quick" if args.quick else "power_limit",
    data=gpu_size.BUNDLED if args.quick else args.data,
    optimizer=Optimizer(name="adam", learning_rate=1e-3),
    batch_size=512,
    # Of an H100 SXM, which takes 200 to 700 W.
    vary={
      "power_limit_watts": (700.0, 300.0)
      if args.quick
      else (700.0, 550.0, 400.0, 300.0, 200.0)
    },
    target_accuracy=0.9,
    framework=args.framework,
  )
  return gpu_size.sized(sweep, args.model, seeds=1 if args.quick else 2)
