import importlib.metadata
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from jaxpower import provenance
from jaxpower.provenance import arithmetic_environment


def test_what_is_collected_can_be_written() -> None:
  collected = json.loads(json.dumps(provenance.collect()))
  assert collected["versions"]["numpy"] == np.__version__
  assert collected["versions"]["python"] == sys.version.split()[0]
  assert collected["cpu_count"] >= collected["cpus_usable"] >= 1


def test_no_git_leaves_the_revision_unknown(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  def missing(*args: object, **kwargs: object) -> None:
    raise FileNotFoundError("git")

  monkeypatch.setattr(subprocess, "run", missing)
  collected = provenance.collect()
  assert collected["git_revision"] is None
  assert collected["git_revision_unknown"] == "git: git"


def test_a_copy_without_git_says_why_its_revision_is_unknown(
  monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
  monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
  monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
  collected = provenance.collect()
  assert collected["git_revision"] is None
  assert "not a git repository" in collected["git_revision_unknown"]


def test_the_job_is_told_and_its_secrets_are_not() -> None:
  variables = {
    "SLURM_JOB_ID": "17",
    "SLURM_JWT": "hunter2",
    "OMPI_COMM_WORLD_RANK": "1",
    "RANK": "1",
    "NCCL_IB_HCA": "mlx5",
    "NCCL_AUTH_TOKEN": "hunter2",
    "HOME": "/home/me",
  }
  assert provenance.job(variables) == {
    "OMPI_COMM_WORLD_RANK": "1",
    "RANK": "1",
    "SLURM_JOB_ID": "17",
  }
  assert provenance.environment(variables) == {"NCCL_IB_HCA": "mlx5"}


def test_another_job_is_no_other_environment() -> None:
  of = {"environment": {}, "job": {"SLURM_JOB_ID": "17"}}
  assert arithmetic_environment(of) == {}


def test_versions_of_a_gpus_libraries_are_told(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  def version(package: str) -> str:
    if package in ("nvidia-cudnn-cu12", "triton", "jax-cuda12-plugin"):
      return f"1.0 of {package}"
    raise importlib.metadata.PackageNotFoundError

  monkeypatch.setattr(importlib.metadata, "version", version)
  versions = provenance.package_versions()
  del versions["python"]
  assert versions == {
    "jax-cuda12-plugin": "1.0 of jax-cuda12-plugin",
    "nvidia-cudnn-cu12": "1.0 of nvidia-cudnn-cu12",
    "triton": "1.0 of triton",
  }


def test_only_settings_of_the_frameworks_are_kept(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
  monkeypatch.setenv("SECRET_TOKEN", "hunter2")
  environment = provenance.collect()["environment"]
  assert environment["CUDA_VISIBLE_DEVICES"] == "1,0"
  assert "hunter2" not in json.dumps(environment)


@pytest.mark.parametrize(
  ("recorded", "picked"),
  [
    ({}, {}),
    ({"environment": None}, {}),
    (
      {"environment": {"OMP_NUM_THREADS": "2", "JAX_DEFAULT_PRNG_IMPL": "rbg"}},
      {"JAX_DEFAULT_PRNG_IMPL": "rbg", "OMP_NUM_THREADS": "2"},
    ),
    # Where there are devices and files, and what is logged, is no setting.
    (
      {
        "environment": {
          "CUDA_VISIBLE_DEVICES": "3",
          "JAX_PLATFORMS": "cpu",
          "JAX_COMPILATION_CACHE_DIR": "/tmp/cache",
          "JAX_LOG_COMPILES": "1",
          "TORCH_HOME": "/home/me",
        }
      },
      {},
    ),
    # Nor is it what is set to its default, or to nothing.
    ({"environment": {"JAX_ENABLE_X64": "False", "OMP_NUM_THREADS": ""}}, {}),
    ({"environment": {"JAX_ENABLE_X64": "1"}}, {"JAX_ENABLE_X64": "1"}),
    # 0 turns TF32 off; unset, it is on.
    (
      {"environment": {"NVIDIA_TF32_OVERRIDE": "0"}},
      {"NVIDIA_TF32_OVERRIDE": "0"},
    ),
    # "_DIRECT" is no "_DIR".
    (
      {"environment": {"JAX_USE_DIRECT_LINEARIZE": "0"}},
      {"JAX_USE_DIRECT_LINEARIZE": "0"},
    ),
    ({"environment": {"XLA_FLAGS": "--xla_dump_to=/tmp"}}, {}),
  ],
)
def test_what_arithmetic_depends_on_is_picked(
  recorded: dict, picked: dict
) -> None:
  assert arithmetic_environment(recorded) == picked


@pytest.mark.parametrize(
  "name",
  [
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
  ],
)
def test_memory_that_is_reserved_changes_no_arithmetic(name: str) -> None:
  assert arithmetic_environment({"environment": {name: "0.5"}}) == {}


def test_flags_of_xla_have_no_order() -> None:
  one, other = (
    arithmetic_environment({"environment": {"XLA_FLAGS": flags}})
    for flags in ("--xla_b=1  --xla_a", "--xla_a --xla_dump_to=/x --xla_b=1")
  )
  assert one == other == {"XLA_FLAGS": "--xla_a --xla_b=1"}


def test_switches_of_a_debugger_are_found_and_left_out() -> None:
  variables = {
    "JAX_DEBUG_NANS": "1",
    "JAX_DISABLE_JIT": "False",
    "JAX_TRANSFER_GUARD": "allow",
    "JAX_ENABLE_X64": "1",
    "HOME": "/home/me",
  }
  assert provenance.debug_switches(variables) == {"JAX_DEBUG_NANS": "1"}
  assert provenance.without_debug_switches(variables) == {
    "JAX_ENABLE_X64": "1",
    "HOME": "/home/me",
  }
