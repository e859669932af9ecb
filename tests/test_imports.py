"""The doors of the house: which room may know which."""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import pytest

ROOT = pathlib.Path(__file__).parent.parent
REPORT = ROOT / "jaxpower" / "report"
FRAMEWORKS = {"jax", "flax", "optax", "orbax", "tensorflow_datasets", "torch"}

# Rooms of several subjects; each of their files has a door of its own.
SHARED = {"folder", "plan", "script", "workers"}
# A room may import from the project only what stands here.
DOORS = {
  "accounting": {"attempts", "config", "power", "records"},
  "accumulation": {"architectures", "config"},
  "architectures": {"config"},
  "attempts": set(),
  "billing": {"config", "power", "wings"},
  "cli": {
    "config",
    "data",
    "export",
    "folder.claims",
    "folder.durable",
    "folder.record_files",
    "folder.sweep_file",
    "forecast",
    "frameworks",
    "garbage",
    "hosts",
    "launch",
    "machine",
    "messages",
    "power",
    "probe",
    "readers",
    "records",
    "report",
    "result",
    "sweep",
    "tasks",
    "user_code",
    "wording",
    "workers.places",
    "workers.streams",
    "workers.worker",
  },
  "company": {"config", "records"},
  "compiling": {"accounting", "heap", "power", "records", "wings"},
  "config": set(),
  "data": {"python_path", "user_code"},
  "export": {"config", "records", "report", "wording"},
  "folder": set(),
  "folder.claims": set(),
  "folder.disk_space": {"folder.durable"},
  "folder.durable": set(),
  "folder.lock": {"config"},
  "folder.record_files": {"folder.durable", "garbage", "readers", "records"},
  "folder.record_keeper": {"folder.durable", "folder.record_files", "records"},
  "folder.sweep_file": {"config", "folder.durable", "readers"},
  "folder.timelines": {"power"},
  "forecast": {"accounting", "config", "records"},
  "frameworks": {"power"},
  "garbage": set(),
  "heap": set(),
  "gpu_size": {"config", "data", "machine"},
  "hosts": {"config", "learn", "learn_torch", "power", "workers.rank_process"},
  "idle": {"config", "records"},
  "launch": {
    "config",
    "folder.claims",
    "folder.durable",
    "folder.record_files",
    "one_trial",
    "records",
    "workers.patience",
    "workers.places",
    "workers.step",
    "workers.worker",
  },
  "learn": {
    "accumulation",
    "architectures",
    "config",
    "data",
    "passes",
    "readers",
    "schedule",
    "user_code",
    "weights",
    "workers.cores",
    "workers.rank_failure",
    "workers.rank_process",
  },
  "learn_torch": {
    "accumulation",
    "architectures",
    "config",
    "data",
    "passes",
    "schedule",
    "user_code",
    "weights",
    "workers.rank_failure",
    "workers.rank_process",
  },
  "machine": {"frameworks", "power", "provenance", "wording"},
  "messages": {"config", "records"},
  "one_trial": {
    "company",
    "config",
    "folder.claims",
    "folder.record_files",
    "folder.record_keeper",
    "messages",
    "plan.checks",
    "plan.identity",
    "plan.requirements",
    "plan.field_values",
    "power",
    "records",
    "resume",
    "weights",
    "workers.patience",
    "workers.places",
    "workers.step",
    "workers.worker",
  },
  "onlookers": set(),
  "passes": {"architectures", "config"},
  "plan": set(),
  "plan.checks": {
    "architectures",
    "config",
    "plan.field_values",
    "records",
    "script.metrics",
    "script.template",
  },
  "plan.dealing": {"config"},
  "plan.grid": {"config", "plan.checks", "plan.identity", "plan.field_values"},
  "plan.growth": {"config", "plan.grid", "plan.field_values", "records"},
  "plan.identity": {"config", "data", "script.template", "user_code"},
  "plan.pretraining": {"config", "records", "weights"},
  "plan.requirements": {
    "architectures",
    "config",
    "data",
    "messages",
    "plan.checks",
    "power",
    "weights",
  },
  "plan.same_folder": {
    "config",
    "folder.sweep_file",
    "plan.growth",
    "provenance",
    "readers",
    "records",
  },
  "plan.field_values": {"architectures", "config"},
  "plan.windows": {"architectures", "config", "data", "messages"},
  "power": set(),
  "probe": {"config", "one_trial", "records", "sweep"},
  "provenance": set(),
  "python_path": set(),
  "readers": set(),
  "readers_many": {"readers"},
  "records": {"attempts", "config", "readers", "readers_many"},
  "report": {"config", "provenance", "records", "wording"},
  "result": {
    "config",
    "folder.record_files",
    "folder.sweep_file",
    "records",
    "report",
    "wording",
  },
  "resume": {"accounting", "power", "readers", "weights"},
  "schedule": {"config"},
  "script": set(),
  "script.attach": set(),
  "script.boards": {"power"},
  "script.course": {
    "accounting",
    "config",
    "script.attach",
    "script.metrics",
    "script.phases",
    "script.process",
    "script.report",
  },
  "script.guard": set(),
  "script.metrics": {"config", "script.attach"},
  "script.phases": {"power"},
  "script.process": {"script.attach"},
  "script.report": {"config"},
  "script.run": {
    "accounting",
    "attempts",
    "config",
    "folder.timelines",
    "messages",
    "power",
    "provenance",
    "records",
    "resume",
    "script.boards",
    "script.course",
    "script.process",
    "script.template",
    "script.watch",
    "trial",
    "workers.worker",
  },
  "script.template": {"config"},
  "script.watch": {
    "attempts",
    "config",
    "messages",
    "power",
    "script.attach",
    "script.boards",
    "script.course",
    "script.metrics",
    "script.phases",
    "script.process",
    "script.report",
    "trial",
  },
  "side_by_side": {
    "company",
    "config",
    "folder.claims",
    "folder.record_files",
    "messages",
    "plan.dealing",
    "records",
    "workers.places",
    "workers.pool",
    "workers.step",
    "workers.worker",
  },
  "sweep": {
    "config",
    "folder.claims",
    "data",
    "folder.disk_space",
    "folder.durable",
    "folder.lock",
    "folder.record_files",
    "folder.record_keeper",
    "folder.sweep_file",
    "messages",
    "onlookers",
    "plan.checks",
    "plan.grid",
    "plan.growth",
    "plan.identity",
    "plan.pretraining",
    "plan.requirements",
    "plan.same_folder",
    "plan.windows",
    "provenance",
    "readers",
    "records",
    "resume",
    "side_by_side",
    "weights",
    "workers.patience",
    "workers.places",
    "workers.step",
    "workers.worker",
  },
  "tasks": {
    "config",
    "folder.lock",
    "folder.sweep_file",
    "launch",
    "one_trial",
    "onlookers",
    "records",
    "sweep",
    "workers.places",
  },
  "torch_wing": {
    "architectures",
    "config",
    "data",
    "learn",
    "learn_torch",
    "user_code",
    "weights",
  },
  "trial": {
    "accounting",
    "attempts",
    "billing",
    "compiling",
    "config",
    "data",
    "folder.timelines",
    "idle",
    "messages",
    "power",
    "provenance",
    "records",
    "resume",
    "weights",
    "wings",
  },
  "weights": {"readers"},
  "user_code": set(),
  "wings": {"config", "data", "learn", "torch_wing", "weights"},
  "wording": set(),
  "workers": set(),
  "workers.cores": set(),
  "workers.host_memory": set(),
  "workers.lifeline": set(),
  "workers.patience": {"config"},
  "workers.places": {"config", "power"},
  "workers.pool": {
    "config",
    "folder.claims",
    "messages",
    "plan.dealing",
    "records",
    "workers.patience",
    "workers.places",
    "workers.step",
    "workers.worker",
  },
  "workers.program_cache": set(),
  "workers.rank_failure": set(),
  "workers.rank_process": {"python_path", "workers.lifeline"},
  "workers.serving": {
    "attempts",
    "billing",
    "config",
    "hosts",
    "idle",
    "learn",
    "machine",
    "messages",
    "power",
    "provenance",
    "script.run",
    "records",
    "trial",
    "wings",
    "workers.lifeline",
    "workers.program_cache",
    "workers.rank_process",
    "workers.worker",
  },
  "workers.step": {
    "config",
    "folder.claims",
    "folder.record_files",
    "messages",
    "plan.pretraining",
    "records",
    "workers.worker",
  },
  "workers.streams": set(),
  "workers.worker": {
    "attempts",
    "config",
    "heap",
    "messages",
    "power",
    "provenance",
    "python_path",
    "records",
    "workers.cores",
    "workers.host_memory",
    "workers.lifeline",
    "workers.patience",
    "workers.places",
    "workers.streams",
  },
}
# Inside report: numbers, what is given, questions, and last who shows them.
REPORT_DOORS = {
  "cells": {"compare"},
  "charts": set(),
  "compare": set(),
  "experiment": {"compare"},
  "findings": {"charts", "compare"},
  "given": {"compare"},
  "questions": {"cells", "charts", "compare", "findings", "given"},
  "render": {"cells", "charts", "compare", "experiment", "findings"},
  "report": {"compare", "findings", "given", "questions", "render"},
  "share": set(),
}
# Rooms that load no framework; the worker does so only in its own process.
HEAVY = {
  "billing",
  "compiling",
  "learn",
  "learn_torch",
  "workers.serving",
  "torch_wing",
  "trial",
  "wings",
}
LIGHT = set(DOORS) - HEAVY


