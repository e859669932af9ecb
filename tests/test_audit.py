"""The audit counts what it looked up, and does not take silence for safety."""

import importlib.util
import pathlib
from typing import Any

import pytest
from absl import flags

FILE = pathlib.Path(__file__).parent.parent / "scripts" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> Any:
  spec = importlib.util.spec_from_file_location("audit", FILE)
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  if not flags.FLAGS.is_parsed():
    flags.FLAGS(["audit"])
  return module


def test_what_is_installed_is_listed(audit: Any) -> None:
  found = audit.installed()
  assert found["numpy"]
  assert "jaxpower" not in found


@pytest.mark.parametrize(
  ("found", "code", "line"),
  [
    ([("a", []), ("b", [])], 0, "audited 2 of 2 packages: none is vulnerable"),
    ([("a", []), ("b", None)], 3, "only 1 of 2 packages could be looked up"),
    ([("a", None), ("b", ["X-1: bad"])], 1, "vulnerable: b X-1: bad"),
  ],
)
def test_fewer_than_asked_for_are_no_audit(
  audit: Any, found: list[Any], code: int, line: str
) -> None:
  got, said = audit.verdict(found, 2)
  assert (got, said[: len(line)]) == (code, line)


@pytest.mark.parametrize(
  ("answer", "lines"),
  [
    ([], None),
    ({}, None),
    ({"vulnerabilities": None}, None),
    ({"vulnerabilities": []}, []),
    ({"vulnerabilities": [{"id": "X-1", "summary": "bad"}]}, ["X-1: bad"]),
    ({"vulnerabilities": [{"id": "X-1", "withdrawn": "2020"}]}, []),
  ],
)
def test_an_index_may_know_no_advisories(
  audit: Any, answer: Any, lines: list[str] | None
) -> None:
  assert audit.advisories(answer) == lines


def test_an_index_that_knows_no_vulnerable_version_proves_nothing(
  audit: Any,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  for answer in (None, []):
    monkeypatch.setattr(audit, "look_up", lambda *_, given=answer: given)
    assert audit.main(["audit"]) == 0
    assert capsys.readouterr().out.startswith("NOT AUDITED: ")


def test_a_vulnerable_package_fails(
  audit: Any,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  monkeypatch.setattr(audit, "look_up", lambda *_: ["X-1: bad\x1b[2J"])
  assert audit.main(["audit"]) == 1
  assert r"numpy X-1: bad\x1b[2J" in capsys.readouterr().out
