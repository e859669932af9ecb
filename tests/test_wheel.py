"""What is in the wheel, and that it runs where the sources are not."""

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

from benchmarks import wheel

ROOT = pathlib.Path(__file__).parent.parent


def test_the_checkout_finds_its_configs_by_a_link() -> None:
  link = ROOT / "jaxpower" / "configs"
  assert link.is_symlink() and link.resolve() == ROOT / "configs"


@pytest.mark.proof
@pytest.mark.slow
def test_a_wheel_runs_where_the_sources_are_not(tmp_path: pathlib.Path) -> None:
  built = wheel.build(tmp_path)
  names = zipfile.ZipFile(built).namelist()
  expected = {f"jaxpower/configs/{p.name}" for p in ROOT.glob("configs/*.py")}
  assert expected | {"jaxpower/py.typed"} <= set(names)
  assert len([name for name in names if name.endswith("LICENSES.md")]) == 1
  assert {name.partition("/")[0].partition("-")[0] for name in names} == {
    "jaxpower"
  }
  metadata = wheel.run(
    *(sys.executable, "-m", "zipfile", "-e", str(built), str(tmp_path / "x"))
  )
  assert metadata == ""
  text = next((tmp_path / "x").glob("*.dist-info/METADATA")).read_text()
  needed = [
    line.split()[1].partition(">")[0]
    for line in text.splitlines()
    if line.startswith("Requires-Dist:") and "extra ==" not in line
  ]
  assert tuple(needed) == wheel.METER

  site = tmp_path / "site"
  wheel.run(
    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
    *(f"--target={site}", str(built)),
  )
  environ = os.environ | {"PYTHONPATH": str(site), "JAX_NUM_CPU_DEVICES": "1"}
  for command, said in (
    ([str(site / "bin" / "jaxpower"), "--version"], "jaxpower 0.1.0"),
    (
      [
        *(sys.executable, "-P", "-m", "jaxpower", "run", "batch:quick"),
        *("--config.budget_examples=4096", "--config.idle_seconds=0.01"),
      ],
      "runs/batch-quick/report.html",
    ),
    (
      [sys.executable, "-P", "-m", "jaxpower", "report", "runs/batch-quick"],
      "batch  reached",
    ),
  ):
    done = subprocess.run(
      command, cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert (done.returncode, said in done.stdout) == (0, True), done.stderr
