"""PyTorch Lightning, attached to a sweep by a callback.

pip install lightning torch
python scripts/run.py --config=examples/sweep.py:name=torch_lightning

Said (`,quick`, two busy cores, joules estimated):
batch 16 reached 94.5 % for 4.32 J, batch 64 89.5 % for 0.818 J.
"""

import digits
import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

from jaxpower import attach

args = digits.arguments()
torch.set_num_threads(1)  # several would wait for each other here
entropy = torch.nn.functional.cross_entropy


class Attached(lightning.Callback):
  def on_train_start(self, trainer, module):
    self.run = attach()

  def on_validation_start(self, trainer, module):
    self.evaluating = self.run.phase("eval").__enter__()

  def on_validation_end(self, trainer, module):
    self.evaluating.__exit__()
    told, seen = trainer.callback_metrics, trainer.global_step * args.batch
    if self.run.report(told["accuracy"], seen, loss=told["loss"]):
      trainer.should_stop = True


class Net(lightning.LightningModule):
  def __init__(self):
    super().__init__()
    self.layer = torch.nn.Linear(64, 10)

  def training_step(self, batch, index):
    return entropy(self.layer(batch[0]), batch[1])

  def validation_step(self, batch, index):
    scores = self.layer(batch[0])
    right = (scores.argmax(1) == batch[1]).float().mean()
    self.log_dict({"accuracy": right, "loss": entropy(scores, batch[1])})

  def configure_optimizers(self):
    return torch.optim.Adam(self.parameters(), args.lr)


lightning.seed_everything(args.seed)
sets = [TensorDataset(*map(torch.tensor, s)) for s in digits.load(args.seed)]
trainer = lightning.Trainer(
  max_epochs=20, num_sanity_val_steps=0, logger=False, callbacks=[Attached()]
)
loader = DataLoader(sets[0], args.batch, shuffle=True)
trainer.fit(Net(), loader, DataLoader(sets[1], 237))
