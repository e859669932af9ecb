"""What `measure -r N` knows of a command that ran N times: mean and spread.

The interval is that of the mean over runs, at 95 % by Student's t: it has what
differs from run to run, of the command and of the meter's reading alike, and
not what the sensor has wrong in every run. A run that failed is in no mean.
"""

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.cli.measurement import (
  Measurement,
  document,
  unknown_because,
)
from jaxpower.cli.table import (
  boundary_line,
  failure_lines,
  idle_sum,
  idle_text,
  line,
  title_of,
  warning_lines,
)
from jaxpower.power import Energy
from jaxpower.wording import count, quantity, relative_bound

CONFIDENCE = 0.95
HALVINGS = 60  # of the interval that has the quantile: to a float's precision
LARGEST_T = 13.0  # above the quantile of one degree of freedom, 12.706


@dataclass(frozen=True)
class Mean:
  """The mean of a value over runs; None where one of them is unknown.

  `half_width` is that of its 95 % interval and `deviation` the standard
  deviation of one run, both unknown of a single run.
  """

  runs: int
  value: float | None
  half_width: float | None = None
  deviation: float | None = None
  least: float | None = None
  most: float | None = None
  reason: str = ""


@dataclass(frozen=True)
class Repeats:
  """All runs of a command, in order; the last one may have failed."""

  asked: int
  runs: tuple[Measurement, ...]

  @property
  def whole(self) -> tuple[Measurement, ...]:
    """The runs that did not fail."""
    return tuple(run for run in self.runs if run.exit_code == 0)

  @property
  def joules(self) -> Mean:
    """Over all domains."""
    return mean_of(
      [run.window.joules for run in self.whole],
      [unknown_because(run.window.reasons) for run in self.whole],
    )

  @property
  def seconds(self) -> Mean:
    """How long a run took."""
    return mean_of([run.window.seconds for run in self.whole])

  @property
  def cpu_seconds(self) -> Mean:
    """The CPU time of a run."""
    return mean_of([run.cpu_seconds for run in self.whole])

  def joules_of(self, domain: str) -> Mean:
    """The joules of one domain, of the job's or apart."""
    energies = [_energy(run, domain) for run in self.whole]
    return mean_of(
      [energy and energy.joules for energy in energies],
      [
        unknown_because(energy.reasons) if energy else "not read"
        for energy in energies
      ],
    )


def _energy(run: Measurement, domain: str) -> Energy | None:
  energies = (*run.window.energies, *run.window.apart)
  return next((e for e in energies if e.domain == domain), None)


def mean_of(
  values: Sequence[float | None], reasons: Sequence[str] = ()
) -> Mean:
  """Computes mean, spread and the interval of the mean.

  `reasons` say of each run why its value is unknown, if it is.
  """
  known = [value for value in values if value is not None]
  if not values:
    return Mean(0, None, reason="no run ended well")
  if len(known) < len(values):
    lost = [r for v, r in zip(values, reasons, strict=False) if v is None]
    missing = f"unknown in {len(values) - len(known)} of {len(values)} runs"
    why = "; ".join(dict.fromkeys(lost))
    reason = f"{missing}: {why}" if why else missing
    return Mean(len(values), None, reason=reason)
  runs, mean = len(known), math.fsum(known) / len(known)
  if runs == 1:
    return Mean(1, mean, least=mean, most=mean)
  squares = math.fsum((value - mean) ** 2 for value in known)
  deviation = math.sqrt(squares / (runs - 1))
  half_width = t_quantile(runs - 1) * deviation / math.sqrt(runs)
  return Mean(runs, mean, half_width, deviation, min(known), max(known))


def t_quantile(freedom: int) -> float:
  """Computes Student's t that CONFIDENCE of the distribution lies within.

  For whole degrees of freedom the share within +-t is a finite sum (Abramowitz
  and Stegun, 26.7.3 and 26.7.4), so no library of statistics is loaded.
  """
  low, high = 0.0, LARGEST_T
  for _ in range(HALVINGS):
    middle = (low + high) / 2
    if _within(middle, freedom) < CONFIDENCE:
      low = middle
    else:
      high = middle
  return (low + high) / 2


def _within(t: float, freedom: int) -> float:
  """Computes the share of Student's distribution within +-t."""
  angle = math.atan(t / math.sqrt(freedom))
  sine, cosine = math.sin(angle), math.cos(angle)
  odd = freedom % 2
  term = cosine if odd else 1.0
  total = 0.0
  for k in range(1 + odd, freedom, 2):
    total += term
    term *= cosine * cosine * k / (k + 1)
  return 2 / math.pi * (angle + sine * total) if odd else sine * total


