"""Runs one of the examples as trials: joules to 90 % over two batch sizes.

  python scripts/run.py --config=examples/sweep.py:name=plain_torch

Names: plain_torch, plain_jax, flax_nnx, shell, trainer, torch_lightning,
notebook.
"""

from jaxpower.config import Sweep, arguments

OPTIONS = "--batch {batch_size} --lr {optimizer.learning_rate} --seed {seed}"
# How each is started; without a line here as a Python script with OPTIONS.
COMMANDS = {
  "shell": "sh examples/shell.sh {batch_size} {seed}",
  "notebook": "python examples/run_notebook.py examples/notebook.ipynb"
  " batch={batch_size} seed={seed}",
}


def get_config(text: str = "") -> Sweep:
  """Makes the sweep. Arguments: `name`, and `quick` for one trial each."""
  args = arguments(text, name="plain_torch", quick=False)
  sweep = Sweep(
    name=f"example-{args.name}{'-quick' if args.quick else ''}",
    framework="command",
    command=COMMANDS.get(
      args.name, f"python examples/{args.name}.py {OPTIONS}"
    ),
    data="digits",
    vary={"batch_size": (16, 64)},
    seeds=1 if args.quick else 3,
    target_accuracy=0.8 if args.quick else 0.9,
    budget_examples=24_000,
    idle_seconds=0.5,
  )
  sweep.optimizer.learning_rate = 0.003
  if args.name == "shell":  # it says nothing itself: its output is searched
    sweep.metrics = (r"accuracy=(?P<accuracy>\S+) examples=(?P<examples>\d+)",)
  return sweep
