import pathlib

import pytest

from jaxpower.cli.paths import path
from jaxpower.config import ConfigError


def test_the_tilde_is_the_home(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("HOME", str(tmp_path))
  assert path("~/o") == tmp_path / "o"
  assert path("a/~") == pathlib.Path("a/~")


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    ("", "is empty"),
    ("a\0b", "zero byte"),
    ("ä" * 128, "255 bytes"),
    ("a/" * 2_049, "4095 bytes"),
    ("a\ud800", "half a character"),
    ("~\0a/x", "no such home"),
    ("~nobody-of-this-name/x", "no such home"),
  ],
)
def test_what_can_be_no_path_is_one_line(text: str, reason: str) -> None:
  with pytest.raises(ConfigError, match=reason) as refused:
    path(text)
  assert str(refused.value).isprintable()
