"""What rank 0 of a trial over hosts does: gathers the others, meters with them.

Only in the worker's process, where the framework is.
"""

import os
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.hosts import meeting
from jaxpower.hosts.meeting import RemoteRank
from jaxpower.hosts.monitor import HostsMonitor
from jaxpower.hosts.part import FOLDER, Part


@dataclass(frozen=True)
class HostLeader:
  """The rank that meters another host."""

  rank: RemoteRank
  leading: Any  # the coordinator of a wing

  @property
  def host(self) -> str:
    """The name of its host."""
    return self.rank.hello.host

  def tell(self, message: Any) -> None:
    """Sends a message that is not answered."""
    self.rank.send(message)

  def ask(self, message: Any) -> Any:
    """Sends a message and returns its answer; raises DistributedError."""
    return self.leading.ask(self.rank, message)


class Hosts:
  """The ranks of the trials of this process, and the hosts that they are on.

  Args:
    part: Of this process: rank 0.
    framework: Of its trials.
    meter: auto, nvml, rapl or estimate.
  """

  def __init__(self, part: Part, framework: str, meter: str):
    self._part, self._framework, self._meter = part, framework, meter
    self._ranks: Sequence[RemoteRank] = ()
    self._leading: Any = None

  def start(self, world_size: int) -> None:
    """Has the trials that follow be over so many ranks, this one included.

    With JAX that is said once, before all else. Raises RuntimeError where a
    rank does not come, or cannot be joined.
    """
    address = self._part.address
    if self._framework == "jax":
      from jaxpower.learn.distributed import coordinator

      self._ranks = self._gather(world_size)
      self._leading = coordinator.start(
        world_size, others=self._ranks, address=address
      )
    else:
      from jaxpower.learn_torch.distributed import coordinator

      self._leading = coordinator.start(world_size, self._gather, address)
      self._ranks = () if self._leading is None else self._leading.workers

  @property
  def ranks(self) -> dict[str, list[int]]:
    """The ranks of each host, by its name; that of rank 0 comes first."""
    found: dict[str, list[int]] = {self._part.host: [0]}
    for rank in self._ranks:
      found.setdefault(rank.hello.host, []).append(rank.hello.rank)
    return found

  def monitor(
    self, wait: Callable[[Any], Any], gpus: Sequence[str]
  ) -> HostsMonitor:
    """Returns a monitor of all hosts; `gpus` are those of rank 0."""
    by_rank = {rank.hello.rank: rank for rank in self._ranks}
    of_host: dict[str, tuple[str, ...]] = {}
    for host, numbers in self.ranks.items():
      told = [by_rank[n].hello.gpu for n in numbers if n]
      of_host[host] = tuple(gpu for gpu in told if gpu is not None)
    own = self._part.host
    leaders = [
      (HostLeader(by_rank[first], self._leading), of_host[host])
      for host, (first, *_) in self.ranks.items()
      if host != own
    ]
    return HostsMonitor(
      own, leaders, self._meter, wait=wait, gpus=[*gpus, *of_host[own]]
    )

  def _gather(self, world_size: int) -> list[RemoteRank]:
    return meeting.gather(
      pathlib.Path(os.environ[FOLDER]),
      self._part.address,
      world_size,
      "jax" if self._framework == "jax" else "torch",
      self._meter,
    )