def named(parts: Sequence[str]) -> str:
  """The room of a name below jaxpower, as `data` or `workers.serving`."""
  own = parts[0] in SHARED and len(parts) > 1 and parts[1] != "__init__"
  return ".".join(parts[: 2 if own else 1])


def room_of(path: pathlib.Path) -> str:
  return named(path.relative_to(ROOT / "jaxpower").with_suffix("").parts)


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


def known_rooms(path: pathlib.Path, parent: str) -> set[str]:
  """The rooms below `parent` that a file imports."""
  return {
    named(name.removeprefix(f"{parent}.").split("."))
    for name in imported(path)
    if name.startswith(f"{parent}.")
  }


def test_every_room_has_a_door() -> None:
  rooms = {room_of(path) for path in (ROOT / "jaxpower").rglob("*.py")}
  assert rooms - {"__init__", "__main__"} == set(DOORS)
  inside = {
    path.relative_to(REPORT).with_suffix("").parts[0]
    for path in REPORT.rglob("*.py")
  }
  assert inside - {"__init__"} == set(REPORT_DOORS)


@pytest.mark.parametrize("room", DOORS)
def test_a_room_knows_only_its_neighbours(room: str) -> None:
  for path in files(room):
    assert known_rooms(path, "jaxpower") <= DOORS[room] | {room}, path


