"""The doors of the house: which room may know which."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FRAMEWORKS = {"jax", "flax", "optax", "orbax", "tensorflow_datasets", "torch"}

# A room may import from the project only what stands here.
DOORS = {
  "config": set(),
  "lineage": {"config", "data", "records", "weights"},
  "grid": {"config", "lineage", "tasks", "words"},
  "needs": {"config", "data", "messages", "tasks"},
  "weights": set(),
  "words": {"config"},
  "tasks": {"config"},
  "data": set(),
  "power": set(),
  "provenance": set(),
  "records": {"config"},
  "schedule": {"config"},
  "learn": {"config", "data", "schedule", "weights"},
  "learn_torch": {"config", "data", "schedule"},
  "bridge": {"config", "data", "learn", "learn_torch"},
  "wings": {"bridge", "config", "data", "learn"},
  "report": {"config", "records"},
  "account": {"config", "power", "records"},
  "timelines": {"power"},
  "messages": {"config", "records"},
  "trial": {
    "account",
    "config",
    "data",
    "messages",
    "power",
    "records",
    "timelines",
    "weights",
    "wings",
  },
  "worker": {
    "config",
    "messages",
    "power",
    "provenance",
    "records",
    "trial",
    "wings",
  },
  "sweep": {
    "config",
    "grid",
    "lineage",
    "messages",
    "needs",
    "provenance",
    "records",
    "shift",
    "words",
    "worker",
  },
  "shift": {"worker"},
}
# Rooms that load no framework; the worker does so only in its own process.
HEAVY = {"bridge", "learn", "learn_torch", "trial", "wings", "worker"}
LIGHT = set(DOORS) - HEAVY


def room_of(path: pathlib.Path) -> str:
  return path.relative_to(ROOT / "jaxpower").with_suffix("").parts[0]


def imported(path: pathlib.Path) -> set[str]:
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      names |= {f"{node.module}.{alias.name}" for alias in node.names}
  return names


def files(room: str) -> list[pathlib.Path]:
  return [
    path for path in (ROOT / "jaxpower").rglob("*.py") if room_of(path) == room
  ]


@pytest.mark.parametrize("room", DOORS)
def test_a_room_knows_only_its_neighbours(room: str) -> None:
  assert files(room), f"there is no room {room}"
  for path in files(room):
    known = {
      name.split(".")[1]
      for name in imported(path)
      if name.startswith("jaxpower.")
    }
    assert known <= DOORS[room] | {room}, path


@pytest.mark.parametrize("room", sorted(LIGHT - {"data"}))
def test_light_rooms_import_no_framework(room: str) -> None:
  for path in files(room):
    used = {name.split(".")[0] for name in imported(path)}
    assert not used & FRAMEWORKS, path


def test_the_pytorch_wing_knows_no_jax() -> None:
  for path in files("learn_torch"):
    used = {name.split(".")[0] for name in imported(path)}
    assert not used & (FRAMEWORKS - {"torch"}), path


def test_torch_is_imported_in_its_wing_alone() -> None:
  knowing = {
    room_of(path)
    for path in (ROOT / "jaxpower").rglob("*.py")
    if "torch" in {name.split(".")[0] for name in imported(path)}
  }
  assert knowing == {"learn_torch"}


def test_nothing_imports_scripts_or_configs() -> None:
  for path in (ROOT / "jaxpower").rglob("*.py"):
    used = {name.split(".")[0] for name in imported(path)}
    assert not used & {"scripts", "configs", "tests"}, path


@pytest.mark.parametrize(
  ("module", "heavy"),
  [
    ("jaxpower.entry", FRAMEWORKS),
    # Threads of numpy's linear algebra would take the signals that
    # `measure -- COMMAND` hands on, and die of them.
    ("jaxpower.cli.main", FRAMEWORKS | {"numpy"}),
  ],
)
def test_a_face_loads_nothing_heavy(module: str, heavy: set[str]) -> None:
  code = (
    f"import sys, jaxpower, {module};print(*sorted({heavy} & set(sys.modules)))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
  )
  assert (done.stdout.strip(), done.stderr) == ("", "")