def repeats_document(repeats: Repeats) -> dict[str, Any]:
  """Returns the JSON of `measure -r`, in SI units; its keys are stable."""
  last = repeats.runs[-1]
  runs = [document(run) for run in repeats.runs]
  meter = runs[-1]["meter"]
  for run in runs:
    del run["meter"]
  return {
    "schema_version": 1,
    "command": list(last.command),
    "repeat": repeats.asked,
    "runs_done": len(repeats.whole),
    "exit_code": last.exit_code,
    "signal": last.signal,
    "started_utc": runs[0]["started_utc"],
    "ended_utc": runs[-1]["ended_utc"],
    "boundary": runs[-1]["boundary"],
    "estimated": any(run.window.estimated for run in repeats.runs),
    "partial": any(run.window.partial for run in repeats.runs),
    "joules": _mean_document(repeats.joules),
    "seconds": _mean_document(repeats.seconds),
    "cpu_seconds": _mean_document(repeats.cpu_seconds),
    "domains": [
      {"domain": row["domain"], "counted": row["counted"]}
      | {"joules": _mean_document(repeats.joules_of(row["domain"]))}
      for row in runs[-1]["domains"]
    ],
    "runs": runs,
    "meter": meter,
  }


def _mean_document(mean: Mean) -> dict[str, Any]:
  low = high = None
  if mean.value is not None and mean.half_width is not None:
    low, high = mean.value - mean.half_width, mean.value + mean.half_width
  return {
    "mean": mean.value,
    "low": None if low is None else max(0.0, low),
    "high": high,
    "standard_deviation": mean.deviation,
    "least": mean.least,
    "most": mean.most,
    "runs": mean.runs,
    "reason": mean.reason or None,
  }


def repeats_table(repeats: Repeats) -> str:
  """Renders a line a run, then a line a domain with the mean over the runs."""
  last = repeats.runs[-1]
  number = count(len(repeats.runs), "run")
  lines = [
    "",
    f" Energy of '{shlex.join(last.command)}', {number} of {repeats.asked}",
    boundary_line(last),
    "",
    *(_run_line(index, run) for index, run in enumerate(repeats.runs, 1)),
  ]
  if repeats.whole:
    lines += _mean_lines(repeats, last)
  for failure in last.failures:
    lines += failure_lines(failure)
  lines += warning_lines(repeats.runs)
  if len(repeats.whole) > 1:
    lines.append(
      " +-: above, of the meter in one run; below, of the mean over runs"
      " (95 %, Student's t)."
    )
  return "\n".join([*lines, ""])


def _mean_lines(repeats: Repeats, last: Measurement) -> list[str]:
  """Renders the means: each domain, their sum, GPUs apart, the seconds."""
  lines, energies = [""], last.window.energies
  for energy in energies:
    mean = repeats.joules_of(energy.domain)
    lines.append(_mean_line(mean, title_of(energy, last), _joules))
    lines += idle_text(energy, last, repeats.seconds.value)
  if len(energies) > 1:
    guess = ", part of it estimated" if last.window.estimated else ""
    title = f"all of the above{guess}"
    lines.append(_mean_line(repeats.joules, title, _joules))
  lines += idle_sum(last, repeats.seconds.value)
  for energy in last.window.apart:
    title = f"not of this job: {title_of(energy, last)}"
    lines.append(_mean_line(repeats.joules_of(energy.domain), title, _joules))
  return [*lines, _mean_line(repeats.seconds, "elapsed", _seconds)]


def _run_line(number: int, run: Measurement) -> str:
  """Renders one run: joules with the meter's bound, seconds, how it ended."""
  window = run.window
  text = f"{_seconds(window.seconds):>10}   run {number}"
  if run.signal is not None:
    text += f": ended by signal {run.signal}"
  elif run.exit_code:
    text += f": exit code {run.exit_code}"
  if window.joules is None:
    return line("<unknown>", "", f"{text}: {unknown_because(window.reasons)}")
  bound = relative_bound(window.joules_bound, window.joules)
  return line(quantity(window.joules, "J"), bound, text)


def _mean_line(mean: Mean, title: str, shown: Callable[[float], str]) -> str:
  """Renders a mean with its interval and the range that it is the mean of."""
  if mean.value is None:
    return line("<unknown>", "", f"{title}: {mean.reason}")
  text = title
  if mean.runs > 1 and mean.least is not None and mean.most is not None:
    least, most = shown(mean.least), shown(mean.most)
    text += f"   mean of {mean.runs}, {least} to {most}"
  bound = relative_bound(mean.half_width, mean.value)
  return line(shown(mean.value), bound, text)


def _joules(value: float) -> str:
  return quantity(value, "J")


def _seconds(value: float) -> str:
  return f"{value:.3f} s"
