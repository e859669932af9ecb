"""Functions inside windows: also those whose work is done after their call.

A call of a coroutine function, a generator function or an asynchronous
generator function does nothing yet: the work is done while it is awaited or
iterated, so that is what its window holds. What the caller does between two
items, and other tasks during an await, fall into it too.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

# Opens a window and yields what waits for a value and returns it.
Around = Callable[[Any], AbstractContextManager[Callable[[Any], Any]]]

LAZY_CODE = (
  inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
)
LAZY = {
  CoroutineType: "a coroutine",
  GeneratorType: "a generator",
  AsyncGeneratorType: "an asynchronous generator",
}


def is_lazy(fn: Callable[..., Any]) -> bool:
  """Tells whether a call of it leaves the work to be done later."""
  code = getattr(fn, "__code__", None)
  if code is not None:  # of a function or method: quick, as once a window
    return bool(code.co_flags & LAZY_CODE)
  return (
    _is(inspect.isgeneratorfunction, fn)
    or _is(inspect.iscoroutinefunction, fn)
    or _is(inspect.isasyncgenfunction, fn)
  )


def wrap(fn: Callable[..., Any], around: Around) -> Callable[..., Any]:
  """Returns a function like `fn` whose work is done in a window each time.

  `around` takes the arguments of a call.
  """
  if _is(inspect.iscoroutinefunction, fn):

    async def awaited(*args: Any, **kwargs: Any) -> Any:
      with around((args, kwargs)) as finish:
        return finish(await fn(*args, **kwargs))

    return _like(awaited, fn)
  if _is(inspect.isasyncgenfunction, fn):

    async def asynchronous(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
      with around((args, kwargs)):
        items = fn(*args, **kwargs)
        reply = anext(items)
        try:
          while True:
            value = await reply
            try:
              sent = yield value
            except GeneratorExit:
              raise
            except BaseException as error:  # noqa: BLE001 - is handed on
              reply = items.athrow(error)
            else:
              reply = items.asend(sent)
        except StopAsyncIteration:
          return
        finally:
          await items.aclose()

    return _like(asynchronous, fn)
  if _is(inspect.isgeneratorfunction, fn):

    def iterated(*args: Any, **kwargs: Any) -> Iterator[Any]:
      with around((args, kwargs)) as finish:
        return finish((yield from fn(*args, **kwargs)))

    return _like(iterated, fn)

  def called(*args: Any, **kwargs: Any) -> Any:
    with around((args, kwargs)) as finish:
      return finish(fn(*args, **kwargs))

  return _like(called, fn)


def _is(kind: Callable[[Any], bool], fn: Callable[..., Any]) -> bool:
  """Tells the kind of a function, also of an object that is called like one."""
  return kind(fn) or kind(getattr(type(fn), "__call__", None))  # noqa: B004


def _like(wrapper: Callable[..., Any], fn: Callable[..., Any]) -> Any:
  return functools.update_wrapper(wrapper, fn)


def undone(result: Any) -> str:
  """Says of a lazy result that its work is not done; nothing for others."""
  kind = LAZY.get(type(result))
  if kind is None:
    return ""
  return (
    f"it returned {kind}, whose work is done later, outside this window:"
    " measure the function that makes it"
  )
