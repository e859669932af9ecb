"""`jaxpower export`: what it writes where, and a line for each bad input."""

import importlib.util
import json

import committed
import pytest
from report_records import devices, record, seeds

from jaxpower.cli import export
from jaxpower.cli.main import main
from jaxpower.folder import record_files

BATCH = str(committed.RUNS / "batch")


def exported(capsys, *words: str) -> str:
  assert main(["export", *words], "jaxpower") == 0
  out, err = capsys.readouterr()
  assert err == ""
  return out


def refused(capsys, *words: str) -> str:
  assert main(["export", *words], "jaxpower") == 2
  out, err = capsys.readouterr()
  assert out == ""
  assert err.count("\n") == 1 and err.startswith("jaxpower export: ")
  return err


@pytest.fixture
def folder(tmp_path):
  path = tmp_path / "runs"
  path.mkdir()
  place = devices("GPU-5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f")
  for trial in seeds(64, 204.0, 208.0, provenance=place):
    record_files.write(path, trial)
  return path


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (["latex"], r"\begin{tabular}{lrrrrr}"),
    (["paper"], "We trained cnn on fashion_mnist_6k"),
    (["model_card", "--given=region=France"], "co2_eq_emissions:"),
    (["codecarbon"], "timestamp,project_name,run_id"),
  ],
)
def test_a_text_goes_to_standard_output(capsys, words, said):
  assert said in exported(capsys, *words, BATCH)


def test_bibtex_needs_no_folder(capsys):
  assert "geissler2024power" in exported(capsys, "bibtex")
  assert "neither run folders" in refused(capsys, "bibtex", BATCH)


def test_boamps_is_json(capsys):
  given = ("infrastructure=other", "data_type=image", "task_family=images")
  words = [f"--given={fact}" for fact in given]
  found = json.loads(exported(capsys, "boamps", *words, BATCH))
  assert found["infrastructure"]["infraType"] == "other"


def test_a_text_replaces_the_file_that_out_names(capsys, folder, tmp_path):
  place = tmp_path / "table.tex"
  for _ in range(2):
    assert exported(capsys, "latex", f"--out={place}", str(folder)) == ""
  assert r"\toprule" in place.read_text()
  assert [p.name for p in tmp_path.iterdir()] == ["runs", "table.tex"]


def test_parquet_is_written(capsys, folder, tmp_path):
  place = tmp_path / "records.parquet"
  exported(capsys, "parquet", str(folder), "--out", str(place))
  assert place.read_bytes().startswith(b"PAR1")


def test_several_folders_are_pooled(capsys, folder, tmp_path):
  other = tmp_path / "other"
  other.mkdir()
  place = devices("GPU-5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f")
  for trial in seeds(256, 404.0, 408.0, provenance=place):
    record_files.write(other, trial)
  out = exported(capsys, "latex", str(folder), str(other))
  assert r"\label{tab:runs-other}" in out
  assert r"\num{64} & 2 of 2" in out and r"\num{256} & 2 of 2" in out


def test_share_leaves_the_machine_out(capsys, folder, tmp_path):
  place = tmp_path / "records.parquet"
  exported(capsys, "parquet", "--share", f"--out={place}", str(folder))
  content = place.read_bytes()
  assert b"gpu-node-07" not in content and b"5c1d3f0e" not in content
  exported(capsys, "parquet", f"--out={place}", str(folder))
  assert b"gpu-node-07" in place.read_bytes()


@pytest.mark.parametrize(
  ("words", "reason"),
  [
    (["latx", BATCH], "unknown format 'latx'; did you mean latex"),
    (["latex"], "which run folder?"),
    (["latex", "nowhere"], "nowhere: no such folder"),
    (["latex", BATCH, "--given=pue=1"], "latex takes none"),
    (["latex", BATCH, "--given=pu=1"], "did you mean pue"),
    (["parquet", BATCH], "parquet needs a place: --out=records.parquet"),
    (["latex", BATCH, "--out=no/where.tex"], "no is no folder"),
    (["latex", BATCH, "--out=."], "is a folder; name a file"),
    (["boamps", BATCH], "BoAmps asks for what no record knows"),
  ],
)
def test_bad_input_is_a_line(capsys, tmp_path, monkeypatch, words, reason):
  monkeypatch.chdir(tmp_path)
  assert reason in refused(capsys, *words)
  assert list(tmp_path.iterdir()) == []


def test_a_wrong_flag_names_the_nearest(capsys):
  with pytest.raises(SystemExit) as caught:
    main(["export", "latex", BATCH, "--gven=pue=1"], "jaxpower")
  assert caught.value.code == 2
  assert "did you mean '--given'" in capsys.readouterr().err


def test_a_store_that_is_there_is_never_added_to(
  capsys, folder, tmp_path, monkeypatch
):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
  place = tmp_path / "study.db"
  place.write_text("theirs")
  err = refused(capsys, "optuna", str(folder), f"--out={place}")
  assert "is there already" in err
  assert place.read_text() == "theirs"


@pytest.mark.parametrize(
  "name", [name for name, each in export.FORMATS.items() if each.needs]
)
def test_a_package_that_is_missing_is_named_with_its_fix(
  capsys, tmp_path, monkeypatch, name
):
  needed = export.FORMATS[name].needs[-1]
  found = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util,
    "find_spec",
    lambda module: None if module == needed else found(module) or module,
  )
  place = f"--out={tmp_path / 'new'}"
  err = refused(capsys, name, BATCH, place)
  assert f"{name} needs {needed}; run pip install 'jaxpower[train" in err
  assert not (tmp_path / "new").exists()


def test_what_failed_halfway_leaves_nothing(
  capsys, folder, tmp_path, monkeypatch
):
  def fail(runs, where, title):
    (where / "half").touch()
    raise OSError(28, "No space left on device")

  from jaxpower.export import tensorboard_events

  monkeypatch.setattr(tensorboard_events, "write", fail)
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
  place = tmp_path / "new"
  err = refused(capsys, "tensorboard", str(folder), f"--out={place}")
  assert f"No space left on device: '{place}'" in err
  assert not place.exists()


def test_a_tool_that_cannot_write_is_a_line(
  capsys, folder, tmp_path, monkeypatch
):
  def fail(records, where, title, version):
    raise json.JSONDecodeError("database or disk is full", "", 0)

  from jaxpower.export import optuna_study

  monkeypatch.setattr(optuna_study, "write", fail)
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
  faults = {"optuna": (("json", "JSONDecodeError"),)}
  monkeypatch.setattr(export, "FAULTS", faults)
  place = tmp_path / "study.db"
  err = refused(capsys, "optuna", str(folder), f"--out={place}")
  assert "optuna cannot write it: database or disk is full" in err
  assert not place.exists()


def test_help_lists_every_format(capsys):
  with pytest.raises(SystemExit):
    main(["export", "--help"], "jaxpower")
  out = capsys.readouterr().out
  assert all(f"  {name} " in out for name in export.FORMATS)
  assert len(out.splitlines()) <= 40


def test_a_record_of_a_trial_that_failed_is_no_obstacle(capsys, tmp_path):
  path = tmp_path / "runs"
  path.mkdir()
  record_files.write(path, record(64))
  record_files.write(path, record(64, 1, status="failed"))
  assert "at least" in exported(capsys, "paper", str(path))
