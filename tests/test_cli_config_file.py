import pathlib
import sys

import pytest

from jaxpower.cli.config_file import load_config
from jaxpower.config import ConfigError

CONFIG = """
from jaxpower import Sweep
{imports}
def get_config(text):
  {late}
  return Sweep(name=shared.NAME + text)
"""


@pytest.mark.parametrize(
  ("imports", "late"),
  [
    ("import shared", ""),
    ("from configs import shared", ""),
    ("", "import shared"),
  ],
)
def test_a_config_imports_from_its_own_folder(
  tmp_path: pathlib.Path, imports: str, late: str
) -> None:
  before = list(sys.path)
  for name in ("one", "two"):  # the second has a module of its own
    folder = tmp_path / name / "configs"
    folder.mkdir(parents=True)
    (folder / "shared.py").write_text(f"NAME = {name!r}\n")
    (folder / "mine.py").write_text(CONFIG.format(imports=imports, late=late))
    assert load_config(f"{folder}/mine.py:3").name == f"{name}3"
    assert sys.path == before
    assert "shared" not in sys.modules


def test_the_path_is_not_left_behind_by_a_broken_config(
  tmp_path: pathlib.Path,
) -> None:
  before = list(sys.path)
  (tmp_path / "mine.py").write_text("import sys\nsys.exit(3)\n")
  with pytest.raises(ConfigError, match="line 2: SystemExit: 3"):
    load_config(str(tmp_path / "mine.py"))
  assert sys.path == before


def test_a_folder_may_have_a_colon(tmp_path: pathlib.Path) -> None:
  folder = tmp_path / "d:10"
  folder.mkdir()
  (folder / "one.py").write_text(
    "from jaxpower import Sweep\n"
    "def get_config(text):\n  return Sweep(name='a' + text)\n"
  )
  assert load_config(f"{folder}/one.py").name == "a"
  assert load_config(f"{folder}/one.py:b").name == "ab"
  with pytest.raises(
    ConfigError, match=r"10/two\.py' is not there; did you me"
  ):
    load_config(f"{folder}/two.py:b")


def test_the_tilde_is_the_home(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("HOME", str(tmp_path))
  (tmp_path / "one.py").write_text(
    "from jaxpower import Sweep\ndef get_config(text):\n  return Sweep()\n"
  )
  assert load_config("~/one.py").name == "sweep"
