"""Prints what a number depends on: card, driver, kernel and packages."""

import importlib.metadata
import os
import platform
import re
import subprocess

PACKAGES = re.compile(
  r"jax|flax|optax|orbax|numpy|torch|triton|nvidia|jaxpower", re.IGNORECASE
)

for command in (["nvidia-smi"], ["nvidia-smi", "-q", "-d", "POWER,CLOCK"]):
  try:
    print(subprocess.run(command, capture_output=True, text=True).stdout)
  except OSError as error:
    print(f"{command[0]}: {error}")
print(platform.platform(), platform.python_version(), os.cpu_count(), "cores")
for found in sorted(
  f"{d.metadata['Name']} {d.version}"
  for d in importlib.metadata.distributions()
  if PACKAGES.match(d.metadata["Name"] or "")
):
  print(found)
