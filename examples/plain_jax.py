"""A plain JAX loop, without a library of layers, attached to a sweep.

python scripts/run.py --config=examples/sweep.py:name=plain_jax

Said (`,quick`, two busy cores, joules estimated):
batch 16 reached 94.1 % for 12.0 J, batch 64 92.0 % for 12.4 J.
"""

import digits
import jax
import jax.numpy as jnp
import numpy as np

from jaxpower import attach

args = digits.arguments()


def scores_of(weights, inputs):
  return jax.nn.relu(inputs @ weights[0] + weights[1]) @ weights[2] + weights[3]


def loss_of(weights, inputs, labels):
  logs = jax.nn.log_softmax(scores_of(weights, inputs))
  return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], 1))


@jax.jit
def step(weights, inputs, labels):
  slopes = jax.grad(loss_of)(weights, inputs, labels)
  # The step of plain descent is larger than Adam's.
  return jax.tree.map(lambda w, g: w - 30 * args.lr * g, weights, slopes)


@jax.jit
def evaluate(weights, inputs, labels):
  right = jnp.argmax(scores_of(weights, inputs), 1) == labels
  return jnp.mean(right), loss_of(weights, inputs, labels)


(inputs, labels), validation = digits.load(args.seed)
one, two = jax.random.split(jax.random.key(args.seed))
wide = jax.random.normal(one, (64, 256)) / 8, jnp.zeros(256)
weights = (*wide, jax.random.normal(two, (256, 10)) / 16, jnp.zeros(10))
draw = np.random.default_rng(args.seed)

run = attach()
for epoch in range(1, 21):
  order = draw.permutation(len(inputs))
  for first in range(0, len(order) - args.batch + 1, args.batch):
    rows = order[first : first + args.batch]
    weights = step(weights, inputs[rows], labels[rows])
  with run.phase("eval", wait=weights):
    accuracy, loss = evaluate(weights, *validation)
  seen = epoch * len(order) // args.batch * args.batch
  if run.report(accuracy=accuracy, examples=seen, loss=loss, wait=weights):
    break
