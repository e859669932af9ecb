"""What is advised, word by word; no more than the seeds carry."""

from report_records import grid, seeds

from jaxpower.report.compare.comparison import compare, compare_all
from jaxpower.report.given import Given
from jaxpower.report.questions.which_field import (
  advice,
  answer,
  fields_of,
)

RATES = (0.001, 0.003, 0.01)


def say(rows, seeds=3, spread=0.02, **changes) -> str:
  """Advice on a grid: a row of joules per batch, a column per rate.

  Seeds are `spread` apart, in another order in each setting.
  """
  cells = {
    (batch, rate): tuple(
      joules * (1 + spread * ((k + place) % seeds - seeds // 2))
      for k in range(seeds)
    )
    for down, (batch, row) in enumerate(rows.items())
    for place, (rate, joules) in enumerate(
      zip(RATES, row, strict=False), start=down * len(row)
    )
  }
  (comparison,) = compare(grid(cells, **changes))
  return " ".join(advice(fields_of(comparison)))


def test_which_matters_and_what_to_take():
  told = say({64: (800, 200, 400), 256: (900, 210, 400), 1024: (999, 500, 300)})
  assert told == (
    "Learning rate matters most: it explains between 78 and 80 % of the"
    " variation in energy, batch between 4 and 5 %. The fields interact, which"
    " explains between 15 and 18 %."
    " Take learning rate 0.003 with batch 64 or 256; with batch 1024 take 0.01;"
    " the best batch with learning rate 0.003 is 64 or 256."
  )


def test_the_same_everywhere():
  told = say({64: (800, 200), 256: (900, 220)})
  assert told.endswith(
    " Take learning rate 0.003 at any batch; the best batch with learning rate"
    " 0.003 is 64."
  )


def test_one_seed_claims_nothing():
  told = say({64: (800, 200), 256: (1600, 400)}, seeds=1)
  assert told == (
    "Which field matters most is unknown: fewer than two seeds ran in every"
    " setting. Take learning rate 0.003 at any batch; the best batch with"
    " learning rate 0.003 is 64. With one seed there is no interval."
  )


def test_noise_is_not_advised_upon():
  told = say({64: (400, 410), 256: (390, 420)}, spread=0.4)
  assert told.startswith(
    "The effect of batch (at most 1 %) and learning rate (at most "
  )
  assert told.endswith(
    " %) on the energy does not differ measurably from chance. Which batch is"
    " best at any learning rate is unknown with these seeds."
  )


def test_equals_are_not_ranked():
  told = say({64: (400, 200), 256: (800, 400)}, spread=0.05)
  assert told.startswith("Batch and learning rate matter: they explain between")
  assert "; which of them matters more is unknown." in told
  assert "matters most" not in told


def test_one_field_of_two_matters():
  told = say({64: (400, 200), 256: (404, 202)}, spread=0.05)
  assert told.startswith("Learning rate matters most: it explains between ")
  assert " Batch (at most 2 %) does not differ measurably from chance." in told
  assert told.endswith("Take learning rate 0.003 at any batch.")


def test_misses_take_part():
  rows = {64: (400, 200), 256: (800, 400)}
  cells = {
    (batch, rate): tuple(joules * f for f in (1.0, 1.02, 0.97, 1.01))
    for batch, row in rows.items()
    for rate, joules in zip(RATES, row, strict=False)
  }
  cells[256, 0.001] = (790, -780, 810, 820)
  (comparison,) = compare(grid(cells, estimated=True))
  fields = fields_of(comparison)
  assert (fields.importance.missed, fields.importance.trials) == (1, 16)
  told = " ".join(advice(fields))
  assert "of the variation in estimated energy" in told


def test_a_setting_that_never_reached_leaves_shares_unknown():
  told = say({64: (400, -800, -800), 256: (-800, -800, -800)})
  why = "in 5 of 6 settings no trial reached the target"
  assert told.startswith(f"Which field matters most is unknown: {why}.")
  assert told.endswith(
    " Take learning rate 0.001 with batch 64; with batch 256 no learning rate"
    " reached the target often enough."
  )


def test_values_that_differ_by_less_than_all_pairs_allow_are_alike():
  # Apart by a t of this pair alone, not by one of all pairs of the grid.
  told = say({64: (400, 200), 256: (415, 200)}, spread=0.02, seeds=3)
  assert "the best batch" not in told


def test_a_grid_with_a_hole_gives_no_advice():
  (comparison,) = compare(
    grid({(64, 0.001): (9.0,), (64, 0.01): (8.0,), (256, 0.01): (7.0,)})
  )
  assert advice(fields_of(comparison)) == [
    "Which field matters most is unknown: the energy of only 3 of 4"
    " settings is known."
  ]


def test_three_fields_are_weighed():
  trials = [
    record
    for wide, factor in ((1.0, 1), (2.0, 3))
    for record in grid(
      {
        (b, r): tuple(factor * j * (1 + k / 100) for k in range(3))
        for b, j in ((64, 100.0), (256, 101.0))
        for r in RATES[:2]
      }
    )
    for _ in [record.varied.update({"model.width": wide})]
  ]
  (comparison,) = compare(trials)
  (first, second) = advice(fields_of(comparison))
  assert first.startswith("Width matters most: it explains between")
  assert second.startswith("Learning rate (at most 1 %) does not differ")


def test_one_field_has_no_section():
  compared = compare_all(seeds(64, 200, 210) + seeds(256, 400, 410))
  assert answer(compared, Given()) == ()


def test_its_section_has_the_advice_and_both_tables():
  compared = compare_all(
    grid({(b, r): (b * r, b * r * 1.01) for b in (64, 256) for r in RATES})
  )
  (section,) = answer(compared, Given())
  assert section.title == "Importance of the fields"
  assert section.lead == " ".join(advice(fields_of(compared.comparisons[0])))
  assert [table.columns[0] for table in section.tables] == ["batch", "field"]
