"""Numbers as people read them: three figures, a unit, a bound."""

import math


def quantity(value: float, unit: str) -> str:
  """41834, "J" -> "41.8 kJ"; three significant figures."""
  for factor, prefix in ((1e6, "M"), (1e3, "k")):
    if abs(value) >= 0.9995 * factor:
      return f"{figures(value / factor)} {prefix}{unit}"
  if value != 0 and abs(value) < 0.9995:
    return f"{figures(value * 1e3)} m{unit}"
  return f"{figures(value)} {unit}"


def figures(value: float) -> str:
  """Three significant figures, without an exponent."""
  if value == 0:
    return "0"
  digits = 2 - math.floor(math.log10(abs(value)))
  rounded = round(value, digits)
  # Rounding up may have given one figure more: 9.996 -> 10.00.
  digits = 2 - math.floor(math.log10(abs(rounded)))
  return f"{rounded:.{max(0, digits)}f}"


def percent(bound: float | None, value: float | None) -> str:
  """A half width as a share: "+- 0.4 %", or nothing where unknown."""
  if bound is None or not value:
    return ""
  share = 100 * bound / abs(value)
  if share < 0.01:
    return "+- 0.01 %"
  return f"+- {share:.2g} %" if share < 9.95 else f"+- {share:.0f} %"
