"""Compiles what trains for an H100 or H200 that is not there.

Claim: what JAX trains, in the sizes of `:gpu` and with every switch, compiles
for a card of compute capability 9.0, and attention goes to cuDNN where a record
says so. Nothing is run and nothing timed: no card is needed, only JAX's plugin
for CUDA. Kernels are not tried (autotune level 0), which takes a card.
Cost: about half a minute a program on a core.

  pip install 'jax[cuda13]'
  PYTHONPATH=. python benchmarks/gpu/compile_for.py --out=compiled.json
  PYTHONPATH=. python benchmarks/gpu/compile_for.py vit resnet18
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys
from typing import Any

# The plugin would ask a driver for the card.
os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"

import jax
from jax.experimental import topologies

from jaxpower import data, gpu_size, provenance
from jaxpower.config import Execution, Model, Trial
from jaxpower.learn import placement, wing

# As XLA writes a card down (openxla/xla, xla/backends/gpu/target_config/specs/
# h100_sxm.txtpb); an H200 differs by its memory.
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84942979072
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 12 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
POOL_BYTES = 60 << 30  # of its 80 GB, what JAX takes by default
CALLS = {
  "attention of cuDNN": "__cudnn$fmha",
  "convolutions of cuDNN": "__cudnn$conv",
  "products of cuBLAS": "__cublas",
}
VIT = gpu_size.VIT_TINY
SMALL_VIT = Model(name="vit", width=3.0, heads=3)


def trial(name: str, **changes: Any) -> Trial:
  """Makes a trial of a few updates in bfloat16."""
  usual = Trial(
    data=gpu_size.BUNDLED,
    model=Model(name=name),
    batch_size=128,
    evaluate_every_examples=1024,
    budget_examples=1024,
    precision="bfloat16",
    devices=1,
  )
  return dataclasses.replace(usual, **changes)


def switched(name: str, **switches: Any) -> Trial:
  model = SMALL_VIT if name == "vit" else Model(name=name)
  return trial(name, model=model, dropout=0.1, execution=Execution(**switches))


TRIALS = {
  "cnn": trial("cnn"),
  "resnet18": trial("resnet18", batch_size=512),
  "resnet18 in float32": trial("resnet18", precision="float32"),
  "vit": trial("vit", model=VIT, batch_size=512),
  "vit in float32": trial("vit", model=SMALL_VIT, precision="float32"),
  "vit of 8 x 8 pixels": trial("vit", data="digits"),
  "decoder": trial("decoder", data="austen"),
  "transformer": trial("transformer", data="austen_novels_early"),
  "transformer of windows": trial("transformer", data="imu"),
  "loops": switched("vit", command_buffers="loops"),
  "none": switched("vit", command_buffers="none"),
  "unroll": switched("vit", unroll=4),
  "rbg": switched("vit", draws="rbg"),
  "plain": switched("vit", attention="plain"),
  "nhwc": switched("cnn", layout="nhwc"),
  "nchw": switched("vit", layout="nchw"),
}


def place_without_card() -> None:
  """Has the wing find the card, and bring nothing to it."""
  card = topologies.get_topology_desc(
    platform="cuda", topology_name="", target_config=H100, topology="1x1x1"
  )
  found = jax.devices

  def devices(*asked: Any) -> list[Any]:
    return found(*asked) if asked else list(card.devices)

  room: Any = placement
  jax.devices = devices
  room.put = lambda *_, **__: None
  room.memory_bytes = lambda *_: POOL_BYTES
  room._on_devices = room._divided = lambda *_: {}


def compiled(asked: Trial) -> dict[str, Any]:
  """Compiles all programs of a trial; returns what there is to say of them."""
  execution = dataclasses.replace(asked.execution, autotune_level=0)
  asked = dataclasses.replace(asked, execution=execution)
  sets = data.load(asked.data)
  placed = wing.place(asked, data.for_tasks(sets, asked.tasks))
  programs = wing.compile_programs(placed.spec)
  train: Any = programs.train
  text = train.as_text()
  flops = wing.flops_per_step(placed.spec)
  return {
    "numerics": wing.numerics(placed),
    "workspace_bytes": programs.workspace_bytes,
    "flops_per_example": flops and flops / asked.batch_size,
    "calls": {name: text.count(word) for name, word in CALLS.items()},
  }


def main() -> int:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("names", nargs="*", help=", ".join(TRIALS))
  parser.add_argument("--out", type=pathlib.Path)
  args = parser.parse_args()
  place_without_card()
  told: dict[str, Any] = {
    "command": " ".join(sys.argv),
    "versions": provenance.package_versions(),
    "programs": {},
  }
  for name in args.names or TRIALS:
    try:
      told["programs"][name] = compiled(TRIALS[name])
    except Exception as error:  # noqa: BLE001, the next one matters too
      told["programs"][name] = {"error": f"{type(error).__name__}: {error}"}
    print(name, json.dumps(told["programs"][name]), flush=True)
    if args.out:
      args.out.write_text(f"{json.dumps(told, indent=1)}\n")
  return any("error" in found for found in told["programs"].values())


if __name__ == "__main__":
  sys.exit(main())
