import os
import pathlib
import subprocess
import sys

import pytest

from jaxpower.config import ConfigError
from jaxpower.power.simulated_nvml import MIG_UUID, UUIDS, Gpu, installed
from jaxpower.workers import places
from jaxpower.workers.places import WHOLE, Place

BOARDS = [
  Gpu(uuid=f"GPU-{i:08d}-0000-0000-0000-000000000000", pci=f"0000:0{i}:00.0")
  for i in range(8)
]


@pytest.fixture(autouse=True)
def all_visible(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_one_at_a_time_has_all() -> None:
  assert places.deal(1, 1, "gpu", 8) == (WHOLE,)
  assert places.deal("auto", 0, "cpu", 1) == (WHOLE,)
  assert WHOLE.environment == {}


def test_each_place_has_gpus_of_its_own_by_uuid() -> None:
  with installed(*BOARDS):
    four = places.deal(4, 2, "gpu", 8)
    auto = places.deal("auto", 1, "gpu", 8)
  assert [place.gpus for place in auto] == [(board.uuid,) for board in BOARDS]
  assert {place.at_once for place in auto} == {8}
  assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in four] == [
    f"{BOARDS[i].uuid},{BOARDS[i + 1].uuid}" for i in (0, 2, 4, 6)
  ]


def test_only_gpus_that_the_sweep_may_use_are_dealt_out(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,2")
  with installed(*BOARDS):
    found = places.deal("auto", 1, "gpu", 2)
  assert [place.gpus for place in found] == [
    (BOARDS[5].uuid,),
    (BOARDS[2].uuid,),
  ]


def test_a_part_of_a_board_is_named_as_cuda_names_it(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", MIG_UUID)
  board = Gpu(uuid=UUIDS[0], mig=True, mig_uuids=(MIG_UUID,))
  with installed(board):
    assert places.visible_gpus(1) == (MIG_UUID,)


@pytest.mark.parametrize(
  ("parallel", "devices", "visible", "line"),
  [
    (9, 1, 8, "parallel 9: at 1 a trial, 8 GPUs are enough for 8"),
    (3, 4, 8, "parallel 3: at 4 a trial, 8 GPUs are enough for 2"),
    (2, 0, 8, "parallel 2: each trial takes all GPUs (devices=0)"),
    (2, 1, 4, "(NVML shows 8 of 4); name them by UUID"),
  ],
)
def test_too_few_gpus_are_refused_in_a_line(
  parallel: int, devices: int, visible: int, line: str
) -> None:
  with pytest.raises(ConfigError) as error, installed(*BOARDS):
    places.deal(parallel, devices, "gpu", visible)
  assert line in str(error.value)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5"])
def test_what_is_no_number_of_trials_is_refused(text: str) -> None:
  with pytest.raises(ConfigError, match="not a number from 1, nor auto"):
    places.parse(text)
  with pytest.raises(ConfigError, match="not a number from 1, nor auto"):
    places.deal(text, 1, "cpu", 1)
  assert places.parse("auto") == "auto"
  assert places.parse("12") == 12


def test_commands_have_gpus_where_there_are_some_and_cores_where_not(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  """A worker of commands opens no device, and so counts none."""
  with installed(*BOARDS):
    found = places.deal("auto", 2, "command", 1)
    assert [len(place.gpus) for place in found] == [2] * 4
  assert places.deal("auto", 1, "command", 1) == (WHOLE,)
  monkeypatch.setattr(places, "usable_cpus", lambda: frozenset(range(4)))
  found = places.deal(2, 1, "command", 1)
  assert [len(place.cores) for place in found] == [2, 2]


def test_cores_are_dealt_out_by_physical_core(tmp_path: pathlib.Path) -> None:
  for cpu in range(8):  # cores 0 and 4, 1 and 5, ... are of one physical core
    folder = tmp_path / f"cpu{cpu}" / "topology"
    folder.mkdir(parents=True)
    (folder / "physical_package_id").write_text("0\n")
    (folder / "core_id").write_text(f"{cpu % 4}\n")
  cores = places.by_physical_core(frozenset(range(8)), tmp_path)
  assert cores == [0, 4, 1, 5, 2, 6, 3, 7]
  found = places.by_cores(3, cores)
  assert [place.cores for place in found] == [(0, 4), (1, 5), (2, 6)]
  with pytest.raises(ConfigError, match="parallel 9: there are 8 cores"):
    places.by_cores(9, cores)


def test_what_is_started_in_a_place_has_its_cores_alone() -> None:
  cores = os.sched_getaffinity(0)
  first = min(cores)
  ask = "import os; print(*os.sched_getaffinity(0))"
  with Place(cores=(first,)).held():
    seen = subprocess.check_output([sys.executable, "-c", ask], text=True)
  assert seen.split() == [str(first)]
  assert os.sched_getaffinity(0) == cores


def test_a_place_is_narrowed_to_some_of_its_cores() -> None:
  usable = os.sched_getaffinity(0)
  one = WHOLE.narrowed(1)
  assert (one.cores_usable, set(one.cores) <= usable) == (1, True)
  assert WHOLE.narrowed(0) is WHOLE
  assert WHOLE.cores_usable == len(usable)
  assert Place(cores=(3, 5), at_once=2).narrowed(1).at_once == 2


def test_what_is_started_in_a_narrowed_place_has_its_cores() -> None:
  code = "import os; print(len(os.sched_getaffinity(0)))"
  with WHOLE.narrowed(1).held():
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
  assert done.stdout.strip() == b"1"
