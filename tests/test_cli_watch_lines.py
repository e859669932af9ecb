"""The lines of `watch`: heads, devices, their sum."""

import dataclasses

import pytest

from jaxpower.cli import watch_lines
from jaxpower.cli.watch_lines import HEADS, Row, bar_of, label, lines
from jaxpower.power import Domain, Use


def row(number: int, counted: bool = True, **facts) -> Row:
  domain = Domain(
    f"GPU-{number:08x}-aaaa",
    "gpu",
    "counter",
    f"H100, index {number}",
    counted=counted,
  )
  values = {"watts": 350.0, "joules": 1000.0, "full_watts": 700.0}
  return Row(domain=domain, label=label(domain), **{**values, **facts})


ROWS = [row(0), row(1, watts=150.0), row(2, counted=False)]
USES = {
  ROWS[0].domain.name: Use(0.97, 40 << 30),
  ROWS[1].domain.name: Use(None, 1 << 30),
  ROWS[2].domain.name: Use(0.0, 9 << 30),
}


def test_each_device_is_a_line_and_the_job_has_a_sum() -> None:
  told = [line.text(uses=True) for line in (HEADS, *lines(ROWS, USES))]
  assert told == [
    "    power      energy   busy     memory  device",
    "    350 W     1.00 kJ   97 %   40.0 GiB  GPU-00000000  H100, index 0",
    "    150 W     1.00 kJ      -   1.00 GiB  GPU-00000001  H100, index 1",
    "    350 W     1.00 kJ    0 %   9.00 GiB  GPU-00000002  H100, index"
    " 2  (not of this job)",
    "    500 W     2.00 kJ          41.0 GiB  all of the job, 2 devices",
  ]
  (alone,) = lines(ROWS[:1], {})
  assert alone.text(uses=False) == (
    "    350 W     1.00 kJ  GPU-00000000  H100, index 0"
  )


def test_what_is_unknown_of_one_is_unknown_of_all() -> None:
  lost = dataclasses.replace(ROWS[1], watts=None, unknown_seconds=2.0)
  *_, total = lines([ROWS[0], lost], {})
  assert (total.watts, total.joules, total.memory) == (
    "unknown",
    "2.00 kJ +?",
    "",
  )
  uses = USES | {ROWS[1].domain.name: Use(0.5, None)}
  *_, total = lines(ROWS[:2], uses)
  assert total.memory == "-"


@pytest.mark.parametrize(
  ("columns", "bar"), [(80, watch_lines.SHORT), (200, watch_lines.LONG)]
)
def test_bars_are_of_one_length_in_every_line(columns: int, bar: int) -> None:
  assert bar_of(columns) == bar
  told = [line.text(True, bar) for line in (HEADS, *lines(ROWS, USES))]
  half = "#" * (bar // 2) + "." * (bar - bar // 2)
  assert half in told[1]
  assert (
    len(
      {
        line.index(name)
        for line, name in zip(
          told, ("device", "GPU-", "GPU-", "GPU-", "all of"), strict=True
        )
      }
    )
    == 1
  )
  assert len(told[1]) <= max(columns, 93)
  over = dataclasses.replace(ROWS[0], watts=900.0)
  (line,) = lines([over], {})
  assert "#" * bar in line.text(True, bar)
  assert "#" * (bar + 1) not in line.text(True, bar)
