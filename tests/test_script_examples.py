"""The examples run, each as a sweep of its own, where its packages are."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

PROMOTION = "JAX_NUMPY_DTYPE_PROMOTION"
ROOT = pathlib.Path(__file__).parent.parent
NEEDS = {
  "plain_torch": ("torch",),
  "plain_jax": (),
  "flax_nnx": (),
  "shell": (),
  "trainer": ("torch", "transformers", "accelerate"),
  "torch_lightning": ("torch", "lightning"),
  "notebook": ("torch", "nbclient", "ipykernel"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_an_example_reaches_its_target(
  name: str, tmp_path: pathlib.Path
) -> None:
  for package in NEEDS[name]:
    if importlib.util.find_spec(package) is None:
      pytest.skip(f"{package} is not installed")
  done = subprocess.run(
    [
      *(sys.executable, "scripts/run.py", "--meter=estimate"),
      f"--config=examples/sweep.py:name={name},quick",
      *("--config.vary.batch_size=(64,)", f"--out={tmp_path}"),
    ],
    cwd=ROOT,
    # An example is anybody's script: our strict promotion is not its own.
    env={n: v for n, v in os.environ.items() if n != PROMOTION},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert "1 of 1" in done.stdout


def test_every_example_is_short_and_run() -> None:
  for path in (ROOT / "examples").iterdir():
    if path.suffix in (".py", ".sh"):
      assert len(path.read_text().splitlines()) < 60, path
  helpers = {"digits", "sweep", "run_notebook"}
  names = {p.stem for p in (ROOT / "examples").iterdir() if p.is_file()}
  assert names - helpers == set(NEEDS)
