"""The table that `measure` prints on stderr."""

import re
import shlex
import textwrap
from collections.abc import Sequence

from jaxpower.cli.measurement import (
  Measurement,
  cautions_of,
  unknown_because,
)
from jaxpower.power import Energy, Problem, Window
from jaxpower.wording import quantity, relative_bound

METHODS = {
  "counter": "energy counter",
  "power_instant": "instant power, integrated",
  "power_average": "average power, integrated",
  "model": "modelled from CPU time",
}
INDENT = 30  # of what goes on in a next line: below the texts of `line`
KINDS = {"gpu": "GPU board", "cpu": "CPU", "dram": "DRAM"}


def table(measured: Measurement) -> str:
  """Renders a measured command: a line a domain, then what to know about it."""
  window = measured.window
  lines = [
    "",
    f" Energy of '{shlex.join(measured.command)}'",
    boundary_line(measured),
    "",
  ]
  for energy in window.energies:
    lines += _energy_lines(energy, measured)
  if len(window.energies) > 1:
    guess = ", part of it estimated" if window.estimated else ""
    lines.append(_joules_line(window, f"all of the above{guess}"))
  for failure in measured.failures:
    lines += failure_lines(failure)
  known = [energy for energy in window.energies if energy.joules is not None]
  lines += idle_lines(known, measured, window.seconds)
  for energy in window.apart:
    title = f"not of this job: {title_of(energy, measured)}"
    lines.append(_joules_line(energy, title))
  if across := relative_bound(window.board_bound, window.joules):
    lines.append(line("", across, "against another board or machine"))
  ending = _ending(measured)
  lines.append(line(elapsed(window.seconds), "", f"elapsed   {ending}"))
  return "\n".join([*lines, *warning_lines([measured]), ""])


def broken(text: str, columns: int) -> str:
  """Breaks long lines between words, as a terminal of so many columns would.

  What goes on stands below what a line is about.
  """
  return "\n".join(
    textwrap.fill(
      each,
      columns,
      subsequent_indent=" " * INDENT,
      break_long_words=False,
      break_on_hyphens=False,
    )
    for each in text.split("\n")
  )


def boundary_line(measured: Measurement) -> str:
  """Says what the joules of a command cover."""
  kinds: dict[tuple[str, str], list[str]] = {}
  for energy in measured.window.energies:
    kind = KINDS[measured.domains[energy.domain].kind], METHODS[energy.method]
    kinds.setdefault(kind, []).append(_boundary(energy, measured))
  domains = [
    several[0] if len(several) == 1 else f"{len(several)} {kind}s ({how})"
    for (kind, how), several in kinds.items()
  ]
  return f" boundary: {' + '.join(domains) or 'nothing'}"


def warning_lines(runs: Sequence[Measurement]) -> list[str]:
  """Lists what one should know of the runs of a command, each thing once."""
  warnings = [str(caution) for caution in cautions_of(runs)]
  warnings += [
    f"{title_of(energy, run)}: {reason}"
    for run in runs
    for energy in run.window.energies
    for reason in energy.reasons
  ]
  lines = [f" Warning: {text}" for text in dict.fromkeys(warnings)]
  if any(run.window.estimated for run in runs):
    lines.append(" CPU energy is estimated, not measured.")
  return lines


def line(value: str, bound: str, text: str) -> str:
  """Renders a line of the table: a value, its bound, what it is."""
  return f" {value:>14}  {bound:9}  {text}".rstrip()


def _joules_line(energy: Energy | Window, text: str) -> str:
  """Renders joules with their bound; both have the fields of that name."""
  if energy.joules is None:
    return line("<unknown>", "", text)
  bound = relative_bound(energy.joules_bound, energy.joules)
  return line(quantity(energy.joules, "J"), bound, text)


def _energy_lines(energy: Energy, measured: Measurement) -> list[str]:
  title = title_of(energy, measured)
  if energy.joules is None:
    return [_joules_line(energy, f"{title}: {unknown_because(energy.reasons)}")]
  power = f"mean {quantity(energy.joules / measured.window.seconds, 'W')}"
  peak = measured.peak_watts.get(energy.domain)
  if peak is not None:
    power += f"  peak {quantity(peak, 'W')}"
  lines = [_joules_line(energy, f"{title}   {power}")]
  if energy.integral_joules is not None and energy.disagreement:
    integral = quantity(energy.integral_joules, "J")
    difference = f"{100 * energy.disagreement:+.1f} %"
    lines.append(line("", "", f"  integrated power: {integral} ({difference})"))
  return lines


def failure_lines(failure: Problem) -> list[str]:
  """Renders what cannot be read, and the fix."""
  lines = [line("<not readable>", "", failure.reason)]
  if failure.fix:
    lines.append(line("", "", f"  fix: {failure.fix}"))
  return lines


def elapsed(seconds: float) -> str:
  """Formats how long a command took: "101.50 s", "2.13 ms"."""
  return quantity(seconds, "s") if seconds < 1 else f"{seconds:.2f} s"


def idle_lines(
  energies: Sequence[Energy], measured: Measurement, seconds: float
) -> list[str]:
  """Renders what domains take without the command, each and together."""
  each = [t for e in energies for t in idle_text(e, measured, seconds)]
  return each + idle_sum(measured, seconds)


def idle_sum(measured: Measurement, seconds: float | None) -> list[str]:
  """Renders what all domains take without the command, where all is known."""
  watts = [measured.idle_watts.get(e.domain) for e in measured.window.energies]
  known = [each for each in watts if each is not None]
  if seconds is None or len(known) < max(len(watts), 2):
    return []
  text = f"of all of the above is idle ({quantity(sum(known), 'W')} before it"
  return [line(quantity(sum(known) * seconds, "J"), "", f"{text} began)")]


def idle_text(
  energy: Energy, measured: Measurement, seconds: float | None
) -> list[str]:
  """Renders what a domain takes in so many seconds without the command."""
  watts = measured.idle_watts.get(energy.domain)
  if watts is None or seconds is None:
    return []
  before = f"({quantity(watts, 'W')} before it began)"
  text = f"of {_name(energy, measured)}{_index(measured, energy)} is idle"
  text += f" {before}"
  return [line(quantity(watts * seconds, "J"), "", text)]


def _index(measured: Measurement, energy: Energy) -> str:
  """Names the index of a GPU where there are several: ", index 3,"."""
  description = measured.domains[energy.domain].description
  found = re.search(r", index \d+", description)
  several = (
    sum(domain.kind == "gpu" for domain in measured.domains.values()) > 2
  )
  return f"{found[0]}," if found and several else ""


def _name(energy: Energy, measured: Measurement) -> str:
  """Shortens a GPU's UUID to what tells it from the others."""
  is_gpu = measured.domains[energy.domain].kind == "gpu"
  return energy.domain[:12] if is_gpu else energy.domain


def title_of(energy: Energy, measured: Measurement) -> str:
  """Names a domain and what it is; says if it is estimated."""
  description = measured.domains[energy.domain].description
  estimated = " estimated" if energy.estimated else ""
  return f"{_name(energy, measured)} ({description}){estimated}"


def _boundary(energy: Energy, measured: Measurement) -> str:
  kind = KINDS[measured.domains[energy.domain].kind]
  return f"{kind} {_name(energy, measured)} ({METHODS[energy.method]})"


def _ending(measured: Measurement) -> str:
  if measured.signal is not None:
    return f"ended by signal {measured.signal}"
  return f"exit code {measured.exit_code}"
