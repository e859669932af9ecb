"""`watch`: live watts of every device, until interrupted."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from jaxpower.cli.output import PlainConsole, say
from jaxpower.cli.watch_lines import HEADS, Line, Row, bar_of, label, lines
from jaxpower.export import prometheus
from jaxpower.power import Domain, Monitor, gpu_state, gpu_uses

if TYPE_CHECKING:
  from jaxpower.cli.serve import Server

DEFAULT_SECONDS = 1.0  # between two pictures
SHORTEST_SECONDS = 0.2  # chosen: two ticks of a counter of 100 ms


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
    gpu_uses() as ask,
  ):
    rows = _rows(monitor.domains)
    uses = bool(rows.keys() & ask().keys())
    if server:
      _publish(server, rows.values())
      say(f"Prometheus finds this at {server.address}")
    try:
      turns = _measure_turns(monitor, rows, seconds, count)
      if out.is_terminal:
        with Live(console=out, auto_refresh=False) as live:
          for _ in turns:
            _publish(server, rows.values())
            told = lines(rows.values(), ask())
            live.update(_picture(told, uses, out.width), refresh=True)
      else:
        print(f"{'time':8}  {HEADS.text(uses)}", flush=True)
        for _ in turns:
          _publish(server, rows.values())
          _print(lines(rows.values(), ask()), uses)
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
      label=label(domain),
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


def _print(told: Sequence[Line], uses: bool) -> None:
  clock = time.strftime("%H:%M:%S")
  for line in told:
    print(f"{clock}  {line.text(uses)}", flush=True)


def _picture(told: Sequence[Line], uses: bool, columns: int) -> Text:
  """Draws the lines with a bar of each device's watts, for a terminal."""
  bar = bar_of(columns)
  text = Text(f" {HEADS.text(uses, bar)}\n", style="dim")
  for line in told:
    text.append(f" {line.text(uses, bar)}\n", style="none")
  text.highlight_regex("#+", "green")
  text.highlight_regex(r"\.{2,}", "dim")
  return text.append(" Ctrl-C ends it", style="dim")
