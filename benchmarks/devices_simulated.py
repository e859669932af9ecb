"""Runs configs/devices.py on a machine of eight simulated GPUs.

  python benchmarks/devices_simulated.py [flags of scripts/run.py]

By default `--config=configs/devices.py:quick --out=runs/devices-simulated`.

Every process sees eight boards of a simulated NVML. One that a trial trains on
draws 300 W, any other 70 W (made up). The work is done by as many devices of
this machine's CPU, which share its cores: joules per example are those watts
times seconds of a CPU. So numbers here show that each trial is billed for its
own boards and that the report tells the rest, and say nothing of any GPU. The
devices are called "simulated" wherever they are named.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = (
  "--config=configs/devices.py:quick",
  "--out=runs/devices-simulated",
)

# What every Python of the run does first.
SITE = """
from jaxpower import wings
from jaxpower.power.simulated_nvml import Gpu, Library, install

GPUS, BUSY_WATTS, IDLE_WATTS = 8, 300.0, 70.0
UUIDS = [f"GPU-0000000{i}-0000-4000-8000-000000000000" for i in range(GPUS)]
used = [0]  # how many boards the newest trial trains on

def power(index):
  return lambda seconds: BUSY_WATTS if index < used[0] else IDLE_WATTS

install(Library(tuple(
  Gpu(power=power(i), uuid=UUIDS[i], name="simulated NVIDIA H100",
      pci=f"00000000:{0x10 + i:02X}:00.0")
  for i in range(GPUS)
)))

real_wing_of = wings.wing_of

def wing_of(framework):
  wing = real_wing_of(framework)
  if not hasattr(wing, "devices_of_cpu"):
    wing.devices_of_cpu = wing.devices
    wing.devices = devices_of(wing.devices_of_cpu)
  return wing

def devices_of(devices_of_cpu):
  def devices(trial):
    found = devices_of_cpu(trial)
    used[0] = len(found)
    return [
      {"platform": "gpu", "kind": "simulated NVIDIA H100", "index": i,
       "uuid": UUIDS[i].removeprefix("GPU-")}
      for i in range(len(found))
    ]
  return devices

wings.wing_of = wing_of
"""


def environment(folder: str) -> dict[str, str]:
  """Returns the environment of a run on simulated GPUs."""
  (pathlib.Path(folder) / "sitecustomize.py").write_text(SITE)
  return os.environ | {
    "PYTHONPATH": os.pathsep.join([folder, str(ROOT)]),
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "8",
    "JAXPOWER_TORCH_CPU_PROCESSES": "8",
    "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7",
  }


def main(flags: list[str]) -> int:
  """Runs the sweep; returns its exit code."""
  with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, "scripts/run.py", *(flags or CONFIG)]
    done = subprocess.run(
      [*command, "--meter=nvml"],
      cwd=ROOT,
      env=environment(folder),
      check=False,
    )
  return done.returncode


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
