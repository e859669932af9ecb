"""The table that `measure` prints on stderr."""

import shlex

from jaxpower.cli.measurement import Measurement, unknown_because
from jaxpower.power import Energy, Problem, Window
from jaxpower.wording import quantity, relative_bound

METHODS = {
  "counter": "energy counter",
  "power_instant": "instant power, integrated",
  "power_average": "average power, integrated",
  "model": "modelled from CPU time",
}
KINDS = {"gpu": "GPU board", "cpu": "CPU", "dram": "DRAM"}


def table(measured: Measurement) -> str:
  """Renders a measured command: a line a domain, then what to know about it."""
  window = measured.window
  boundary = " + ".join(_boundary(e, measured) for e in window.energies)
  lines = [
    "",
    f" Energy of '{shlex.join(measured.command)}'",
    f" boundary: {boundary or 'nothing'}",
    "",
  ]
  for energy in window.energies:
    lines += _energy_lines(energy, measured)
  if len(window.energies) > 1:
    guess = ", part of it estimated" if window.estimated else ""
    lines.append(_joules_line(window, f"all of the above{guess}"))
  for failure in measured.failures:
    lines += _failure_lines(failure)
  lines += _idle_lines(measured)
  for energy in window.apart:
    title = f"not of this job: {_title(energy, measured)}"
    lines.append(_joules_line(energy, title))
  if across := relative_bound(window.board_bound, window.joules):
    lines.append(_line("", across, "against another board or machine"))
  ending = _ending(measured)
  lines.append(_line(f"{window.seconds:.2f} s", "", f"elapsed   {ending}"))
  warnings = [str(caution) for caution in measured.cautions]
  warnings += [
    f"{_title(energy, measured)}: {reason}"
    for energy in window.energies
    for reason in energy.reasons
  ]
  lines += [f" Warning: {text}" for text in warnings]
  if window.estimated:
    lines.append(" CPU energy is estimated, not measured.")
  return "\n".join([*lines, ""])


def _line(value: str, bound: str, text: str) -> str:
  return f" {value:>14}  {bound:9}  {text}".rstrip()


def _joules_line(energy: Energy | Window, text: str) -> str:
  """Renders joules with their bound; both have the fields of that name."""
  if energy.joules is None:
    return _line("<unknown>", "", text)
  bound = relative_bound(energy.joules_bound, energy.joules)
  return _line(quantity(energy.joules, "J"), bound, text)


def _energy_lines(energy: Energy, measured: Measurement) -> list[str]:
  title = _title(energy, measured)
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
    lines.append(
      _line("", "", f"  integrated power: {integral} ({difference})")
    )
  return lines


def _failure_lines(failure: Problem) -> list[str]:
  lines = [_line("<not readable>", "", failure.reason)]
  if failure.fix:
    lines.append(_line("", "", f"  fix: {failure.fix}"))
  return lines


def _idle_lines(measured: Measurement) -> list[str]:
  lines = []
  for energy in measured.window.energies:
    watts = measured.idle_watts.get(energy.domain)
    if watts is None or energy.joules is None:
      continue
    joules = quantity(watts * measured.window.seconds, "J")
    name = _name(energy, measured)
    before = f"({quantity(watts, 'W')} before it began)"
    lines.append(_line(joules, "", f"of {name} is idle {before}"))
  return lines


def _name(energy: Energy, measured: Measurement) -> str:
  """Shortens a GPU's UUID to what tells it from the others."""
  is_gpu = measured.domains[energy.domain].kind == "gpu"
  return energy.domain[:12] if is_gpu else energy.domain


def _title(energy: Energy, measured: Measurement) -> str:
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
