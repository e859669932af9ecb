"""Parts of a variance while the misses are moved upwards together.

A log cost is a line in t, the log of the factor by which misses fell short:
log cost + t where the trial missed, else log cost. A mean of squares of such
lines is a parabola in t, and a share of a variance a quotient of two.
"""

import numpy as np


def parabola(lines: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
  """Mean over `axes` of (value + slope t) squared; shape (..., 3)."""
  value, slope = lines
  return np.stack(
    [
      (value**2).mean(axes),
      2 * (value * slope).mean(axes),
      (slope**2).mean(axes),
    ],
    axis=-1,
  )


def quotient_range(
  over: np.ndarray, under: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Least and most of the quotient of two parabolas over t from 0 on.

  It turns where its derivative is zero, which is a quadratic in t; so its
  extremes lie there, at t = 0 or at t without end. Nothing over nothing is
  left out; where that is all, both are zero.
  """
  c, b, a = np.moveaxis(over, -1, 0)
  z, y, x = np.moveaxis(under, -1, 0)
  p, q, r = a * y - b * x, 2 * (a * z - c * x), b * z - c * y
  with np.errstate(all="ignore"):
    root = np.sqrt(q**2 - 4 * p * r)
    turns = [(-q + root) / (2 * p), (-q - root) / (2 * p), -r / q]
    at = [c / z, a / x]
    for t in turns:
      t = np.where(t > 0, t, np.nan)
      at.append((c + b * t + a * t**2) / (z + y * t + x * t**2))
  found = np.stack([np.where(np.isfinite(v), v, np.nan) for v in at])
  # Rounding may take a quotient beyond the whole by a hair.
  found = np.clip(found, -1.0, 1.0)
  nothing = np.isnan(found).all(0)
  found = np.where(nothing, 0.0, found)
  return np.nanmin(found, 0), np.nanmax(found, 0)
