"""Where a sweep is shown: a terminal, a notebook's cell, a log."""

import io
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from jaxpower.cli import surface
from jaxpower.cli.surface import Cell, Log, Terminal, surface_on


class Output:
  """A notebook's output: what it shows is what it was last given."""

  def __init__(self) -> None:
    self.shown: list[str] = []

  def update(self, bundle: dict[str, str], raw: bool) -> None:
    assert raw
    self.shown.append(bundle["text/plain"])


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
  made = Output()

  def display(bundle: dict[str, str], raw: bool, display_id: bool) -> Any:
    assert display_id
    made.update(bundle, raw)
    return made

  ipython, inner = ModuleType("IPython"), ModuleType("IPython.display")
  shell = SimpleNamespace(kernel=True)
  ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
  inner.display = display  # type: ignore[attr-defined]
  monkeypatch.setitem(sys.modules, "IPython", ipython)
  monkeypatch.setitem(sys.modules, "IPython.display", inner)
  return made


def test_a_cell_is_replaced_and_not_more_often_than_it_may(
  output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
  now = 100.0
  monkeypatch.setattr(surface.time, "monotonic", lambda: now)
  cell = surface_on(Console(file=io.StringIO()))
  assert isinstance(cell, Cell)
  cell.start(lambda columns, rows: ["trial 1 \x1b[2J", "1 of 2"])
  cell.say("training on 1 x cpu")
  now += surface.CELL_SECONDS / 2
  cell.refresh()
  assert len(output.shown) == 2, "it was drawn a moment ago"
  now += surface.CELL_SECONDS
  cell.refresh()
  assert output.shown[2:] == ["training on 1 x cpu\ntrial 1 \\x1b[2J\n1 of 2"]
  cell.stop()
  assert output.shown[-1] == "training on 1 x cpu"


def test_a_shell_without_a_kernel_is_a_terminal(
  output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(
    sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace()
  )
  assert type(surface_on(Console(file=io.StringIO()))) is Log
  terminal = Console(file=io.StringIO(), force_terminal=True)
  assert type(surface_on(terminal)) is Terminal
  assert output.shown == []


def test_no_line_of_a_terminal_wraps() -> None:
  text = io.StringIO()
  console = Console(
    file=text, width=40, height=10, force_terminal=True, color_system=None
  )
  place = Terminal(console)
  asked: list[tuple[int, int]] = []

  def draw(columns: int, rows: int) -> list[str]:
    asked.append((columns, rows))
    return ["x" * 60, "two\nlines"]

  place.start(draw)
  place.refresh(at_once=True)
  place.stop()
  assert asked and set(asked) == {(40, 10)}
  assert "x" * 40 in text.getvalue() and "x" * 41 not in text.getvalue()
  assert "two lines" in text.getvalue()
