import dataclasses
import gzip
import json
import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower import records
from jaxpower.config import (
  Model,
  Optimizer,
  Transfer,
  Trial,
  to_dict,
  trial_id,
  with_seed,
)
from jaxpower.records import Compilation, CompileCost, Evaluation, TrialRecord

RECORD = TrialRecord(
  trial_id="4be1c06d9a52",
  config=to_dict(Trial(batch_size=64)),
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


def test_a_record_survives_the_disk(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "runs" / "records.jsonl"
  missed = dataclasses.replace(RECORD, status="missed", seed=3)
  records.append(path, RECORD)
  records.append(path, missed)
  assert records.read(path) == [RECORD, missed]


def test_no_file_is_no_records(tmp_path: pathlib.Path) -> None:
  assert records.read(tmp_path / "records.jsonl") == []


@given(torn=st.integers(min_value=1))
def test_a_torn_last_line_is_left_out_and_mended(
  tmp_path_factory: pytest.TempPathFactory, torn: int
) -> None:
  path = tmp_path_factory.mktemp("torn") / "records.jsonl"
  records.append(path, RECORD)
  whole = path.read_bytes()
  path.write_bytes(whole + whole[: torn % (len(whole) - 1)])
  assert records.read(path) == [RECORD]
  records.append(path, RECORD)
  assert path.read_bytes() == whole + whole


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("{", "Expecting property name"),
    ("[]", "not a JSON object"),
    ('{"schema_version": 99}', "schema_version 99, not 1 to 2"),
    ('{"schema_version": null}', "schema_version None, not 1 to 2"),
    ('{"schema_version": 1, "seed": 1}', "not a record"),
    ("\udcff", "codec can't decode"),
  ],
)
def test_a_damaged_line_is_named(
  tmp_path: pathlib.Path, line: str, message: str
) -> None:
  path = tmp_path / "records.jsonl"
  records.append(path, RECORD)
  with path.open("ab") as file:
    file.write(line.encode(errors="surrogateescape") + b"\n")
  with pytest.raises(records.RecordError) as error:
    records.read(path)
  assert f"{path}, line 2: " in str(error.value)
  assert message in str(error.value)


def archive(path: pathlib.Path) -> pathlib.Path:
  """Packs a file of records, as `gzip` does: the file itself is gone."""
  packed = path.with_name(f"{path.name}.gz")
  packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
  path.unlink()
  return packed


@pytest.mark.parametrize("torn", [b"", b'{"schema_version": 1, "se'])
def test_an_archive_is_read_as_the_file_it_holds(
  tmp_path: pathlib.Path, torn: bytes
) -> None:
  path = tmp_path / "records.jsonl"
  records.append(path, RECORD)
  records.append(path, dataclasses.replace(RECORD, seed=3))
  with path.open("ab") as file:
    file.write(torn)
  plain = records.read(path)
  assert records.find(path) == path
  packed = archive(path)
  assert records.find(path) == packed
  assert records.read(path) == plain
  assert len(plain) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "header", "checksum"])
def test_a_damaged_archive_is_one_line(
  tmp_path: pathlib.Path, damage: str
) -> None:
  path = tmp_path / "records.jsonl"
  records.append(path, RECORD)
  packed = archive(path)
  content = bytearray(packed.read_bytes())
  if damage == "cut":
    del content[len(content) // 2 :]
  else:
    place = {"flipped": len(content) // 2, "header": 0, "checksum": -8}[damage]
    content[place] ^= 0xFF
  packed.write_bytes(content)
  with pytest.raises(records.RecordError) as error:
    records.read(path)
  assert str(error.value).startswith(f"{packed}: not a whole gzip file (")
  assert "\n" not in str(error.value)


def test_a_damaged_line_of_an_archive_is_named(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "records.jsonl"
  path.write_text("{\n")
  packed = archive(path)
  with pytest.raises(records.RecordError, match=r"gz, line 1: Expecting"):
    records.read(path)
  assert packed.exists()


def test_a_file_beside_its_archive_is_refused(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "records.jsonl"
  records.append(path, RECORD)
  archive(path)
  records.append(path, RECORD)
  for look in (records.find, records.read):
    with pytest.raises(
      records.RecordError, match=r"also records\.jsonl\.gz; one .* must go"
    ):
      look(path)


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
  for record in records.read(RUNS / folder / "records.jsonl"):
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
  found = [records.varied_value(value, values) for value in values]
  assert found == words
  # A seed of a setting has the word of the setting.
  for value, said in zip(values, words, strict=True):
    if isinstance(value, Transfer) and value.init_from is not None:
      seeded = dataclasses.replace(
        value, init_from=with_seed(value.init_from, 3)
      )
      assert records.varied_value(seeded, values) == said


def test_a_sweep_that_grows_names_its_records_anew(
  tmp_path: pathlib.Path,
) -> None:
  path = tmp_path / "records.jsonl"
  other = dataclasses.replace(RECORD, trial_id="0123456789ab")
  for record in (RECORD, other, dataclasses.replace(RECORD, status="failed")):
    records.append(path, record)
  before = path.read_bytes().splitlines()
  with path.open("ab") as file:
    file.write(b"{torn")
  varied = {"batch_size": 64, "transfer": "frozen from imu"}
  records.set_varied(path, {RECORD.trial_id: varied})
  assert records.read(path) == [
    dataclasses.replace(RECORD, varied=varied),
    other,
    dataclasses.replace(RECORD, varied=varied, status="failed"),
  ]
  after = path.read_bytes().splitlines()
  assert (len(after), after[1]) == (3, before[1])


def test_an_older_record_says_nothing_of_repeats() -> None:
  facts = json.loads(records.to_json(RECORD))
  del facts["compile"]["repeats"]
  read = records.from_json(json.dumps(facts)).compile
  assert read == Compilation(seconds=1.5, joules=None, cache_hit=True)
