"""Puts a simulated H100 into every Python of a rehearsal (first_run.sh, SIM=1).

Python imports a module of this name by itself. The card draws 200 W, always,
and its counter moves every 100 ms.
"""

import os

if os.environ.get("GPU_REHEARSAL"):
  try:
    from jaxpower.power.simulated import SensorModel
    from jaxpower.power.simulated_nvml import Gpu, Library, install
  except ImportError:  # a Python without our packages, such as pip's own
    pass
  else:
    counter = SensorModel(energy_period=0.1, quantum=1e-3)
    card = Gpu(name="NVIDIA H100 80GB HBM3 (simulated)", counter=counter)
    install(Library((card,)))
