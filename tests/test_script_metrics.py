"""Accuracies from output and files, and reports as values."""

import pathlib

import pytest

from jaxpower.config import ConfigError, Trial
from jaxpower.script import metrics
from jaxpower.script.metrics import FileReader, LineReader
from jaxpower.script.report import ReportError, report_of

ACCURACY = r"accuracy[=: ]+(?P<accuracy>\S+)"


def test_a_line_with_an_accuracy_reports_what_lines_before_it_told() -> None:
  reader = LineReader(
    Trial(
      metrics=(
        ACCURACY,
        r"loss (?P<loss>\S+)",
        r"seen (?P<examples>[\d,]+)",
        r"(?P<eval>Validating)",
      )
    )
  )
  assert reader.read("loss 0.5") == (None, None)
  assert reader.read("Validating, seen 1,024") == ("eval", None)
  assert reader.read("accuracy: 0.75") == (
    None,
    {"accuracy": 0.75, "loss": 0.5, "examples": 1024.0},
  )
  assert reader.read("accuracy: 0.80") == (None, {"accuracy": 0.8})
  assert reader.read("accuracy: not yet") == (None, None)


def test_percents_and_tasks() -> None:
  reader = LineReader(Trial(metrics=(r"top1 (?P<percent>\S+)",)))
  _, facts = reader.read("top1 93.5")
  assert facts is not None
  assert facts["accuracy"] == pytest.approx(0.935)
  two = Trial(tasks=("a", "b"), metrics=(r"a (?P<a>\S+)", r"b (?P<b>\S+)"))
  reader = LineReader(two)
  assert reader.read("a 0.5") == (None, None)
  assert reader.read("b 0.7") == (None, {"accuracies": {"a": 0.5, "b": 0.7}})


def test_a_file_is_read_by_whole_lines(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "log"
  reader = FileReader(path)
  assert reader.read() == []
  path.write_text('{"accuracy": 0.5}\n{"acc')
  assert reader.read() == [{"accuracy": 0.5}]
  with path.open("a") as file:
    file.write('uracy": 0.6}\nnonsense\n')
  assert reader.read() == [{"accuracy": 0.6}, "nonsense"]


@pytest.mark.parametrize(
  ("expression", "reason"),
  [
    ("acc(", "unterminated"),
    ("accuracy=(.*)", "name what it finds"),
    ("(?P<acuracy>.*)", "did you mean accuracy?"),
    ("(?P<loss>.*)", "none has a group"),
  ],
)
def test_expressions_that_find_nothing_are_refused(
  expression: str, reason: str
) -> None:
  with pytest.raises(ConfigError) as refused:
    metrics.check(Trial(metrics=(expression,)))
  assert reason in str(refused.value)


@pytest.mark.parametrize(
  ("facts", "reason"),
  [
    ({"accuracy": 91.0}, "an accuracy of 91, not 0 to 1; divide percents"),
    ({"accuracy": float("nan")}, "an accuracy of nan, not 0 to 1"),
    ({"accuracy": -0.1}, "not 0 to 1"),
    ({"accuracy": "0.5"}, "which is no number"),
    ({"loss": 0.5}, "without an accuracy"),
    ({"accuracy": 0.5, "examples": -1}, "examples of -1"),
    ({"accuracy": 0.5, "steps": float("inf")}, "steps of inf"),
  ],
)
def test_reports_that_cannot_be_are_refused(
  facts: dict[str, object], reason: str
) -> None:
  with pytest.raises(ReportError) as refused:
    report_of(Trial(), facts, 0.0)
  assert reason in str(refused.value)


def test_tasks_are_told_each_and_their_mean_counts() -> None:
  two = Trial(tasks=("a", "b"))
  made = report_of(two, {"accuracies": {"a": 0.5, "b": 0.7, "c": 0.1}}, 1.0)
  assert made.accuracy == pytest.approx(0.6)
  assert made.accuracies == {"a": 0.5, "b": 0.7}
  with pytest.raises(ReportError, match="no accuracy of task 'b'"):
    report_of(two, {"accuracies": {"a": 0.5}}, 1.0)
