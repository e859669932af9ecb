"""`watch`: live watts of every device, until interrupted."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from jaxpower.cli.output import PlainConsole, say
from jaxpower.export import prometheus
from jaxpower.power import Domain, Monitor, gpu_state
from jaxpower.wording import quantity

if TYPE_CHECKING:
  from jaxpower.cli.serve import Server

DEFAULT_SECONDS = 1.0  # between two pictures
SHORTEST_SECONDS = 0.2  # chosen: two ticks of a counter of 100 ms
BAR = 24  # characters of a full bar


@dataclass
class Row:
  """One device now: watts over the last moment, joules so far.

  `unknown_seconds` is how long its joules were unknown. `full_watts` is the
  power of a full bar: the board's limit, or the most that was seen.
  """

  domain: Domain
  label: str
  watts: float | None
  joules: float
  full_watts: float
  known_seconds: float = 0.0
  unknown_seconds: float = 0.0


def run(
  meter: str,
  gpus: Sequence[str] | None,
  interval: float | None,
  count: int,
  port: int | None = None,
) -> int:
  """Shows a line a device each `interval`, `count` times; 0 after Ctrl-C.

  With a `port` it serves the same to Prometheus there, on this machine alone.
  """
  seconds = max(interval or DEFAULT_SECONDS, SHORTEST_SECONDS)
  # Lines are cut by the terminal, not wrapped: a picture keeps its height.
  out = PlainConsole(soft_wrap=True)
  with (
    _serving(port) as server,
    Monitor(meter, gpus=gpus, estimate_of="machine") as monitor,
  ):
    rows = _rows(monitor.domains)
    if server:
      _publish(server, rows.values())
      say(f"Prometheus finds this at {server.address}")
    try:
      turns = _measure_turns(monitor, rows, seconds, count)
      if out.is_terminal:
        with Live(console=out, auto_refresh=False) as live:
          for _ in turns:
            _publish(server, rows.values())
            live.update(_picture(rows.values()), refresh=True)
      else:
        for _ in turns:
          _publish(server, rows.values())
          for row in rows.values():
            print(_plain_line(row), flush=True)
    except KeyboardInterrupt:
      return 0
  return 0


def _rows(domains: Sequence[Domain]) -> dict[str, Row]:
  boards = [d.name for d in domains if d.name.startswith("GPU-")]
  limits = {
    state["uuid"]: state["power_limit_watts"] for state in gpu_state(boards)
  }
  return {
    domain.name: Row(
      domain=domain,
      label=_label(domain),
      watts=None,
      joules=0.0,
      full_watts=limits.get(domain.name) or 0.0,
    )
    for domain in domains
  }


def _measure_turns(
  monitor: Monitor, rows: dict[str, Row], seconds: float, count: int
) -> Iterator[int]:
  """Measures one stretch after the other into `rows`; yields after each."""
  turn = 0
  while not count or turn < count:
    turn += 1
    with monitor.window("watch") as handle:
      time.sleep(seconds)
    window = handle.result()
    monitor.forget()
    for energy in (*window.energies, *window.apart):
      row = rows[energy.domain]
      if energy.joules is None:
        row.watts = None
        row.unknown_seconds += window.seconds
        continue
      row.known_seconds += window.seconds
      row.watts = energy.joules / window.seconds
      row.joules += energy.joules
      row.full_watts = max(row.full_watts, row.watts)
    yield turn


def _serving(port: int | None) -> "AbstractContextManager[Server | None]":
  """Serves on a port, if there is one; the meter alone loads no server."""
  if port is None:
    return nullcontext()
  from jaxpower.cli.serve import serving

  return serving(port)


def _publish(server: "Server | None", rows: Iterable[Row]) -> None:
  """Gives the server, if there is one, what rows show now."""
  if server:
    server.publish(prometheus.text(map(_device, rows)))


def _device(row: Row) -> prometheus.Device:
  return prometheus.Device(
    name=row.domain.name,
    description=row.domain.description,
    estimated=row.domain.estimated,
    counted=row.domain.counted,
    watts=row.watts,
    joules=row.joules if row.known_seconds else None,
    unknown_seconds=row.unknown_seconds,
  )


def _label(domain: Domain) -> str:
  name = domain.name[:12] if domain.name.startswith("GPU-") else domain.name
  apart = "" if domain.counted else "  (not of this job)"
  estimated = ", estimated" if domain.estimated else ""
  return f"{name}  {domain.description}{estimated}{apart}"


def _watts_text(row: Row) -> str:
  return "unknown" if row.watts is None else quantity(row.watts, "W")


def _joules_text(row: Row) -> str:
  """Formats the joules so far; "+?" says that some are missing."""
  return quantity(row.joules, "J") + (" +?" if row.unknown_seconds else "")


def _plain_line(row: Row) -> str:
  clock = time.strftime("%H:%M:%S")
  watts, joules = _watts_text(row), _joules_text(row)
  return f"{clock}  {watts:>9}  {joules:>9}  {row.label}"


def _picture(rows: Iterable[Row]) -> Text:
  """Draws a bar of each device's watts, styled for a terminal."""
  text = Text()
  for row in rows:
    share = (row.watts or 0.0) / row.full_watts if row.full_watts else 0.0
    filled = round(BAR * share)
    text.append(f" {_watts_text(row):>9}  ", style="bold")
    text.append("#" * filled, style="green")
    text.append("." * (BAR - filled), style="dim")
    text.append(f"  {_joules_text(row):>9}  {row.label}\n")
  text.append(" Ctrl-C ends it", style="dim")
  return text
