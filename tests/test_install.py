"""What make installs on which machine, by a fake nvidia-smi and a dry run."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "install.py"
spec = importlib.util.spec_from_file_location("install", SCRIPT)
assert spec is not None and spec.loader is not None
install = importlib.util.module_from_spec(spec)
sys.modules["install"] = install  # dataclasses look for it there
spec.loader.exec_module(install)
Cards = install.Cards

H100S = "580.95.05, 9.0\n" * 8


@pytest.mark.parametrize(
  ("cards", "cuda", "why"),
  [
    (Cards(), "none", "no NVIDIA GPU here"),
    (Cards(8, 580, 9.0), "13", "8 NVIDIA GPUs with driver 580, so CUDA 13"),
    (Cards(1, 999, None), "13", "1 NVIDIA GPU with driver 999"),
    (Cards(1, 579, 9.0), "12", "driver 579, so CUDA 12"),
    (Cards(2, 580, 7.0), "12", "capability 7.0 with driver 580, so CUDA 12"),
    (Cards(1, 525, 5.2), "12", "driver 525"),
    (Cards(1, 524, 9.0), "none", "update the driver"),
    (Cards(1, None, None), "none", "without an NVIDIA driver"),
  ],
)
def test_the_driver_decides_and_the_line_says_why(cards, cuda, why):
  choice = install.choose("auto", cards)
  assert (choice.cuda, why in choice.why) == (cuda, True), choice


@pytest.mark.parametrize("asked", ["13", "12", "none"])
def test_what_is_asked_for_is_taken(asked):
  choice = install.choose(asked, Cards(8, 580, 9.0))
  assert choice.cuda == asked and f"CUDA={asked}" in choice.why


def test_nvidia_smi_is_read():
  assert install.parse(H100S) == Cards(8, 580, 9.0)
  assert install.parse("535.1, 9.0\n535.1, 7.5\n") == Cards(2, 535, 7.5)
  assert install.parse("470.82.01\n") == Cards(1, 470, None)
  assert install.parse("No devices were found\n") == Cards()


def test_another_cuda_is_removed_first():
  there = ["jax", "jax-cuda12-pjrt", "jax-cuda12-plugin", "jaxlib"]
  chosen = install.Choice("13", "")
  remove, add, torch = install.commands(chosen, ["dev"], "2.13.0", there)
  assert remove[-2:] == ["jax-cuda12-pjrt", "jax-cuda12-plugin"]
  assert add[-2:] == ["--editable", ".[dev,cuda13]"]
  assert "constraints.txt" in add and torch[-1] == "torch==2.13.0"
  (kept,) = install.commands(install.Choice("12", ""), [], "", there)
  assert kept[-1] == ".[cuda12]"
  (plain,) = install.commands(install.Choice("none", ""), [], "", ["jax"])
  assert plain[-1] == "."


def fake_smi(folder: pathlib.Path, answer: str) -> dict[str, str]:
  """Returns an environment in which nvidia-smi prints `answer`."""
  path = folder / "nvidia-smi"
  path.write_text("#!/bin/sh\ncat <<END\n" + answer + "END\n")
  path.chmod(0o755)
  return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def make(folder: pathlib.Path, environ: dict[str, str], *words: str) -> str:
  """Runs make with a Python that only says what it would do."""
  stub = folder / "venv" / "bin" / "python"
  if not stub.exists():
    stub.parent.mkdir(parents=True)
    stub.write_text(
      '#!/bin/sh\n[ "$1" = scripts/install.py ] || { echo "RAN $*"; exit; }\n'
      f'exec {sys.executable} -S "$@" --dry-run\n'
    )
    stub.chmod(0o755)
  done = subprocess.run(
    ["make", "--no-print-directory", f"VENV={folder / 'venv'}", *words],
    cwd=ROOT,
    env={k: v for k, v in environ.items() if not k.startswith("MAKE")},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_make_installs_for_the_card_and_runs_its_size(tmp_path):
  environ = fake_smi(tmp_path, H100S)
  first = make(tmp_path, environ | {"CUDA": "/usr/local/cuda"}, "run")
  assert "8 NVIDIA GPUs with driver 580, so CUDA 13 of JAX" in first
  assert "--editable '.[train,cuda13]'" in first
  assert "RAN scripts/run.py --config=configs/batch.py:auto" in first
  again = make(tmp_path, environ, "run")
  assert "install" not in again and "RAN scripts/run.py" in again
  other = make(tmp_path, environ, "run", "CUDA=none", "OUT=here")
  assert "as asked for (CUDA=none)" in other and "--out=here" in other
  dev = make(tmp_path, fake_smi(tmp_path, "550.54, 8.0\n"), "install")
  assert "driver 550, so CUDA 12" in dev and "'.[dev,cuda12]'" in dev
