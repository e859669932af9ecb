"""Joins a process to the group of those that train together.

CPUs exchange what they sum by gloo, GPUs by NCCL.
"""

import os
import re
import socket

import jax

# How long processes wait for each other to join. Chosen, not fitted: a start
# of JAX takes 3 s on two idle cores, and 8 at once are far slower.
JOIN_SECONDS = 120

# After which JAX itself ends a process whose peer gives no sign of life.
# Chosen: later than all that `coordinator` finds, which can say the cause.
HEARTBEAT_SECONDS = 600

LOOPBACK = "127.0.0.1"
FORCED_CPUS = re.compile(r"--xla_force_host_platform_device_count=\d+")


def free_address(host: str = LOOPBACK) -> str:
  """Finds a port that is free on this machine; returns "host:port".

  `host` is how other processes reach it.
  """
  with socket.socket() as probe:
    probe.bind((LOOPBACK if host == LOOPBACK else "", 0))
    return f"{host}:{probe.getsockname()[1]}"


def init(address: str, rank: int, world_size: int) -> None:
  """Joins the group; returns when all its processes have met.

  Each has the first of the devices that it sees. Raises RuntimeError where
  they have not met after JOIN_SECONDS.
  """
  host, port = address.rsplit(":", 1)
  flags = os.environ.get("XLA_FLAGS")
  if flags is not None:  # a process has one CPU device, whatever is forced
    os.environ["XLA_FLAGS"] = FORCED_CPUS.sub("", flags)
  jax.config.update("jax_num_cpu_devices", 1)
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  jax.distributed.initialize(
    address,
    world_size,
    rank,
    local_device_ids=[0],
    initialization_timeout=JOIN_SECONDS,
    heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    # On loopback nobody else can join: the service asks for no password.
    coordinator_bind_address=address if host == LOOPBACK else f"[::]:{port}",
  )
  found = jax.device_count()  # here the backends start
  if flags is not None:
    os.environ["XLA_FLAGS"] = flags
  if found != world_size:
    raise RuntimeError(f"{world_size} processes have {found} devices")
