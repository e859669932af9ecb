"""Has a worker see the cores of its CPU as devices of JAX, one each.

`jaxpower.learn.cores` says which trials are divided over them, and why.
"""

from collections.abc import Mapping

CORES = "JAXPOWER_CPU_CORES"  # the variable with how many devices are cores

# What says how many CPU devices JAX has: a variable, and a word of XLA_FLAGS.
CPU_DEVICES = "JAX_NUM_CPU_DEVICES"
FORCED = "xla_force_host_platform_device_count"

# Chosen: each core has a state and gradients of its own; measured on two.
MOST_CORES = 16


def variables_for(cores: int, environ: Mapping[str, str]) -> dict[str, str]:
  """Returns what makes JAX see so many cores as devices; nothing for one.

  Nothing either where `environ` says how many CPU devices there are: they are
  then devices to divide a trial over, as on a machine with several.
  """
  given = CPU_DEVICES in environ or FORCED in environ.get("XLA_FLAGS", "")
  if given or not 1 < cores <= MOST_CORES:
    return {}
  return {CORES: str(cores)}
