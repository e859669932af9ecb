"""What commands print, shown while they run."""

import pathlib

from jaxpower.cli.follow import Follower


def test_whole_lines_that_are_new_are_shown(tmp_path: pathlib.Path) -> None:
  old = tmp_path / "commands" / "aaaaaaaaaaaa" / "output.txt"
  new = tmp_path / "commands" / "bbbbbbbbbbbb" / "output.txt"
  old.parent.mkdir(parents=True)
  old.write_text("before\n")
  shown: list[str] = []
  with Follower(tmp_path, shown.append):
    new.parent.mkdir()
    new.write_text("one\ntwo")
    old.write_text("new\n")  # shorter: its trial began again
  assert shown == ["aaaaaa | new", "bbbbbb | one"]


def test_showing_that_fails_ends_nothing(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "commands" / "a" / "output.txt"
  path.parent.mkdir(parents=True)

  def fail(line: str) -> None:
    raise OSError(line)

  with Follower(tmp_path, fail):
    path.write_text("one\n")
