"""Windows that adjoin are joined; those of a name that overlap are united."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.power import Energy, Load, Window
from jaxpower.power.laps import add_to_union, join, unlike
from jaxpower.power.window import total


def window(start, end, *energies, load=None):
  found = total("command", start, end, energies)
  return Window(
    *(found.name, found.start_seconds, found.seconds, found.joules),
    *(found.joules_bound, found.energies),
    estimated=found.estimated,
    partial=found.partial,
    reasons=found.reasons,
    load=load,
  )


def energy(
  joules: float | None = 10.0, bound: float | None = 1.0, **more: Any
) -> Energy:
  facts: dict[str, Any] = {"method": "counter"} | more
  return Energy("gpu", joules, bound, **facts)


def test_joules_ticks_and_bounds_of_laps_add_up():
  first = window(1.0, 3.0, energy(ticks=4, integral_joules=9.0, peak_watts=7.0))
  last = window(3.0, 4.0, energy(5.0, 0.5, ticks=2, integral_joules=6.0))
  joined = join(first, last)
  assert (joined.start_seconds, joined.seconds) == (1.0, 3.0)
  assert (joined.joules, joined.joules_bound) == (15.0, 1.5)
  (gpu,) = joined.energies
  assert (gpu.ticks, gpu.integral_joules, gpu.peak_watts) == (6, 15.0, 7.0)
  assert not joined.partial and joined.reasons == ()


def test_an_unknown_lap_makes_the_window_unknown_with_its_reason():
  lost = energy(None, None, partial=True, reasons=("it is lost",))
  joined = join(window(0.0, 1.0, energy()), window(1.0, 2.0, lost))
  assert joined.joules is None and joined.joules_bound is None
  assert joined.partial and joined.reasons == ("gpu: it is lost",)


def test_the_weaker_method_names_the_window_and_its_reason_stays():
  power = energy(method="power_instant", reasons=("counter not usable",))
  for laps in ([power, energy()], [energy(), power]):
    joined = join(window(0.0, 1.0, laps[0]), window(1.0, 2.0, laps[1]))
    assert joined.energies[0].method == "power_instant"
    assert joined.energies[0].reasons == ("counter not usable",)


def test_a_thousand_laps_do_not_give_a_thousand_reasons():
  joined = window(0.0, 1.0, energy(reasons=("it is lost", "by +1.5 %")))
  for i in range(1, 1000):
    lap = window(float(i), i + 1.0, energy(reasons=(f"by -{i / 7:.3g} %",)))
    joined = join(joined, lap)
  assert joined.energies[0].reasons == ("it is lost", "by +1.5 %")


def test_reasons_of_two_gpus_are_two():
  reasons = ("GPU-0: for 2 s", "GPU-1: for 2 s", "GPU-0: for 1e-3 s", "over")
  assert unlike(reasons) == ("GPU-0: for 2 s", "GPU-1: for 2 s", "over")


def test_the_load_is_the_mean_by_seconds():
  first = window(0.0, 1.0, energy(), load=Load(4.0, 0.0))
  last = window(1.0, 4.0, energy(), load=Load(0.0, 1.0))
  assert join(first, last).load == Load(1.0, 0.75)
  assert join(first, window(1.0, 2.0, energy())).load is None


def watts(start, end):
  return 100.0 * (end - start)


def united(spans) -> Any:
  last = None
  for start, end in spans:
    last = add_to_union(last, start, end, watts(start, end), watts)
  return last


@pytest.mark.parametrize(
  ("spans", "seconds"),
  [
    ([(0, 1), (2, 3)], 2),
    ([(0, 2), (1, 3)], 3),  # two threads
    ([(1, 2), (3, 4), (0, 5)], 5),  # nested: the inner ones close first
    ([(2, 3), (1, 4), (0, 5), (6, 7), (5.5, 7)], 6.5),  # a recursion
    ([(0, 2), (1, 3), (0.5, 4)], 4),
    ([(0, 2), (1, 3), (2.5, 4)], 4),
    ([(0, 2), (0, 2), (0, 2)], 2),
  ],
)
def test_each_instant_counts_once(spans, seconds):
  assert united(spans).joules == pytest.approx(100.0 * seconds)


edges = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted)


@given(st.lists(edges.filter(lambda edge: edge[0] < edge[1]), min_size=1))
def test_any_windows_give_the_length_of_their_union(spans):
  spans.sort(key=lambda span: span[1])
  covered = {i for start, end in spans for i in range(start, end)}
  assert united(spans).joules == pytest.approx(100.0 * len(covered))


def test_an_unknown_window_makes_the_sum_unknown_until_one_covers_it():
  first = add_to_union(None, 0.0, 1.0, 100.0, watts)
  unknown: Any = add_to_union(first, 2.0, 3.0, None, watts)
  assert unknown.joules is None
  later: Any = add_to_union(unknown, 4.0, 5.0, 100.0, watts)
  over: Any = add_to_union(unknown, 1.5, 5.0, 350.0, watts)
  assert (later.joules, over.joules) == (None, 450.0)


def test_a_long_chain_of_spans_is_freed_without_recursion():
  last: Any = None
  for i in range(300_000):
    last = add_to_union(last, i, i + 0.5, 1.0, watts)
  assert last.joules == 300_000
  del last
