import gc
import pathlib

import pytest

from jaxpower.config import Model, Trial
from jaxpower.data import for_tasks, load
from jaxpower.learn import wing
from jaxpower.workers import program_cache
from jaxpower.workers.program_cache import ProgramCache

MAPS = pathlib.Path("/proc/self/maps")


def test_those_used_last_are_kept() -> None:
  cache = ProgramCache(kept=2)
  cache["a"] = 1
  cache["b"] = 2
  assert cache.get("a") == 1
  cache["a"] = 1  # a trial puts back what it was given
  cache["c"] = 3
  assert (list(cache), cache.compiled) == (["a", "c"], 3)
  assert cache.get("b") is None


def test_a_process_wears_out(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(program_cache, "MOST_COMPILED", 2)
  cache = ProgramCache()
  cache["a"] = 1
  cache["a"] = 1
  assert not cache.worn
  cache["b"] = 1
  assert cache.worn


@pytest.mark.proof
@pytest.mark.skipif(not MAPS.exists(), reason="no /proc here")
def test_new_shapes_take_no_more_maps_once_the_cache_is_full() -> None:
  cache, maps = ProgramCache(kept=1), []
  sets = for_tasks(load("digits"), ("label",))
  for batch in (32, 33, 34, 35, 36):
    trial = Trial(
      data="digits",
      model=Model(width=0.25),
      batch_size=batch,
      evaluate_every_examples=2 * batch,
      devices=1,
    )
    spec = wing.place(trial, sets).spec
    cache[spec] = wing.compile_programs(spec)
    gc.collect()
    maps.append(len(MAPS.read_text().splitlines()))
  first, last = maps[1], maps[-1]
  assert last - first < 3 * 20, f"{maps}: a kept set of programs has over 100"
