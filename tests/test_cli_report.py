"""scripts/report.py: what it prints, and one line for each bad input."""

import gzip
import json
import pathlib
import subprocess
import sys

import pytest
from report_records import GPU, devices, record, seeds

from jaxpower.cli.report import main
from jaxpower.folder import record_files
from jaxpower.report.given import assumptions

ROOT = pathlib.Path(__file__).parent.parent


def run_folder(path, trials, sweep=None):
  path.mkdir(parents=True, exist_ok=True)
  for trial in trials:
    record_files.write(path, trial)
  if sweep is not None:
    (path / "sweep.json").write_text(json.dumps(sweep))
  return str(path)


def refused(capsys, *folders) -> str:
  assert main([str(folder) for folder in folders]) == 2
  out, err = capsys.readouterr()
  assert out == ""
  assert err.count("\n") == 1
  return err


def test_one_folder(tmp_path, capsys):
  folder = run_folder(tmp_path / "batch", seeds(64, 204) + seeds(256, 408))
  assert main([folder]) == 0
  out, err = capsys.readouterr()
  assert out.startswith("batch  reached  joules to 80 %")
  assert "Batch 256 cost 2.0 times as much." in out
  assert (err, sorted(p.name for p in (tmp_path / "batch").iterdir())) == (
    "",
    ["records"],
  )


def test_sweep_json_tells_how_many_are_left(tmp_path, capsys):
  sweep = {"config": {"vary": {"batch_size": [64]}, "seeds": 3}}
  assert main([run_folder(tmp_path / "batch", seeds(64, 204), sweep)]) == 0
  assert "Not complete: 1 of 3 trials" in capsys.readouterr().out


def test_two_folders_are_compared(tmp_path, capsys):
  first = run_folder(tmp_path / "first", seeds(64, 204))
  second = run_folder(tmp_path / "second", seeds(256, 408))
  assert main([first, second]) == 0
  out = capsys.readouterr().out
  assert out.startswith(f"{first}\n")
  compared = out.partition("2 run folders compared\n")[2]
  assert "Batch 256 cost 2.0 times as much." in compared


def test_folders_of_two_machines_are_not_pooled(tmp_path, capsys):
  first = run_folder(tmp_path / "first", seeds(64, 204))
  second = run_folder(
    tmp_path / "second", seeds(64, 100, provenance=devices(GPU, kind="H100"))
  )
  assert main([first, second]) == 0
  compared = capsys.readouterr().out.partition("compared\n")[2]
  assert "not pooled: kind of device differs." in compared
  assert "cheapest" not in compared


def test_equal_boards_of_two_folders_are_one_table_unless_asked(
  tmp_path, capsys
):
  one, two = "GPU-1", "GPU-2"
  folders = [
    run_folder(
      tmp_path / uuid,
      seeds(
        batch, joules, joules_by_domain={uuid: 1.0}, provenance=devices(uuid)
      ),
    )
    for uuid, batch, joules in ((one, 64, 204), (two, 256, 408))
  ]
  assert main(folders) == 0
  compared = capsys.readouterr().out.partition("compared\n")[2]
  assert "Batch 256 cost 2.0 times as much." in compared
  assert "2 boards of NVIDIA H200" in compared
  assert main(folders, by="board") == 0
  compared = capsys.readouterr().out.partition("compared\n")[2]
  assert "not pooled: board or host differs." in compared
  assert "times as much" not in compared


def test_a_folder_given_twice_is_read_once(tmp_path, capsys):
  folder = run_folder(tmp_path / "batch", seeds(64, 204))
  assert main([folder, folder + "/"]) == 0
  assert "compared" not in capsys.readouterr().out


def test_no_folder(capsys):
  assert "RUN_FOLDER" in refused(capsys)


def test_a_folder_that_is_not_there_names_its_neighbours(tmp_path, capsys):
  beside = run_folder(tmp_path / "batch", seeds(64, 204))
  line = refused(capsys, tmp_path / "btch")
  assert line == (
    f"report: {tmp_path / 'btch'}: no such folder; run folders there:"
    f" {beside}\n"
  )


def test_a_folder_without_records(tmp_path, capsys):
  assert "no records in it" in refused(capsys, tmp_path)


def test_the_folder_of_all_runs_names_them(tmp_path, capsys):
  inside = run_folder(tmp_path / "batch", seeds(64, 204))
  assert inside in refused(capsys, tmp_path)


def test_a_file_is_not_a_folder(tmp_path, capsys):
  run_folder(tmp_path, seeds(64, 204))
  (path,) = (tmp_path / "records").iterdir()
  assert "is a file" in refused(capsys, path)


def test_no_trial_has_ended(tmp_path, capsys):
  (tmp_path / "records.jsonl").touch()
  assert "no trial has ended yet" in refused(capsys, tmp_path)


@pytest.mark.parametrize(
  "damaged", ["{", "[]", '{"schema_version": 1}', "\xff"]
)
def test_a_damaged_record_is_left_out_and_told(tmp_path, capsys, damaged):
  folder = run_folder(tmp_path, seeds(64, 204, 212))
  path = tmp_path / "records" / f"{record(64, 0).trial_id}.json"
  path.write_text(damaged, encoding="latin-1")
  assert main([folder]) == 0
  out = " ".join(capsys.readouterr().out.split())
  assert (
    "1 record could not be read and was left out; running the sweep again"
    f" makes it anew: {path}: "
  ) in out
  assert main([folder], strict=True) == 2
  out, err = capsys.readouterr()
  assert (out, err.count("\n")) == ("", 1)
  assert f"{path}: " in err


