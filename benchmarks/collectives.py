"""What the devices of one trial send each other in an update.

  JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=8 python benchmarks/collectives.py

For each network and each way in which arrays may lie (docs/devices.md): the
collectives of the compiled program of an update, the megabytes that they hand
to each device, and the milliseconds of CPU that an update takes, the least of
some segments. The first two are of the program for CPUs; on GPUs it is another
one, which may combine or split them. The last is of copies within one memory:
it tells whether a message costs anything, not what it would over NVLink.
Writes benchmarks/collectives.json.
"""

import dataclasses
import json
import math
import pathlib
import re
import time
from typing import Any

import jax

from jaxpower import data
from jaxpower.config import Model, Optimizer, Trial
from jaxpower.learn import wing
from jaxpower.learn.programs import Programs, _compile_resident
from jaxpower.learn.state import fresh_state

DEVICES = jax.device_count()
STEPS, SEGMENTS = 8, 5
NAMES = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
LINE = re.compile(rf"= (.*?) ({NAMES})(?:-start)?\(")
SHAPE = re.compile(r"(pred|[a-z]+)(\d*)\[([\d,]*)\]")
NETWORKS = {
  "cnn": ("fashion_mnist_6k", Model(name="cnn"), 256),
  "decoder": ("austen", Model(name="decoder"), 64),
  "resnet18": ("fashion_mnist_6k", Model(name="resnet18", width=1 / 8), 64),
}
WAYS = {
  "replicated": {},
  "data divided": {"data_sharding": "divided"},
  "fsdp": {"sharding": "fsdp"},
  "batch norm global": {"batch_norm": "global"},
  "4 micro-batches": {"accumulation": 4},
}

# What a way shows is the same in the other networks, or they have none of it.
ONLY = {"batch norm global": "resnet18", "4 micro-batches": "cnn"}


def main() -> None:
  """Measures every network each way, and writes what was found."""
  found = []
  for name in NETWORKS:
    for way, fields in WAYS.items():
      if way in ONLY and name != ONLY[way]:
        continue
      row = {"network": name, "way": way, **measure(name, fields)}
      print(row, flush=True)
      found.append(row)
  facts = {"devices": DEVICES, "jax": jax.__version__, "found": found}
  path = pathlib.Path(__file__).with_suffix(".json")
  path.write_text(json.dumps(facts, indent=1) + "\n")


def measure(name: str, fields: dict[str, Any]) -> dict[str, Any]:
  """Returns the collectives, megabytes and CPU time of an update."""
  dataset, model, batch = NETWORKS[name]
  trial = dataclasses.replace(
    Trial(
      data=dataset,
      model=model,
      optimizer=Optimizer(name="adam"),
      batch_size=batch,
      evaluate_every_examples=batch * STEPS,
      accumulation=1,
      devices=0,
    ),
    **fields,
  )
  placed = wing.place(trial, data.load(dataset, validation_share=0.1))
  program = _compile_resident(placed.spec)
  programs = Programs(program, evaluate=lambda *_: {}, workspace_bytes=0)
  state, seconds = fresh_state(placed.spec, 0), []
  for segment in range(SEGMENTS + 1):
    began = time.process_time()
    state, _, _ = jax.block_until_ready(
      wing.train(programs, state, placed, segment)
    )
    seconds.append(time.process_time() - began)
  lines = LINE.findall(program.as_text() or "")
  kinds = [kind for _, kind in lines]
  return {
    "collectives": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
    "megabytes": round(sum(bytes_of(shape) for shape, _ in lines) / 1e6, 3),
    "cpu_milliseconds": round(1e3 * min(seconds[1:]) / STEPS, 2),
  }


def bytes_of(shapes: str) -> float:
  """Adds up the bytes of the arrays in a shape of HLO, perhaps a tuple."""
  return sum(
    (int(bits) / 8 if bits else 1)
    * math.prod(map(int, filter(None, n.split(","))))
    for _, bits, n in SHAPE.findall(shapes)
  )


if __name__ == "__main__":
  main()
