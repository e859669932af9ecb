"""What is best given what, and the grid as a table."""

from report_records import grid, record, seeds

from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.importance import Share
from jaxpower.report.questions.which_field import (
  Choice,
  choices,
  fields_of,
  grid_table,
  heat_map,
  importance_table,
  share,
  shares_chart,
  varied,
  weigh,
  whole,
)
from jaxpower.report.render.terminal import plain_table

BATCH, RATE = "batch_size", "optimizer.learning_rate"
CELLS = {
  (64, 0.001): (395.0, 400.0, 405.0),
  (64, 0.01): (190.0, 200.0, 210.0),
  (256, 0.001): (205.0, 215.0, 230.0),
  (256, 0.01): (204.0, 212.0, 225.0),
  (1024, 0.001): (-900.0, -910.0, -920.0),
  (1024, 0.01): (600.0, -900.0, -900.0),
}
GOLDEN = """\
batch  learning rate 0.001  learning rate 0.01  best learning rate
64     400                  200                 0.01
256    216                  213                 0.01 or 0.001
1024   missed within 910    missed within 900   none
Typical joules to the target, as in the table above. Best: the cheapest \
value, then those that do not differ measurably from it."""


def fields(records):
  return fields_of(one(records))


def one(records):
  (comparison,) = compare(records)
  return comparison


def test_golden():
  shown = grid_table(fields(grid(CELLS)))
  assert shown is not None
  assert plain_table(shown) == GOLDEN


def test_the_best_of_each_row():
  assert choices(one(grid(CELLS)), RATE) == (
    Choice({BATCH: 64}, 0.01, (0.01,)),
    Choice({BATCH: 256}, 0.01, (0.01, 0.001)),
    Choice({BATCH: 1024}),
  )


def test_one_seed_is_not_certain():
  cells = {key: joules[:1] for key, joules in CELLS.items()}
  first, *_ = choices(one(grid(cells)), RATE)
  assert first == Choice({BATCH: 64}, 0.01, (0.01,), certain=False)


def test_the_best_of_a_column():
  columns = choices(one(grid(CELLS)), BATCH)
  assert [(row.held, row.best) for row in columns] == [
    ({RATE: 0.001}, 256),
    ({RATE: 0.01}, 64),
  ]


def test_a_grid_with_a_hole_is_not_whole():
  cells = {key: CELLS[key] for key in list(CELLS)[:3]}
  found = one(grid(cells))
  assert not whole(found)
  assert whole(one(grid(CELLS)))
  assert weigh(found).unknown == "the energy of only 3 of 4 settings is known"
  shown = grid_table(fields_of(found))
  assert shown is not None
  assert shown.rows[1] == ("256", "216", "not run", "0.001")


def test_a_field_of_one_value_does_not_vary():
  found = one(grid({(64, 0.001): (9.0,), (64, 0.01): (8.0,)}))
  assert varied(found) == (RATE,)
  assert grid_table(fields_of(found)) is None
  assert importance_table(fields_of(found)) is None


def test_one_field_makes_no_grid():
  assert grid_table(fields(seeds(64, 9) + seeds(256, 8))) is None


def test_the_reason_of_unknown_joules_is_told():
  settings = {BATCH: 256, RATE: 0.01}
  lost = record(256, 0, None, varied=settings, reasons=("GPU lost at 4.1 s.",))
  cells = {key: CELLS[key] for key in list(CELLS)[:3]}
  assert weigh(one([*grid(cells), lost])).unknown == "GPU lost at 4.1 s"


def test_shares_as_a_table():
  cells = {key: CELLS[key] for key in list(CELLS)[:4]}
  shown = importance_table(fields(grid(cells)))
  assert shown is not None
  assert shown.columns == ("field", "share of variance of log joules")
  assert [row[0] for row in shown.rows] == [
    "learning rate",
    "batch",
    "interaction",
    "seeds",
  ]


def test_one_seed_has_no_shares():
  cells = {key: (abs(joules[0]),) for key, joules in CELLS.items()}
  assert importance_table(fields(grid(cells, estimated=True))) is None


def test_seeds_left_out_are_noted():
  cells: dict[tuple[int, float], tuple[float, ...]] = {
    key: CELLS[key] for key in list(CELLS)[:4]
  }
  cells[64, 0.001] = CELLS[64, 0.001][:2]
  shown = importance_table(fields(grid(cells)))
  assert shown is not None
  assert shown.notes[-1] == (
    "3 trials left out: of seeds that not every setting has."
  )


def test_misses_are_noted():
  cells = {key: CELLS[key] for key in list(CELLS)[:4]}
  cells[64, 0.001] = (-400.0, 400.0, 410.0)
  shown = importance_table(fields(grid(cells)))
  assert shown is not None
  assert shown.notes[-1].startswith("1 of 12 trials missed the target.")


def test_cells_of_shares():
  assert share(Share(0.62, 0.5, 0.71)) == "62 % (50-71)"


def test_large_energies_are_in_the_unit_that_the_note_names():
  large = {
    cell: tuple(1e4 * j for j in joules) for cell, joules in CELLS.items()
  }
  shown = grid_table(fields(grid(large)))
  assert shown is not None
  assert shown.rows[0][1:3] == ("4.00", "2.00")
  assert shown.rows[2][1:3] == (
    "missed within 9.10",
    "missed within 9.00",
  )
  assert shown.notes[0].startswith("Typical megajoules to the target,")


def test_the_heat_map_has_the_cells_of_the_table():
  found = fields(
    grid(
      {
        (64, 1e-3): (395.0, 400.0, 405.0),
        (64, 1e-2): (198.0, 200.0, 203.0),
        (256, 1e-3): (-800.0, -810.0, -820.0),
        (256, 1e-2): (295.0, 300.0, 310.0),
      }
    )
  )
  chart = heat_map(found)
  assert chart is not None
  assert (chart.down, chart.across) == ("batch", "learning rate")
  assert (chart.rows, chart.columns) == (("64", "256"), ("0.001", "0.01"))
  costs = [
    tuple(g.joules.value if g.joules else None for g in found.comparison.groups)
  ]
  assert [*chart.joules[0], *chart.joules[1]] == [*costs[0]]
  assert chart.joules[1][0] is None and chart.words[1][0] == "missed"
  assert chart.best == {(0, 1), (1, 1)}


def test_a_cell_that_was_not_run_says_so():
  cells = {(64, 1e-3): (4.0, 4.1), (64, 1e-2): (2.0, 2.1), (256, 1e-3): (9.0,)}
  chart = heat_map(fields(grid(cells)))
  assert chart is not None and chart.words[1][1] == "not run"
  assert heat_map(fields(seeds(64, 1.0) + seeds(8, 2.0))) is None


def test_the_shares_are_those_of_the_table():
  found = fields(
    grid(
      {
        (64, 1e-3): (395.0, 400.0),
        (64, 1e-2): (198.0, 200.0),
        (256, 1e-3): (800.0, 810.0),
        (256, 1e-2): (295.0, 300.0),
      }
    )
  )
  chart = shares_chart(found)
  assert chart is not None
  assert chart.rows[-2:] == ("interaction", "seeds")
  ranked = [found.importance.fields[path] for path in found.importance.ranked]
  assert [(m.value, m.low, m.high) for m in chart.marks[:2]] == [
    (part.value, part.low, part.high) for part in ranked
  ]
