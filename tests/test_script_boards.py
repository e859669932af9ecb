"""Which GPUs a command is billed for, told by the processes on them."""

import dataclasses

import pytest

from jaxpower.power import Energy, Window
from jaxpower.power.devices import Board
from jaxpower.script import boards
from jaxpower.script.boards import BoardLog, billed

TWO = tuple(
  Board(index=i, uuid=f"GPU-{i}", name="H100", pci="", handle=i)
  for i in range(2)
)


def window() -> Window:
  energies = tuple(
    Energy(name, joules, 1.0, "counter", reasons=("late",))
    for name, joules in (("GPU-0", 100.0), ("GPU-1", 30.0), ("cpu", 7.0))
  )
  reasons = ("ended early", *(f"{e.domain}: late" for e in energies))
  return Window(
    "train", 5.0, 2.0, 137.0, 2.0, energies, partial=False, reasons=reasons
  )


def test_a_gpu_that_was_not_used_is_kept_apart() -> None:
  (told,) = billed([window()], ["GPU-0", "GPU-1"], {"GPU-0"})
  assert told.joules == 107.0
  assert told.joules_bound == 2.0
  assert [e.domain for e in told.apart] == ["GPU-1"]
  assert told.reasons == ("ended early", "GPU-0: late", "cpu: late")
  assert (told.start_seconds, told.seconds) == (5.0, 2.0)


def test_all_are_billed_where_none_is_known() -> None:
  assert billed([window()], ["GPU-0", "GPU-1"], set()) == (window(),)
  (caution,) = BoardLog(TWO).cautions(["GPU-0", "GPU-1"])
  assert "all that it can see are billed" in str(caution)
  assert BoardLog(TWO, {"GPU-1"}).cautions(["GPU-0"]) == ()
  assert BoardLog().cautions([]) == ()


def test_boards_are_those_with_a_process_of_ours(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  on = {0: {7}, 1: None}
  monkeypatch.setattr(boards, "processes_on", lambda handle: on[handle])
  monkeypatch.setattr(boards, "is_descendant", lambda pid: pid == 7)
  log = BoardLog((*TWO, dataclasses.replace(TWO[0], uuid="", lost="gone")))
  log.look()
  assert log.used == {"GPU-0"}
  on[0] = set()  # it has ended since
  log.look()
  (device,) = log.devices("a CPU")
  assert (device["uuid"], device["uuid_by"]) == ("GPU-0", "processes")
  assert BoardLog(TWO).devices("a CPU")[0]["platform"] == "cpu"