def test_of_many_damaged_records_some_are_named(tmp_path, capsys):
  folder = run_folder(tmp_path, seeds(64, 204))
  (tmp_path / "records.jsonl").write_text("{\n" * 9)
  assert main([folder]) == 0
  out = " ".join(capsys.readouterr().out.split())
  assert "9 records could not be read" in out
  assert "line 3: not JSON" in out
  assert "; 6 more." in out


def test_a_folder_of_damaged_records_alone_is_refused(tmp_path, capsys):
  (tmp_path / "records.jsonl").write_text("{\n")
  line = refused(capsys, tmp_path)
  assert "none of its records can be read" in line
  assert "records.jsonl, line 1: not JSON" in line


def archive(folder):
  """Packs records as older versions wrote them and `gzip` then did."""
  held = pathlib.Path(folder, "records")
  content = b"".join(path.read_bytes() for path in sorted(held.iterdir()))
  for path in held.iterdir():
    path.unlink()
  held.rmdir()
  packed = held.with_name("records.jsonl.gz")
  packed.write_bytes(gzip.compress(content, mtime=0))
  return packed


def test_an_archived_folder_is_told_as_before(tmp_path, capsys):
  folder = run_folder(tmp_path / "batch", seeds(64, 204) + seeds(256, 408))
  assert main([folder]) == 0
  plain = capsys.readouterr()
  archive(folder)
  assert main([folder]) == 0
  assert capsys.readouterr() == plain
  assert folder in refused(capsys, tmp_path / "btch")


def test_a_cut_archive_is_one_line(tmp_path, capsys):
  packed = archive(run_folder(tmp_path, [record()]))
  packed.write_bytes(packed.read_bytes()[:100])
  line = refused(capsys, tmp_path)
  assert "records.jsonl.gz: not a whole gzip file" in line
  assert "delete this line" not in line


def test_records_beside_their_archive_are_refused(tmp_path, capsys):
  archive(run_folder(tmp_path, [record()]))
  (tmp_path / "records.jsonl").touch()
  assert "one of them must go" in refused(capsys, tmp_path)


def test_a_damaged_sweep_json(tmp_path, capsys):
  folder = run_folder(tmp_path, [record()])
  (tmp_path / "sweep.json").write_text("{")
  line = refused(capsys, folder)
  assert "sweep.json: not what a run wrote (not JSON: " in line
  assert "move it away to report without it" in line


def test_one_bad_folder_of_two_prints_nothing(tmp_path, capsys):
  good = run_folder(tmp_path / "batch", seeds(64, 204))
  refused(capsys, good, tmp_path / "btch")


def script(*arguments):
  return subprocess.run(
    [sys.executable, "scripts/report.py", *arguments],
    cwd=ROOT,
    env={"PYTHONPATH": ".", "PATH": ""},
    capture_output=True,
    text=True,
  )


def test_the_script_itself(tmp_path):
  folder = run_folder(tmp_path / "batch", seeds(64, 204))
  told = script(folder)
  assert (told.returncode, told.stderr) == (0, "")
  assert "Batch 64: reaching 80 % cost 204 J" in told.stdout
  assert script(str(tmp_path / "none")).returncode == 2


def test_help_is_short():
  told = script("--help")
  assert told.returncode == 0
  assert "python scripts/report.py RUN_FOLDER" in told.stdout
  assert len(told.stdout.splitlines()) < 12


def test_an_unknown_flag_is_one_line():
  told = script("--outt=x")
  assert told.returncode == 2
  assert told.stderr.count("\n") == 1


def test_a_page_in_another_folder_is_named_and_linked_to_its_records(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  folder, out = tmp_path / "runs" / "batch", tmp_path / "pages" / "mine"
  assert main([run_folder(folder, seeds(64, 204, 212))], out=str(out)) == 0
  assert str(out / "report.html") in capsys.readouterr().out
  page = (out / "report.html").read_text()
  assert "<h1>What batch cost</h1>" in page
  assert 'href="../../runs/batch/records"' in page


def test_the_page_of_several_folders_has_references_and_each_life_cycle(
  tmp_path, capsys
):
  first = run_folder(tmp_path / "first", seeds(64, 204, 210))
  second = run_folder(tmp_path / "second", seeds(256, 408, 410))
  (tmp_path / "life.toml").write_text(assumptions.template())
  (tmp_path / "paper.csv").write_text(
    "name,source,model,data,target_accuracy,joules\n"
    "a paper,Somebody 2024,cnn,fashion_mnist_6k,0.8,12.5\n"
  )
  out = tmp_path / "page"
  code = main(
    [first, second],
    references=[str(tmp_path / "paper.csv")],
    lifecycle=str(tmp_path / "life.toml"),
    out=str(out),
  )
  assert code == 0
  told = capsys.readouterr().out
  page = (out / "report.html").read_text()
  for number, name in enumerate(("first", "second"), start=1):
    assert f"Life cycle of {name} (folder {number})" in page
  assert "Somebody 2024" in page
  assert told.count("Life cycle") == 2, "each is printed once, with its folder"
