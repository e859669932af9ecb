"""The work of one update, counted before it is compiled."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxpower.learn import optimizer
from jaxpower.learn.spec import Spec, shapes_of
from jaxpower.learn.step import train_step
from jaxpower.learn.train import shapes_of_state, weighed_tasks


def flops_per_step(spec: Spec) -> float | None:
  """Floating-point operations of one update over all devices, as XLA counts.

  Taken from one step before optimisation, its batch in one piece: a count of
  a loop, over steps or micro-batches, would hold its body only once.
  """
  spec = dataclasses.replace(spec, accumulation=1)
  state = shapes_of_state(spec)
  whole = shapes_of(spec, "train")
  batch = whole | {
    name: jax.ShapeDtypeStruct(
      (spec.batch_size, *whole[name].shape[1:]), whole[name].dtype
    )
    for name in ("input", "label")
  }
  if spec.augmentation != "none":
    shape = (spec.batch_size, 3)
    batch["draws"] = jax.ShapeDtypeStruct(shape, jnp.int8)
  step = jax.jit(functools.partial(train_step, spec))
  numbers = optimizer.shapes(tasks=weighed_tasks(spec))
  cost = step.lower(state, batch, numbers).cost_analysis()
  return (cost or {}).get("flops")
