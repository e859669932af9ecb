"""A monitor of several hosts: this one's own, and those of the others.

Every window is opened and closed on each host with that of this one, and its
energies are put together when they are asked for. The sum is over all hosts;
the bounds of hosts add linearly, since sensors of one kind err alike.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from jaxpower.hosts.meter import Close, Enter, Leave, Metered, Open, Tell
from jaxpower.power import Energy, Monitor, Window
from jaxpower.power.window import Handle, Load

# What of a meter's description is said of each host apart.
OF_A_HOST = ("gpus", "failures", "warnings")


class Leader(Protocol):
  """The rank of a host that meters it, as rank 0 reaches it."""

  @property
  def host(self) -> str:
    """The name of its host."""
    ...

  def tell(self, message: Any) -> None:
    """Sends a message that is not answered."""
    ...

  def ask(self, message: Any) -> Any:
    """Sends a message and returns its answer; raises where there is none."""
    ...


class HostsMonitor(Monitor):
  """Measures the energy of named windows on several hosts.

  What was spent so far is not known while a trial runs: only this host's is.

  Args:
    own: The name of this host.
    leaders: Of the other hosts, each with the GPUs of the trial there.
    meter, wait, gpus: As of a `Monitor`, of this host.
  """

  def __init__(
    self,
    own: str,
    leaders: Sequence[tuple[Leader, tuple[str, ...]]],
    meter: str,
    *,
    wait: Callable[[Any], Any] | None = None,
    gpus: Sequence[str] | None = None,
  ):
    super().__init__(meter, wait=wait, gpus=gpus)
    self.host = own
    self._leaders = leaders

  def __enter__(self) -> "HostsMonitor":
    for leader, gpus in self._leaders:
      leader.ask(Enter(gpus))
    super().__enter__()
    return self

  def __exit__(self, *error: object) -> None:
    super().__exit__(*error)
    for leader, _ in self._leaders:
      try:
        leader.tell(Leave())
      except Exception:  # noqa: BLE001 - it is gone, and said so already
        continue

  @contextmanager
  def window(self, name: str, *, steps: int | None = None) -> Iterator[Handle]:
    """Opens a window on every host."""
    for leader, _ in self._leaders:
      leader.tell(Open(name, steps))
    with super().window(name, steps=steps) as handle:
      yield handle
    for leader, _ in self._leaders:
      leader.tell(Close())

  def windows(self) -> tuple[Window, ...]:
    """Returns all closed windows, each with the energies of all hosts."""
    own = super().windows()
    others = {
      leader.host: metered.windows for leader, metered in self._metered()
    }
    return together(self.host, own, others)

  def joules_so_far(self, name: str | None = None) -> float | None:
    """As of a `Monitor`; None with other hosts, which training may not ask."""
    return None if self._leaders else super().joules_so_far(name)

  def describe(self) -> dict[str, Any]:
    """Describes what was measured and how, on every host."""
    own = super().describe()
    domains = [{"host": self.host, **domain} for domain in own["domains"]]
    hosts = {self.host: {name: own[name] for name in OF_A_HOST}}
    estimated = own["estimated"]
    for leader, metered in self._metered():
      told = metered.description
      domains += [
        domain
        | {"host": leader.host, "domain": named(leader.host, domain["domain"])}
        for domain in told["domains"]
      ]
      hosts[leader.host] = {name: told[name] for name in OF_A_HOST}
      estimated = estimated or told["estimated"]
    return own | {"domains": domains, "hosts": hosts, "estimated": estimated}

  def _metered(self) -> Iterator[tuple[Leader, Metered]]:
    for leader, _ in self._leaders:
      yield leader, leader.ask(Tell())


def named(host: str, domain: str) -> str:
  """Names a domain of another host."""
  return f"{host}/{domain}"


def together(
  own_host: str,
  own: Sequence[Window],
  others: Mapping[str, Sequence[Window]],
) -> tuple[Window, ...]:
  """Puts the windows of hosts together, by number and phase.

  A host whose windows are not those of `own` leaves the energies unknown, with
  the reason.

  Args:
    own_host: The name of the host whose times are kept.
    own: Its windows, in order.
    others: Those of each other host.
  """
  merged = tuple(own)
  for host, windows in others.items():
    names = [window.name for window in windows]
    if names == [window.name for window in own]:
      merged = tuple(map(_added, merged, windows, [host] * len(merged)))
    else:
      reason = f"{host} measured {len(names)} windows, {own_host} {len(own)}"
      merged = tuple(
        dataclasses.replace(
          window,
          joules=None,
          joules_bound=None,
          partial=True,
          reasons=(*window.reasons, f"{reason}, or other phases"),
        )
        for window in merged
      )
  return merged


def _added(window: Window, other: Window, host: str) -> Window:
  """Adds the energies of another host's window to a window."""
  return dataclasses.replace(
    window,
    joules=_sum(window.joules, other.joules),
    joules_bound=_sum(window.joules_bound, other.joules_bound),
    energies=(*window.energies, *_of_host(host, other.energies)),
    apart=(*window.apart, *_of_host(host, other.apart)),
    estimated=window.estimated or other.estimated,
    partial=window.partial or other.partial,
    reasons=(*window.reasons, *(f"{host}: {r}" for r in other.reasons)),
    load=_load(window.load, other.load),
  )


def _of_host(host: str, energies: Sequence[Energy]) -> list[Energy]:
  return [
    dataclasses.replace(energy, domain=named(host, energy.domain))
    for energy in energies
  ]


def _sum(one: float | None, other: float | None) -> float | None:
  return None if one is None or other is None else one + other


def _load(one: Load | None, other: Load | None) -> Load | None:
  """Adds the cores that others kept busy; None where a host does not tell."""
  if one is None or other is None:
    return None
  return Load(
    one.other_cores + other.other_cores, one.steal_cores + other.steal_cores
  )
