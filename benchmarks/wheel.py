"""Installs a wheel of jaxpower in empty environments, and runs it there.

Where the sources are not: first the meter alone, which must say what a run
needs, then with what trains. Asks the index that pip asks, as `make` does.

  python benchmarks/wheel.py [--python=python3.12]
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
# What a wheel is built from.
SOURCES = ("jaxpower", "configs", "pyproject.toml", "README.md", "LICENSE")
METER = ("nvidia-ml-py", "rich")


def build(folder: pathlib.Path) -> pathlib.Path:
  """Builds the wheel in a folder, from copies of the sources."""
  sources = folder / "sources"
  sources.mkdir()
  for name in SOURCES:
    path = ROOT / name
    if path.is_dir():
      skipped = shutil.ignore_patterns("__pycache__")
      shutil.copytree(path, sources / name, symlinks=True, ignore=skipped)
    else:
      shutil.copy(path, sources / name)
  run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
      f"--wheel-dir={folder}", str(sources))  # fmt: skip
  (wheel,) = folder.glob("jaxpower-*.whl")
  return wheel


def run(*command: str, code: int = 0, cwd: pathlib.Path | None = None) -> str:
  """Runs a command without the caller's path; returns what it printed.

  Raises RuntimeError where it ends with another code.
  """
  environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
  done = subprocess.run(
    command, cwd=cwd, env=environ, capture_output=True, text=True
  )
  if done.returncode != code:
    raise RuntimeError(f"{command}: {done.returncode}\n{done.stderr}")
  return done.stdout + done.stderr


def environment(
  folder: pathlib.Path, python: str, *wanted: str
) -> pathlib.Path:
  """Makes an environment and installs into it; returns its `jaxpower`."""
  run(python, "-m", "venv", str(folder))
  began = time.monotonic()
  pip = str(folder / "bin" / "pip")
  limits = str(ROOT / "constraints.txt")
  run(pip, "install", "--quiet", "--constraint", limits, *wanted)
  packages = run(pip, "list", "--format=freeze").splitlines()
  size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
  print(
    f"{folder.name}: {len(packages)} packages, {size / 1e6:.0f} MB,"
    f" {time.monotonic() - began:.0f} s"
  )
  return folder / "bin" / "jaxpower"


def main() -> None:
  """Builds, installs and runs; raises RuntimeError where anything fails."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--python", default=sys.executable)
  python = parser.parse_args().python
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    wheel = build(folder)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
    meter = str(environment(folder / "meter", python, str(wheel)))
    print(run(meter, "--version").strip())
    print(run(meter, "measure", "--idle=0", "--", "true", cwd=folder).strip())
    print(run(meter, "run", "batch:quick", code=2, cwd=folder).strip())
    train = str(environment(folder / "train", python, f"{wheel}[train]"))
    out = run(train, "run", "batch:quick", cwd=folder)
    print(out[out.index("Batch ") :].splitlines()[0])
    print(run(train, "report", "runs/batch-quick", cwd=folder).splitlines()[0])


if __name__ == "__main__":
  main()
