"""Holds what jaxpower says of fixed records, byte for byte.

Each case makes some text from committed records or from values written here; a
file in `tests/golden/` holds what it is to be. After a change that is meant:

  JAXPOWER_WRITE_GOLDEN=1 python -m pytest tests/test_golden_output.py -n0
"""

import hashlib
import io
import json
import os
import pathlib
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from jaxpower import report
from jaxpower.cli.measurement import document, measurement
from jaxpower.cli.report import main
from jaxpower.cli.run import load_config
from jaxpower.cli.table import table
from jaxpower.config import trial_id
from jaxpower.folder import record_files, sweep_file
from jaxpower.plan.grid import expand
from jaxpower.power import Domain, Energy, Problem, Window
from jaxpower.power.clocks import Instant
from jaxpower.report.compare.comparison import compare
from jaxpower.report.given import assumptions
from jaxpower.report.render import csv_files
from jaxpower.sweep import plan, write_sweep

ROOT = pathlib.Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
RUNS = ROOT / "benchmarks" / "regimes_cpu"
FOLDERS = sorted(path.name for path in RUNS.iterdir())
POOLED = (
  ("batch", "learning_rate", "batch_learning_rate"),
  ("frameworks", "optimizer"),
  ("transfer", "transfer_clothes"),
)
NUMBER = re.compile(r"\d+\.\d+(?:e[-+]?\d+)?")
REFERENCES = """\
name,source,hardware,model,data,batch_size,target_accuracy,joules,seconds,\
joules_low,joules_high,boundary,phases,estimated
a paper,Somebody 2024,NVIDIA H100,cnn,fashion_mnist_6k,64,0.84,12.5,2,10,15,\
cpu,train,true
a log,CodeCarbon,,cnn,fashion_mnist_6k,,0.84,0.5,,,,cpu,,
another set,Somebody else,NVIDIA H100,resnet18,cifar10,64,0.9,1e6,,,,gpu,,
"""


def hold(name: str, text: str) -> None:
  """Compares the text with the file of that name."""
  path = GOLDEN / name
  if os.environ.get("JAXPOWER_WRITE_GOLDEN"):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
  assert text == path.read_bytes().decode()


