import dataclasses
import gzip
import json
import pathlib
from typing import Any

import pytest

from jaxpower import records
from jaxpower.config import (
  Execution,
  Model,
  Optimizer,
  Transfer,
  Trial,
  to_dict,
  trial_id,
  with_seed,
)
from jaxpower.folder import record_files
from jaxpower.readers import ReadError
from jaxpower.records import Compilation, CompileCost, Evaluation, TrialRecord

TRIAL = Trial(batch_size=64, seed=2)
RECORD = TrialRecord(
  trial_id=trial_id(TRIAL),
  config=to_dict(TRIAL),
  varied={"batch_size": 64},
  seed=2,
  framework="jax",
  status="reached",
  target_accuracy=0.8,
  reasons=("GPU-5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f: counter stuck",),
  joules_to_accuracy=212.5,
  train_joules=212.5,
  examples=1000,
  compile=Compilation(
    seconds=1.5,
    joules=None,
    cache_hit=True,
    repeats=(
      CompileCost(seconds=1.5, joules=None),
      CompileCost(seconds=1.25, joules=20.0),
    ),
  ),
  curve=(
    Evaluation(
      examples=1000,
      steps=10,
      train_seconds=4.1,
      train_joules=212.5,
      train_loss=0.5,
      loss=0.6,
      accuracy=0.81,
    ),
  ),
)


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("{", "not JSON: Expecting property name"),
    ("[]", "not a JSON object"),
    ('{"schema_version": null}', "schema_version None, not 1 to 2"),
    ('{"schema_version": true}', "schema_version True, not 1 to 2"),
    ('{"schema_version": 1, "seed": 1}', "has no field trial_id"),
  ],
)
def test_what_is_no_record_is_named(line: str, message: str) -> None:
  with pytest.raises(ReadError) as error:
    records.from_json(line)
  assert message in str(error.value)


def test_a_newer_version_is_not_judged() -> None:
  with pytest.raises(records.NewerRecordError, match="a newer jaxpower wrote"):
    records.from_json('{"schema_version": 99}')


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"status": "banana"}, "status: 'banana' is not reached or missed or"),
    ({"train_joules": -5.0}, "train_joules: -5 is not 0 to 1e+18"),
    ({"train_joules": 1e999}, "not JSON: holds Infinity"),
    ({"best_accuracy": 7}, "best_accuracy: 7 is not 0 to 1"),
    ({"wall_seconds": "soon"}, "wall_seconds: 'soon' is not a number"),
    ({"curve": [{}]}, "curve[0]: has no field examples"),
    ({"curve": None}, "curve: null is not a list"),
    ({"config": {"optimizer": 3}}, "config.optimizer: 3 is not an object"),
    (
      {"config": {"optimizer": {"learning_rate": "x"}}},
      "config.optimizer.learning_rate: 'x' is not a number",
    ),
    ({"seed": 1}, "seed: not that of its config"),
    ({"trial_id": "0123456789ab"}, "trial_id: not the hash of its config"),
    ({"trial_id": "../../etc"}, "trial_id: not an id"),
    ({"joules_by_phase": {"train": "1"}}, "joules_by_phase.train: '1' is not"),
    ({"decided_by": 0}, "decided_by: 0 is not validation or test"),
    ({"meter": {"domains": 3}}, "meter.domains: 3 is not a list"),
    (
      {"meter": {"domains": [{"assumptions": {"idle_watts_per_core": "x"}}]}},
      "meter.domains[0].assumptions.idle_watts_per_core: 'x' is not a number",
    ),
    (
      {"provenance": {"devices": [{}, {"kind": 3}]}},
      "provenance.devices[1].kind: 3 is not a text",
    ),
  ],
)
def test_nonsense_is_not_believed(change: dict[str, Any], message: str) -> None:
  facts = json.loads(records.to_json(RECORD)) | change
  with pytest.raises(ReadError) as error:
    records.from_json(json.dumps(facts))
  assert str(error.value).startswith(message)
  assert "\n" not in str(error.value)


def test_one_bad_record_among_many_costs_no_other() -> None:
  packed = (RUNS / "transfer" / record_files.ARCHIVE).read_bytes()
  lines = gzip.decompress(packed).splitlines()
  whole = [records.from_json(line) for line in lines]
  assert records.all_from_json(lines) == whole
  bad = json.loads(lines[3]) | {"best_accuracy": 7}
  other = json.loads(lines[5]) | {"trial_id": "0" * 12}
  found = records.all_from_json(
    [*lines[:3], json.dumps(bad), lines[4], json.dumps(other), b"{", *lines[6:]]
  )
  told = [str(each) for each in found if isinstance(each, ReadError)]
  assert [line.partition(":")[0] for line in told] == [
    *("best_accuracy", "trial_id", "not JSON"),
  ]
  kept = [each for each in found if isinstance(each, TrialRecord)]
  assert kept == [*whole[:3], whole[4], *whole[6:]]


def test_less_than_idle_power_is_no_nonsense() -> None:
  less = dataclasses.replace(RECORD, active_joules_to_accuracy=-3.0)
  assert records.from_json(records.to_json(less)) == less


def test_fields_of_a_newer_version_are_written_back() -> None:
  facts = json.loads(records.to_json(RECORD)) | {"from_later": {"a": [1]}}
  record = records.from_json(json.dumps(facts))
  assert record.others == {"from_later": {"a": [1]}}
  assert json.loads(records.to_json(record)) == facts


RUNS = pathlib.Path(__file__).parent.parent / "benchmarks" / "regimes_cpu"


