"""`watch`: live watts of every device, until interrupted."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.live import Live
from rich.text import Text

from jaxpower.cli.paint import console
from jaxpower.power import Monitor, gpu_state
from jaxpower.wording import quantity

EVERY = 1.0
BAR = 24


@dataclass
class Row:
  """One device now: watts over the last moment, joules so far."""

  name: str
  label: str
  watts: float | None
  joules: float
  complete: bool
  limit: float


def run(
  meter: str,
  gpus: Sequence[str] | None,
  interval: float | None,
  count: int,
) -> int:
  """Shows a line a device each second; 0 after Ctrl-C."""
  every = max(interval or EVERY, 0.2)
  out = console(sys.stdout)
  with Monitor(meter, gpus=gpus) as monitor:
    boards = [d.name for d in monitor.domains if d.name.startswith("GPU-")]
    limits = {s["uuid"]: s["power_limit_watts"] for s in gpu_state(boards)}
    rows = {
      domain.name: Row(
        domain.name,
        _label(domain.name, domain.description, domain.counted),
        None,
        0.0,
        True,
        limits.get(domain.name) or 0.0,
      )
      for domain in monitor.domains
    }
    try:
      if out.is_terminal:
        with Live(console=out, auto_refresh=False) as live:
          for _ in _turns(monitor, rows, every, count):
            live.update(_picture(rows.values()), refresh=True)
      else:
        for _ in _turns(monitor, rows, every, count):
          for row in rows.values():
            joules = quantity(row.joules, "J") + ("" if row.complete else " +?")
            print(
              f"{time.strftime('%H:%M:%S')}  {_watts(row):>9}  {joules:>9}"
              f"  {row.label}",
              flush=True,
            )
    except KeyboardInterrupt:
      return 0
  return 0


def _turns(monitor: Monitor, rows: dict[str, Row], every: float, count: int):
  """Measures one stretch after the other; yields after each."""
  turn = 0
  while not count or turn < count:
    turn += 1
    with monitor.window("watch") as handle:
      time.sleep(every)
    window = handle.result()
    monitor.forget()
    for energy in (*window.energies, *window.apart):
      row = rows[energy.domain]
      if energy.joules is None:
        row.watts, row.complete = None, False
        continue
      row.watts = energy.joules / window.seconds
      row.joules += energy.joules
      row.limit = max(row.limit, row.watts)
    yield turn


def _label(name: str, description: str, counted: bool) -> str:
  short = name[:12] if name.startswith("GPU-") else name
  return f"{short}  {description}" + ("" if counted else "  (not of this job)")


def _watts(row: Row) -> str:
  return "unknown" if row.watts is None else quantity(row.watts, "W")


def _picture(rows) -> Text:
  text = Text()
  for row in rows:
    filled = round(BAR * (row.watts or 0.0) / row.limit) if row.limit else 0
    text.append(f" {_watts(row):>9}  ", style="bold")
    text.append("#" * filled, style="green")
    text.append("." * (BAR - filled), style="dim")
    joules = quantity(row.joules, "J") + ("" if row.complete else " +?")
    text.append(f"  {joules:>9}  {row.label}\n")
  text.append(" Ctrl-C ends it", style="dim")
  return text
