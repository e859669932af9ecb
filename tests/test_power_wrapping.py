"""Work that is done after its call is measured where it is done."""

import asyncio
import functools
import inspect
import time
from typing import Any

import pytest

from jaxpower.power import Monitor, SimulatedSource
from jaxpower.power.wrapping import is_lazy

SECONDS = 0.05


@pytest.fixture
def monitor():
  waited = []
  with Monitor([SimulatedSource(100.0)], wait=waited.append) as monitor:
    holder: Any = monitor
    holder.waited = waited
    yield monitor


def only_window(monitor):
  (window,) = monitor.windows()
  return window


def test_a_coroutine_function_is_measured_while_it_is_awaited(monitor):
  @monitor.measured("job", steps=3)
  async def job(x):
    """Sleeps."""
    await asyncio.sleep(SECONDS)
    return 2 * x

  coroutine = job(4)
  assert monitor.windows() == ()
  assert asyncio.run(coroutine) == 8
  window = only_window(monitor)
  assert window.seconds >= SECONDS
  assert window.joules == pytest.approx(100.0 * window.seconds)
  assert monitor.waited == [((4,), {}), 8]
  assert (job.__name__, job.__doc__) == ("job", "Sleeps.")
  assert inspect.iscoroutinefunction(job)


def test_a_generator_function_is_measured_while_it_is_iterated(monitor):
  @monitor.measured("load")
  def load(count):
    for i in range(count):
      time.sleep(SECONDS / 2)
      got = yield i
      assert got in (None, "more")
    return "end"

  items = load(3)
  time.sleep(SECONDS)
  assert monitor.windows() == ()
  assert (next(items), items.send("more"), next(items)) == (0, 1, 2)
  with pytest.raises(StopIteration, match="end"):
    next(items)
  window = only_window(monitor)
  assert 1.5 * SECONDS <= window.seconds < 2.4 * SECONDS + 0.2
  assert window.reasons == ()


def test_a_generator_that_is_left_early_closes_its_window(monitor):
  @monitor.measured("load")
  def load():
    yield from range(10)

  for item in load():
    if item == 2:
      break
  assert only_window(monitor).name == "load"


def test_an_asynchronous_generator_is_measured_while_it_is_iterated(monitor):
  seen = []

  @monitor.measured("stream")
  async def stream():
    for i in range(3):
      await asyncio.sleep(SECONDS / 3)
      seen.append((yield i))

  async def use():
    first = stream()
    assert [await anext(first), await first.asend("x")] == [0, 1]
    await first.aclose()
    return [item async for item in stream()]

  assert asyncio.run(use()) == [0, 1, 2]
  assert seen == ["x", None, None, None]
  left, whole = monitor.windows()
  assert left.reasons == ("ended by GeneratorExit",)
  assert whole.seconds >= 0.9 * SECONDS and whole.reasons == ()


def test_what_is_thrown_into_a_generator_reaches_it(monitor):
  caught = []

  async def asynchronous():
    try:
      yield 1
    except KeyError as error:
      caught.append(error)
      yield 2

  def plain():
    try:
      yield 1
    except KeyError as error:
      caught.append(error)
      yield 2

  async def use():
    items = monitor.measured("a")(asynchronous)()
    await anext(items)
    assert await items.athrow(KeyError("x")) == 2

  asyncio.run(use())
  items = monitor.measured("b")(plain)()
  next(items)
  assert items.throw(KeyError("x")) == 2
  items.close()
  assert len(caught) == 2


class Called:
  """An object that is called like a function."""

  async def __call__(self, x):
    await asyncio.sleep(SECONDS)
    return x

  async def method(self, x):
    return await self(x)


@pytest.mark.parametrize(
  "fn", [Called(), Called().method, functools.partial(Called().method)]
)
def test_measure_returns_a_coroutine_that_is_measured(monitor, fn):
  assert is_lazy(fn)
  assert asyncio.run(monitor.measure("job", fn, 3)) == 3
  assert only_window(monitor).seconds >= SECONDS


def test_an_error_passes_through_an_await(monitor):
  async def job():
    raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    asyncio.run(monitor.measure("job", job))
  assert only_window(monitor).reasons[0] == "ended by ZeroDivisionError"


def test_a_result_whose_work_is_not_done_is_told(monitor):
  async def job():
    return 1

  made = monitor.measure("job", lambda: job())
  assert asyncio.run(made) == 1
  items = monitor.measure("items", lambda: (i for i in range(3)))
  assert list(items) == [0, 1, 2]
  first, second = monitor.windows()
  assert "returned a coroutine, whose work is done later" in first.reasons[0]
  assert "returned a generator" in second.reasons[0]
  assert any("too short" in reason for reason in first.reasons)


@pytest.mark.parametrize("fn", [len, print, time.sleep, int, lambda: 0, Called])
def test_other_functions_are_not_lazy(fn):
  assert not is_lazy(fn)