def told(
  folders: tuple[str, ...],
  capsys: pytest.CaptureFixture[str],
  monkeypatch: pytest.MonkeyPatch,
  **options: Any,
) -> str:
  """What the report of the folders prints."""
  monkeypatch.chdir(RUNS)
  monkeypatch.setenv("COLUMNS", "80")
  assert main(folders, **options) == 0
  return capsys.readouterr().out


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_report_of_each_committed_folder(
  folder: str,
  capsys: pytest.CaptureFixture[str],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  hold(f"report_{folder}.txt", told((folder,), capsys, monkeypatch))


@pytest.mark.parametrize("folders", POOLED, ids=" ".join)
def test_the_report_of_several_folders(
  folders: tuple[str, ...],
  capsys: pytest.CaptureFixture[str],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  name = f"report_together_{'_'.join(folders)}.txt"
  hold(name, told(folders, capsys, monkeypatch))


@pytest.mark.parametrize("folder", ["batch", "transfer"])
def test_the_report_with_a_life_cycle(
  folder: str,
  tmp_path: pathlib.Path,
  capsys: pytest.CaptureFixture[str],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  file = tmp_path / "assumptions.toml"
  file.write_text(assumptions.template())
  text = told((folder,), capsys, monkeypatch, lifecycle=str(file))
  hold(f"report_lifecycle_{folder}.txt", text)


def test_the_report_with_references(
  tmp_path: pathlib.Path,
  capsys: pytest.CaptureFixture[str],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  file = tmp_path / "references.csv"
  file.write_text(REFERENCES)
  text = told(("batch",), capsys, monkeypatch, references=[str(file)])
  hold("report_references_batch.txt", text)


@pytest.mark.parametrize("folder", ["batch", "transfer", "batch_learning_rate"])
def test_what_a_run_writes_and_prints(
  folder: str, tmp_path: pathlib.Path
) -> None:
  """What `make run` ends with, and the tables it leaves in its folder."""
  found = record_files.read(RUNS / folder, strict=True).records
  sweep = {"config": {"name": folder}, "trials": len(found) + 1}
  text = io.StringIO()
  written = report.write(tmp_path, sweep, found)
  report.show(written, Console(file=text, width=80))
  hold(f"run_{folder}.txt", text.getvalue().replace(str(tmp_path), "RUN"))
  hold(f"trials_{folder}.csv", (tmp_path / "trials.csv").read_text())


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_committed_summary_of_each_folder(folder: str) -> None:
  found = record_files.read(RUNS / folder, strict=True).records
  made = csv_files.summary(compare(found))
  held = (RUNS / folder / "summary.csv").read_text()
  # With all digits, of which another processor computes the last otherwise.
  assert ["".join(NUMBER.split(line)) for line in made.splitlines()] == [
    "".join(NUMBER.split(line)) for line in held.splitlines()
  ]
  numbers = [list(map(float, NUMBER.findall(text))) for text in (made, held)]
  assert numbers[0] == pytest.approx(numbers[1], rel=1e-6)


def test_the_document_of_measure() -> None:
  """Its JSON and its table, of a GPU that is known and a CPU that is not."""
  gpu, cpu = "GPU-5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f", "cpu-0"
  apart = "GPU-77aa3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f"
  domains = (
    Domain(gpu, "gpu", "counter", "NVIDIA H200, index 0"),
    Domain(cpu, "cpu", "model", "2 cores of a CPU", estimated=True),
    Domain(apart, "gpu", "counter", "NVIDIA H200, index 1", counted=False),
  )
  energies = (
    Energy(
      *(gpu, 41_834.0, 120.0, "counter"),
      ticks=1_014,
      integral_joules=41_620.0,
      counter_joules=41_834.0,
    ),
    Energy(cpu, None, None, "model", estimated=True, reasons=("it is gone",)),
  )
  window = Window(
    *("command", 2.0, 101.5, None, None, energies),
    estimated=True,
    partial=True,
    reasons=("cpu-0: it is gone",),
    apart=(Energy(apart, 8_900.0, 20.0, "counter"),),
  )
  monitor: Any = SimpleNamespace(
    domains=domains,
    idle_watts={gpu: 88.0},
    failures=(Problem("DRAM: permission denied", "sudo chmod g+r FILE"),),
    cautions=(Problem("another process used it for 9 s"),),
    describe=lambda: {
      "failures": ["DRAM: permission denied; mend: sudo chmod g+r FILE"],
      "warnings": ["another process used it for 9 s"],
    },
  )
  usage = SimpleNamespace(ru_utime=0.5, ru_stime=0.1)
  command = ["python", "a b.py"]
  measured = measurement(
    command, 256, Instant(2.0, 2.0), window, monitor, usage
  )
  hold("measure.json", json.dumps(document(measured), indent=1) + "\n")
  hold("measure.txt", table(measured))


def test_the_trial_ids_of_every_config() -> None:
  """A record folder stays whole only while each trial keeps its name."""
  lines = []
  for path in sorted((ROOT / "configs").glob("*.py")):
    for arguments in ("", "quick"):
      trials = expand(load_config(f"{path}:{arguments}"))
      names = "\n".join(map(trial_id, trials))
      digest = hashlib.sha256(names.encode()).hexdigest()[:16]
      lines.append(f"{path.name}:{arguments} {len(trials)} trials {digest}")
  hold("trial_ids.txt", "\n".join(lines) + "\n")


def test_the_sweep_file_of_the_main_job(tmp_path: pathlib.Path) -> None:
  """What a run folder says of its sweep, but for the command line."""
  planned = plan(load_config(str(ROOT / "configs" / "batch.py")), tmp_path)
  write_sweep(planned)
  facts = sweep_file.read(tmp_path)
  assert facts.pop("command_line")
  hold("sweep.json", json.dumps(facts, indent=2) + "\n")
