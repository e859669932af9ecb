"""A report for strangers says nothing of whose machine it was."""

import json
import pathlib
import subprocess
import sys

import pytest
from report_records import GPU, record, seeds

from jaxpower.folder import record_files
from jaxpower.report import share
from jaxpower.report.report import make

ROOT = pathlib.Path(__file__).parent.parent
OTHER = "GPU-0a0a0a0a-8a9b-4c7d-9e2f-0b6a1d2c3e4f"
SECRETS = (
  "rack7.example",
  "/home/anna",
  "anna",
  "--token",
  GPU[4:12],
  OTHER[4:12],
)


def owned(seed: int, gpu: str = GPU, flags: str = "", **changes):
  return record(
    64,
    seed,
    200.0 + seed,
    joules_by_domain={gpu: 200.0 + seed},
    provenance={
      "host": "rack7.example",
      "cpu": "AMD EPYC",
      "system": "Linux",
      "environment": {"XLA_FLAGS": flags, "CUDA_HOME": "/home/anna/cuda"},
      "devices": [
        {"platform": "gpu", "kind": "NVIDIA H200", "index": 0, "uuid": gpu}
      ],
    },
    warnings=("rack7.example: cannot read /home/anna/x.json of ~anna/y",),
    reasons=(f"{gpu} was lost",),
    pretrained={"path": "/home/anna/weights", "joules": 5.0},
    **changes,
  )


def test_hosts_boards_paths_and_variables_are_left_out() -> None:
  hidden = share.records([owned(0), owned(1, OTHER), owned(2)])
  text = repr(hidden)
  assert [secret for secret in SECRETS if secret in text] == []
  assert hidden[0].joules_by_domain == {"GPU-00000001": 200.0}
  assert hidden[1].joules_by_domain == {"GPU-00000002": 201.0}
  assert hidden[2].joules_by_domain == {"GPU-00000001": 202.0}
  assert hidden[0].provenance["host"] == "host-1"
  assert hidden[0].provenance["environment"] == {}
  assert hidden[0].provenance["cpu"] == "AMD EPYC"
  assert hidden[0].warnings == ("host-1: cannot read <path> of <path>",)


def test_environments_that_differ_stay_apart() -> None:
  trials = [owned(n, flags="--xla_a") for n in range(3)]
  trials += [owned(n, flags="--xla_b") for n in range(3)]
  before, after = make(trials).compared, make(share.records(trials)).compared
  assert len(after.comparisons) == len(before.comparisons) == 2


def test_numbers_are_those_of_the_whole_report() -> None:
  trials = seeds(64, 204, 221, 212) + seeds(256, 390, 400, 420)
  before, after = make(trials), make(share.records(trials))
  assert [s.lines for s in after.sections] == [s.lines for s in before.sections]


@pytest.mark.parametrize("line", ["3 J/s", "glue/sst2", "1/2", "a/b/c", "80 %"])
def test_what_is_no_path_stays(line: str) -> None:
  assert share.text(line) == line


def test_the_files_of_the_script_name_nobody(tmp_path: pathlib.Path) -> None:
  folder = tmp_path / "run"
  folder.mkdir()
  for seed in range(3):
    record_files.write(folder, owned(seed))
  sweep = {"config": {"name": "s"}, "command_line": ["python", "--token=anna"]}
  (folder / "sweep.json").write_text(json.dumps(sweep))
  done = subprocess.run(
    [
      *(sys.executable, "scripts/report.py", str(folder)),
      *("--share", f"--out={tmp_path / 'out'}"),
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  for file in (tmp_path / "out").iterdir():
    if file.suffix in (".html", ".csv"):
      text = file.read_text()
      assert [secret for secret in SECRETS if secret in text] == [], file
      assert "AMD EPYC" in text or file.suffix == ".csv"