def as_trial(config: dict[str, Any]) -> Trial:
  """The trial of a record's config, which has every field of today."""
  parts = dict(config["transfer"])
  if parts["init_from"] is not None:
    parts["init_from"] = as_trial(parts["init_from"])
  return Trial(
    **config
    | {
      "tasks": tuple(config["tasks"]),
      "model": Model(**config["model"]),
      "optimizer": Optimizer(**config["optimizer"]),
      "transfer": Transfer(**parts),
    }
  )


@pytest.mark.parametrize("folder", sorted(p.name for p in RUNS.iterdir()))
def test_committed_records_are_completed_and_keep_their_ids(
  folder: str,
) -> None:
  """A trial of an older version has the same name and the fields of today."""
  for record in record_files.read(RUNS / folder, strict=True).records:
    if record.schema_version == 1:
      assert record.decided_by == "test"
      assert (record.test_accuracy, record.looks_to_target) == (None, None)
      assert record.config["validation_share"] == 0
      assert record.config["crossing"] == "first"
    trial = as_trial(record.config)
    assert to_dict(trial) == record.config
    assert trial_id(trial) == record.trial_id
    source = trial.transfer.init_from
    assert record.init_from == (source and trial_id(source))


def test_numbers_that_are_not_finite_become_null() -> None:
  line = records.to_json(
    dataclasses.replace(
      RECORD, train_joules=float("inf"), provenance={"x": [float("nan")]}
    )
  )
  facts = json.loads(line)
  assert (facts["train_joules"], facts["provenance"]) == (None, {"x": [None]})


def test_joules_per_example() -> None:
  assert RECORD.joules_per_example == 0.2125
  unknown = dataclasses.replace(RECORD, train_joules=None)
  assert unknown.joules_per_example is None


def test_every_field_of_a_record_is_explained() -> None:
  # docs/records.md is the promise that readers build on.
  page = (
    pathlib.Path(__file__).parent.parent / "docs" / "records.md"
  ).read_text()
  for kind in (TrialRecord, Evaluation, Compilation):
    for field in dataclasses.fields(kind):
      assert f"`{field.name}`" in page, f"{kind.__name__}.{field.name}"


EARLY, LATE = Trial(data="mnist_5k"), Trial(data="mnist_5k", batch_size=64)


@pytest.mark.parametrize(
  ("values", "words"),
  [
    ((16, 0.5, "adam", True), (16, 0.5, "adam", True)),
    (
      (
        Transfer(),
        Transfer(init_from=EARLY),
        Transfer(init_from=EARLY, freeze=True),
        Transfer(init_from=EARLY, freeze=True, features="once"),
        Transfer(init_from=EARLY, backbone_rate=0.1),
      ),
      (
        "scratch",
        "fine-tuned",
        "frozen",
        "frozen, features once",
        "fine-tuned at 0.1",
      ),
    ),
    (
      (Transfer(init_from=EARLY), Transfer(weights="weights/resnet18")),
      ("fine-tuned from mnist_5k", "fine-tuned from weights/resnet18"),
    ),
    (
      (Transfer(init_from=EARLY), Transfer(init_from=LATE)),
      ("fine-tuned from mnist_5k E", "fine-tuned from mnist_5k L"),
    ),
    ((EARLY, None), ("mnist_5k", None)),
    (
      (Model(name="vit"),),
      ({"name": "vit", "width": 1.0, "depth": 1.0, "heads": 4},),
    ),
  ],
)
def test_a_varied_value_has_a_name(values: Any, words: Any) -> None:
  for letter, trial in (("E", EARLY), ("L", LATE)):
    name = trial_id(trial)[:6]
    words = [
      text.replace(f"5k {letter}", f"5k {name}")
      if isinstance(text, str)
      else text
      for text in words
    ]
  detail = records.detail_needed(values)
  found = [records.varied_value(value, detail) for value in values]
  assert found == words
  # A seed of a setting has the word of the setting.
  for value, said in zip(values, words, strict=True):
    if isinstance(value, Transfer) and value.init_from is not None:
      seeded = dataclasses.replace(
        value, init_from=with_seed(value.init_from, 3)
      )
      assert records.varied_value(seeded, detail) == said


def test_an_older_record_says_nothing_of_repeats() -> None:
  facts = json.loads(records.to_json(RECORD))
  del facts["compile"]["repeats"]
  read = records.from_json(json.dumps(facts)).compile
  assert read == Compilation(seconds=1.5, joules=None, cache_hit=True)


@pytest.mark.parametrize(
  "change",
  [
    {"meter": {"domains": None}},
    {"meter": {"domains": [None]}},
    {"meter": {"domains": [{"assumptions": {"x_watts": 10**400}}]}},
    {"meter": {"domains": [{"assumptions": 7}]}},
    {"joules_to_accuracy": 1e300},
    {"numerics": {"x": [1e300]}},
    {"provenance": {"devices": [7]}},
  ],
)
def test_what_would_end_a_report_is_refused(change: dict[str, Any]) -> None:
  line = json.dumps(json.loads(records.to_json(RECORD)) | change)
  with pytest.raises(ReadError):
    records.from_json(line)


@pytest.mark.parametrize("value", [-1e-9, -5.0, 1e300, float("nan")])
@pytest.mark.parametrize(
  "name", ["train_joules", "joules_to_accuracy", "idle_watts", "wall_seconds"]
)
def test_what_is_written_is_read(name: str, value: float) -> None:
  wrong = dataclasses.replace(RECORD, **{name: value})
  found = records.from_json(records.to_json(wrong))
  assert getattr(found, name) is None
  if value == value:
    assert found.partial
    assert found.reasons[-1].startswith(f"{name}: ")


def test_switches_are_named_where_they_are_varied():
  assert records.varied_value(Execution()) == "default"
  switched = Execution(unroll=4, layout="nhwc")
  assert records.varied_value(switched) == "unroll 4, layout nhwc"
