"""Hugging Face's Trainer, attached to a sweep by a callback.

pip install transformers accelerate torch
python scripts/run.py --config=examples/sweep.py:name=trainer

Said (`,quick`, two busy cores, joules estimated):
batch 16 reached 95.4 % for 2.55 J, batch 64 89.9 % for 0.721 J.
"""

import digits
import numpy as np
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from jaxpower import attach

args = digits.arguments()
torch.set_num_threads(1)  # several would wait for each other here


class Attached(TrainerCallback):
  """Tells a sweep of each evaluation, and stops when the sweep says so."""

  def on_train_begin(self, given, state, control, **_):
    self.run = attach()

  def on_epoch_end(self, given, state, control, **_):
    self.evaluating = self.run.phase("eval").__enter__()

  def on_evaluate(self, given, state, control, metrics, **_):
    self.evaluating.__exit__()
    told = metrics["eval_accuracy"], state.global_step * args.batch
    over = self.run.report(*told, loss=metrics["eval_loss"])
    control.should_training_stop = over or control.should_training_stop


class Net(torch.nn.Module):
  def __init__(self):
    super().__init__()
    self.layer = torch.nn.Linear(64, 10)

  def forward(self, inputs, labels):
    logits = self.layer(inputs)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return {"loss": loss, "logits": logits}


train, validation = (
  [{"inputs": x, "labels": y} for x, y in zip(*arrays, strict=True)]
  for arrays in digits.load(args.seed)
)
given = TrainingArguments("out", num_train_epochs=20, seed=args.seed)
given.per_device_train_batch_size, given.learning_rate = args.batch, args.lr
given.eval_strategy, given.save_strategy, given.report_to = "epoch", "no", []
score = lambda told: {"accuracy": np.mean(told[0].argmax(1) == told[1])}
sets = {"train_dataset": train, "eval_dataset": validation}
also = {"compute_metrics": score, "callbacks": [Attached()]}
Trainer(Net(), given, **sets, **also).train()
