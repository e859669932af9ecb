"""A Flax NNX network with Optax, attached to a sweep.

python scripts/run.py --config=examples/sweep.py:name=flax_nnx

Said (`,quick`, two busy cores, joules estimated):
batch 16 reached 98.3 % for 9.83 J, batch 64 96.2 % for 4.16 J.
"""

import digits
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxpower import attach

args = digits.arguments()


def loss_of(net, inputs, labels):
  scores = net(inputs)
  loss = optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()
  return loss, jnp.mean(jnp.argmax(scores, 1) == labels)


@nnx.jit
def step(net, optimizer, inputs, labels):
  slopes, _ = nnx.grad(loss_of, has_aux=True)(net, inputs, labels)
  optimizer.update(net, slopes)


evaluate = nnx.jit(loss_of)
(inputs, labels), validation = digits.load(args.seed)
draw = np.random.default_rng(args.seed)
rngs = nnx.Rngs(args.seed)
net = nnx.Sequential(
  nnx.Linear(64, 256, rngs=rngs), nnx.relu, nnx.Linear(256, 10, rngs=rngs)
)
optimizer = nnx.Optimizer(net, optax.adam(args.lr), wrt=nnx.Param)

run = attach()
with run.phase("compile"):  # both programs, on rows that are thrown away
  some = inputs[: args.batch], labels[: args.batch]
  step(nnx.clone(net), nnx.clone(optimizer), *some)
  evaluate(net, *validation)
seen = 0
for epoch in range(20):
  order = draw.permutation(len(inputs))
  for first in range(0, len(order) - args.batch + 1, args.batch):
    rows = order[first : first + args.batch]
    step(net, optimizer, inputs[rows], labels[rows])
    seen += args.batch
  with run.phase("eval"):
    loss, accuracy = evaluate(net, *validation)
  if run.report(accuracy=accuracy, examples=seen, loss=loss):
    break
