"""Which part of a job this process is, as its launcher says it by variables."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from jaxpower.config import ConfigError

HOST = "JAXPOWER_HOST"  # the name of this host, in place of its own
ADDRESS = "JAXPOWER_ADDRESS"  # where the other hosts reach that of rank 0
MASTER = "MASTER_ADDR"  # the same, by torchrun
FOLDER = "JAXPOWER_RANKS"  # where ranks meet: set by us, for our workers

RANKS = "ranks"  # the folder of that, in a run folder

# Rank, number of ranks, and rank on its host: of torchrun, of a step of Slurm
# (in a batch script, which is no step, the second is not there) and of Open
# MPI. The first that is there counts, so that torchrun may run below srun.
LAUNCHERS = (
  ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
  ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
  (
    *("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "OMPI_COMM_WORLD_LOCAL_RANK",
  ),
)


@dataclass(frozen=True)
class Part:
  """One of the processes that a launcher started.

  `address` is where the others reach the host of rank 0; that host's own to
  say, and else not known.
  """

  rank: int
  world_size: int
  local_rank: int
  host: str
  address: str


def followed_part_of(variables: Mapping[str, str]) -> Part | None:
  """Reads which part this is, where the other ranks follow its `run.py`.

  None elsewhere: a notebook in a job of several tasks is on its own.
  """
  return part_of(variables) if FOLDER in variables else None


def part_of(variables: Mapping[str, str]) -> Part | None:
  """Reads which part this process is; None where it is the only one.

  Raises ConfigError where a launcher's variables make no sense.
  """
  for names in LAUNCHERS:
    texts = [variables.get(name) for name in names]
    if None in texts:
      continue
    try:
      rank, world_size, local_rank = (int(text or "") for text in texts)
    except ValueError:
      rank, world_size, local_rank = -1, 0, 0
    if not 0 <= local_rank <= rank < world_size:
      shown = " ".join(f"{n}={variables[n]}" for n in names)
      raise ConfigError(
        f"{shown}: not a rank, the number of ranks and the rank on its host;"
        " unset them, or start by torchrun, srun or mpirun"
      )
    if world_size == 1:
      return None
    host = variables.get(HOST) or platform.node()
    address = variables.get(ADDRESS) or variables.get(MASTER) or host
    return Part(rank, world_size, local_rank, host, address)
  return None
