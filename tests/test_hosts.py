"""One trial over two "hosts": processes of this machine with other names."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from jaxpower.config import ConfigError
from jaxpower.folder import record_files
from jaxpower.hosts import meeting, monitor, rank
from jaxpower.hosts.meeting import Hello, Meeting, NotMetError
from jaxpower.hosts.part import FOLDER, Part, followed_part_of, part_of
from jaxpower.power import Energy, Window
from jaxpower.power.cuda import CudaDevice
from jaxpower.power.devices import UNKNOWN
from jaxpower.power.simulated_nvml import Gpu, installed
from jaxpower.records import TrialRecord
from jaxpower.workers.rank_process import gpu_of

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = """
from jaxpower.config import Model, Sweep


def get_config(arg: str = "") -> Sweep:
  return Sweep(
    name="hosts",
    data="digits",
    model=Model(width=0.25),
    batch_size=64,
    accumulation=1,
    evaluate_every_examples=256,
    budget_examples=512,
    target_accuracy=0.99,
    idle_seconds=0.1,
    devices=2,
    seeds=1,
  )
"""


@pytest.mark.parametrize(
  ("variables", "expected"),
  [
    ({}, None),
    (
      {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "MASTER_ADDR": "a"},
      Part(1, 4, 0, "here", "a"),
    ),
    (
      {
        "SLURM_PROCID": "3",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_LOCALID": "1",
        "JAXPOWER_ADDRESS": "10.0.0.1",
      },
      Part(3, 4, 1, "here", "10.0.0.1"),
    ),
    # A batch script is no step; its tasks are yet to be started.
    ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}, None),
    (
      {
        "OMPI_COMM_WORLD_RANK": "1",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_RANK": "1",
      },
      Part(1, 2, 1, "here", "here"),
    ),
    ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, None),
  ],
)
def test_a_launcher_says_which_part_this_is(
  variables: dict[str, str], expected: Part | None
) -> None:
  assert part_of(variables | {"JAXPOWER_HOST": "here"}) == expected


def test_a_notebook_in_a_job_of_several_tasks_is_on_its_own() -> None:
  variables = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
  assert followed_part_of(variables) is None
  assert followed_part_of(variables | {FOLDER: "/run/ranks"}) is not None


@pytest.mark.parametrize("text", ["4", "-1", "x", ""])
def test_a_rank_that_cannot_be_is_refused(text: str) -> None:
  variables = {"RANK": text, "WORLD_SIZE": "4", "LOCAL_RANK": "0"}
  with pytest.raises(ConfigError, match=r"RANK=.*unset them"):
    part_of(variables)


@pytest.mark.parametrize(
  ("visible", "local_rank", "expected"),
  [
    (None, 1, "1"),
    ("GPU-a,GPU-b", 1, "GPU-b"),
    ("GPU-a", 1, None),  # the launcher gave each rank one
    ("GPU-a", 0, "GPU-a"),
    ("", 1, None),  # none is to be seen
  ],
)
def test_a_rank_sees_a_gpu_of_its_own(
  visible: str | None, local_rank: int, expected: str | None
) -> None:
  variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
  assert gpu_of(variables, local_rank) == expected


def test_a_rank_tells_the_board_that_it_computes_on(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  def see(*devices: CudaDevice) -> None:
    monkeypatch.setattr(rank, "cuda_devices", lambda: devices)

  uuid = "GPU-aaaaaaaa-0000-0000-0000-000000000000"
  with installed(Gpu(power=100.0, uuid=uuid)):
    see(CudaDevice(0, uuid.removeprefix("GPU-"), None))
    assert rank.own_gpu() == uuid
    see(CudaDevice(0, "bbbbbbbb-0000-0000-0000-000000000000", None))
    assert rank.own_gpu() == f"{UNKNOWN}0"  # and not: no GPU
    see()
    assert rank.own_gpu() is None


def window(name: str, joules: float | None, domain: str) -> Window:
  energy = Energy(domain, joules, 1.0, "counter")
  return Window(name, 0.0, 1.0, joules, 1.0, (energy,))


def test_windows_of_hosts_are_added_by_number_and_phase() -> None:
  own = [window("train", 3.0, "cpu"), window("eval", 1.0, "cpu")]
  other = [window("train", 4.0, "cpu"), window("eval", None, "cpu")]
  train, evaluation = monitor.together("a", own, {"b": other})
  assert (train.joules, train.joules_bound) == (7.0, 2.0)
  assert [e.domain for e in train.energies] == ["cpu", "b/cpu"]
  assert evaluation.joules is None


def test_windows_that_do_not_match_leave_the_energy_unknown() -> None:
  own = [window("train", 3.0, "cpu"), window("eval", 1.0, "cpu")]
  for other in (own[:1], own[::-1]):
    for merged in monitor.together("a", own, {"b": other}):
      assert merged.joules is None and merged.partial
      assert "b measured" in merged.reasons[-1]


def test_a_rank_that_does_not_come_is_named(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(meeting, "GATHER_SECONDS", 0.2)
  with pytest.raises(NotMetError, match="rank 1, 2 of 3 did not come"):
    meeting.gather(tmp_path, "127.0.0.1", 3, "jax", "auto")


def test_nobody_joins_without_the_key(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  import threading

  monkeypatch.setattr(meeting, "GATHER_SECONDS", 20)
  came = []
  thread = threading.Thread(
    target=lambda: came.extend(
      meeting.gather(tmp_path, "127.0.0.1", 2, "jax", "auto")
    )
  )
  thread.start()
  while not (facts := meeting.read(tmp_path, meeting.MEETING)):
    time.sleep(0.01)
  path = tmp_path / meeting.MEETING
  assert path.stat().st_mode & 0o777 == 0o600
  wrong = dataclasses.replace(Meeting(**facts), key="00")
  with pytest.raises(Exception, match="digest"):
    meeting.join(wrong, Hello(1, "b", None))
  with meeting.join(Meeting(**facts), Hello(1, "b", None)):
    thread.join()
  assert [other.hello.host for other in came] == ["b"]


@contextlib.contextmanager
def launched(
  tmp_path: pathlib.Path, *flags: str
) -> Iterator[list[subprocess.Popen[str]]]:
  """Starts two processes as torchrun or srun do, each on its own "host"."""
  config = tmp_path / "hosts.py"
  config.write_text(CONFIG)
  started: list[subprocess.Popen[str]] = []
  for number in (0, 1):
    variables = os.environ | {
      **{"RANK": str(number), "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
      **{"MASTER_ADDR": "127.0.0.1", "JAXPOWER_HOST": f"node{number}"},
      **{"JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)},
    }
    command = [
      *(sys.executable, str(ROOT / "scripts" / "run.py")),
      *(f"--config={config}", f"--out={tmp_path / 'run'}", "--meter=estimate"),
      *flags,
    ]
    started.append(
      subprocess.Popen(
        command,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
      )
    )
  try:
    yield started
  finally:
    for process in started:
      process.kill()
      process.communicate()


def record_of(folder: pathlib.Path) -> TrialRecord:
  (record,) = record_files.read(folder, (), strict=True).newest.values()
  return record


@pytest.mark.parametrize(
  "framework", ["jax", pytest.param("torch", marks=pytest.mark.proof)]
)
def test_a_trial_over_two_hosts_has_one_record(
  framework: str, tmp_path: pathlib.Path
) -> None:
  with launched(tmp_path, f"--config.framework={framework}") as ranks:
    outputs = [process.communicate(timeout=300)[0] for process in ranks]
  assert [process.returncode for process in ranks] == [0, 0], outputs
  record = record_of(tmp_path / "run")
  assert record.error is None
  assert record.provenance["hosts"] == {"node0": [0], "node1": [1]}
  assert record.joules_by_host is not None
  assert all(record.joules_by_host.values())
  assert record.joules_by_host.keys() == {"node0", "node1"}
  known = [value or 0 for value in record.joules_by_host.values()]
  phases = [value or 0 for value in record.joules_by_phase.values()]
  assert sum(known) == pytest.approx(sum(phases))
  assert {d["host"] for d in record.meter["domains"]} == {"node0", "node1"}
  assert json.loads((tmp_path / "run/ranks/beat.json").read_text())["over"]
  assert not (tmp_path / "run/ranks/meeting.json").exists()


@pytest.mark.slow
def test_a_lost_host_is_a_failed_record(tmp_path: pathlib.Path) -> None:
  flag = "--config.budget_examples=102400000"
  with launched(tmp_path, flag) as (first, second):
    ledger = tmp_path / "run" / "attempts.jsonl"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
      if ledger.exists() and '"look"' in ledger.read_text():
        break
      time.sleep(0.2)
    second.kill()
    output, _ = first.communicate(timeout=200)
  assert first.returncode == 1, output
  record = record_of(tmp_path / "run")
  assert record.status == "failed"
  assert "rank 1 of 2 (node1) was lost" in (record.error or "")
