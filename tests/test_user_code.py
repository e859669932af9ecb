"""Names out of a user's file: known without running it, then run once."""

import pathlib
import sys

import pytest

from jaxpower import user_code
from jaxpower.user_code import Place, UserCodeError, place_of


def test_a_place_is_a_file_and_a_name_in_it() -> None:
  assert place_of("nets.py:Net") == Place(pathlib.Path("nets.py"), "Net")
  assert place_of("/a.py:b/c.py:Net") == Place(
    pathlib.Path("/a.py:b/c.py"), "Net"
  )
  assert place_of("cnn") is None
  assert place_of("nets.py") is None


def test_what_a_file_defines_is_known_without_running_it(
  tmp_path: pathlib.Path,
) -> None:
  path = tmp_path / "nets.py"
  path.write_text(
    "import a.b as c\nfrom d import e\nclass Net: pass\ndef f(): pass\n"
    "x: int = 1\ntry:\n  import g\nexcept ImportError:\n  h = None\n"
    "if x:\n  def i(): pass\nraise SystemExit\n"
  )
  assert user_code.defined(path) == set("cefghix") | {"Net", "int"}


@pytest.mark.parametrize(
  ("text", "name", "line"),
  [
    ("class Wide: pass", "Wode", "does not define Wode; did you mean Wide?"),
    ("class Wide: pass", "Other", "does not define Other; it has Wide"),
    ("", "Net", "does not define Net; write it"),
    ("class (", "Net", "line 1: SyntaxError: invalid syntax"),
  ],
)
def test_a_wrong_name_is_one_line(
  text: str, name: str, line: str, tmp_path: pathlib.Path
) -> None:
  path = tmp_path / "nets.py"
  path.write_text(text)
  with pytest.raises(UserCodeError) as raised:
    user_code.require(Place(path, name))
  assert str(raised.value).startswith(f"{path}")
  assert line in str(raised.value)
  assert "\n" not in str(raised.value)


def test_a_name_may_be_taken_over_from_elsewhere_or_be_an_alternative(
  tmp_path: pathlib.Path,
) -> None:
  path = tmp_path / "nets.py"
  path.write_text("from somewhere import *")
  user_code.require(Place(path, "Anything"))
  path.write_text("class NetTorch: pass")
  user_code.require(Place(path, "Net"), ["NetTorch"])


def test_a_missing_file_has_its_nearest_name(tmp_path: pathlib.Path) -> None:
  (tmp_path / "nets.py").write_text("")
  with pytest.raises(UserCodeError) as raised:
    user_code.require(Place(tmp_path / "net.py", "Net"))
  assert str(raised.value) == (
    f"{tmp_path / 'net.py'} is not there; did you mean {tmp_path / 'nets.py'}?"
  )


def test_the_checksum_is_of_the_file_and_of_what_it_imports_beside_it(
  tmp_path: pathlib.Path,
) -> None:
  path = tmp_path / "nets.py"
  path.write_text("import math\ndef f():\n  from parts.deep import Layer\n")
  (tmp_path / "parts").mkdir()
  deep = tmp_path / "parts" / "deep.py"
  deep.write_text("from other import x")
  (tmp_path / "unused.py").write_text("1")
  seen = [user_code.checksum(path)]
  (tmp_path / "unused.py").write_text("2")
  assert user_code.checksum(path) == seen[0]
  for file, text in (
    (tmp_path / "other.py", "x = 1"),
    (deep, "from other import x  # edited"),
    (path, path.read_text() + "# edited"),
  ):
    file.write_text(text)
    seen.append(user_code.checksum(path))
  assert len(set(seen)) == 4
  moved = tmp_path / "elsewhere"
  moved.mkdir()
  for file in ("nets.py", "other.py", "parts"):
    (tmp_path / file).rename(moved / file)
  assert user_code.checksum(moved / "nets.py") == seen[-1]


def test_a_file_is_run_once_and_may_import_what_lies_beside_it(
  tmp_path: pathlib.Path,
) -> None:
  (tmp_path / "beside_it.py").write_text("runs = []")
  path = tmp_path / "nets.py"
  path.write_text(
    "import beside_it, dataclasses\nbeside_it.runs.append(1)\n"
    "@dataclasses.dataclass\nclass Net:\n  x: 'int' = 1\n"
  )
  before = list(sys.path)
  names = user_code.load(f"{path}:Net")
  assert names["Net"]().x == 1
  assert user_code.load(f"{path}:Net")["Net"] is names["Net"]
  assert names["beside_it"].runs == [1]
  assert (sys.path, "beside_it" in sys.modules) == (before, False)


@pytest.mark.parametrize("text", ["x = 1\nraise SystemExit('no')", "x=1\n1/0"])
def test_what_a_file_raises_is_one_line_with_its_place(
  text: str, tmp_path: pathlib.Path
) -> None:
  path = tmp_path / "nets.py"
  path.write_text(text)
  with pytest.raises(UserCodeError, match=r"nets\.py, line 2: \w+: ") as raised:
    user_code.load(f"{path}:Net")
  assert "\n" not in str(raised.value)


def test_a_file_that_was_edited_since_is_refused(
  tmp_path: pathlib.Path,
) -> None:
  path = tmp_path / "nets.py"
  path.write_text("x = 1")
  planned = user_code.checksum(path)
  assert user_code.load(f"{path}:x", planned)["x"] == 1
  path.write_text("x = 2")
  with pytest.raises(UserCodeError, match="not the file that the sweep was"):
    user_code.load(f"{path}:x", planned)
  assert user_code.load(f"{path}:x")["x"] == 2


class Net:
  def __init__(self, classes: int, width: int = 1, *, depth: int): ...


@pytest.mark.parametrize(
  ("needed", "offered", "options", "line"),
  [
    ({"classes": 1}, {"shape": 2}, {"depth": 3}, None),
    (
      {"classes": 1, "dtype": 2},
      {},
      {"depth": 3},
      "Net takes no argument dtype; it has (classes, width, depth)",
    ),
    (
      {"classes": 1},
      {},
      {"depth": 3, "widht": 3},
      "Net takes no argument widht; did you mean width?",
    ),
    (
      {"classes": 1},
      {},
      {"depth": 3, "q": 3},
      "Net takes no argument q; it has (classes, width, depth)",
    ),
    (
      {"classes": 1},
      {},
      {"depth": 3, "classes": 3},
      "Net: classes is no option, it is filled in",
    ),
    (
      {"classes": 1},
      {},
      {},
      "Net needs depth; give --config.model.options.depth=VALUE, or a default",
    ),
  ],
)
def test_arguments_are_chosen_by_what_is_taken(
  needed: dict, offered: dict, options: dict, line: str | None
) -> None:
  if line is None:
    chosen = user_code.arguments("Net", Net, needed, offered, options)
    assert chosen == {"classes": 1, "depth": 3}
    return
  with pytest.raises(UserCodeError) as raised:
    user_code.arguments("Net", Net, needed, offered, options)
  assert str(raised.value) == line