@pytest.mark.parametrize("room", REPORT_DOORS)
def test_a_room_of_the_report_knows_only_its_neighbours(room: str) -> None:
  for path in files("report"):
    if path.relative_to(REPORT).with_suffix("").parts[0] == room:
      known = known_rooms(path, "jaxpower.report")
      assert known <= REPORT_DOORS[room] | {room}, path


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
    ("jaxpower.cli.run", FRAMEWORKS),
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


def test_tests_are_named_after_rooms() -> None:
  """`test_report_page`, or with what is tested of it, `test_trial_torch`."""
  # Not in jaxpower/.
  beside = {
    "audit",
    "configs",
    "docs",
    "fuzz",
    "golden_output",
    "hashes",
    "gpu",
    "imports",
    "install",
    "wheel",
  }
  rooms = set()
  for path in (ROOT / "jaxpower").rglob("*.py"):
    *outer, name = path.relative_to(ROOT / "jaxpower").with_suffix("").parts
    names = outer if name == "__init__" else [*outer, name]
    rooms |= {"_".join(names), "_".join((*names[:1], name))}
  for path in (ROOT / "tests").glob("test_*.py"):
    name = path.stem.removeprefix("test_")
    assert name in beside or any(
      name == room or name.startswith(f"{room}_") for room in rooms if room
    ), path
