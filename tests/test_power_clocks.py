"""Both clocks at one instant, and the text of an instant."""

import time

import pytest

from jaxpower.power.clocks import Instant, read_clocks, span, utc_text


def test_both_clocks_are_read_at_one_instant():
  first = read_clocks()
  time.sleep(0.02)
  second = read_clocks()
  wall = second.utc_seconds - first.utc_seconds
  assert second.monotonic_seconds - first.monotonic_seconds == pytest.approx(
    wall, abs=2e-3
  )
  assert first.monotonic_seconds < time.monotonic()


@pytest.mark.parametrize(
  ("seconds", "text"),
  [
    (0.0, "1970-01-01T00:00:00.000Z"),
    (1732665600.1254, "2024-11-27T00:00:00.125Z"),
    (1732665599.9996, "2024-11-27T00:00:00.000Z"),  # carried, not "59.1000"
  ],
)
def test_an_instant_is_written_in_utc(seconds, text):
  assert utc_text(seconds) == text


def test_a_span_has_the_monotonic_clock_of_its_start():
  assert span(Instant(0.0, 50.0), Instant(2.5, 52.5)) == {
    "started_utc": "1970-01-01T00:00:00.000Z",
    "ended_utc": "1970-01-01T00:00:02.500Z",
    "monotonic_origin_seconds": 50.0,
  }
