"""Power limit and clock of a card: set, read back, put back whatever happens.

On the simulated NVML alone; `conftest` sees to it that no real card is set.
"""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pynvml
import pytest

from jaxpower.power import Monitor, board_settings
from jaxpower.power.board_settings import BoardSettings, SettingsError, check
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed
from tests import simulated_card

AS_IT_WAS = (650_000, 0)
ASKED = BoardSettings(300.0, 1200)


@pytest.fixture
def card(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gpu]:
  """A card whose limit somebody has set to 650 W."""
  settings = tmp_path / "card"
  monkeypatch.setenv("SIMULATED_CARD", str(settings))
  monkeypatch.setattr(board_settings, "COMMAND", simulated_card.GUARD)
  gpu = Gpu(settings=settings)
  gpu.set(*AS_IT_WAS)
  with installed(gpu):
    yield gpu


def test_a_card_is_set_read_back_and_put_back(card: Gpu) -> None:
  with board_settings.applied(ASKED, [UUIDS[0]]) as facts:
    assert card.set_to() == (300_000, 1200)
    with Monitor("nvml") as monitor:
      states = monitor.describe()["gpus"]
  assert card.set_to() == AS_IT_WAS
  board = facts["boards"][UUIDS[0]]
  assert board == {"before_watts": 650, "set_watts": 300, "end_watts": 300}
  assert facts["restored"] is True
  assert states["start"][0]["power_limit_watts"] == 300
  assert states["start"][0]["sm_clock_mhz"] == 1200
  assert board_settings.unlike(ASKED, states) == []
  (line,) = board_settings.unlike(BoardSettings(400.0), states)
  assert "300 W, not the 400 W asked for" in line


def test_an_error_in_the_body_puts_it_back(card: Gpu) -> None:
  with (
    pytest.raises(ZeroDivisionError),
    board_settings.applied(ASKED, [UUIDS[0]]),
  ):
    raise ZeroDivisionError
  assert card.set_to() == AS_IT_WAS


def test_without_its_guardian_it_is_put_back_too(card: Gpu) -> None:
  with board_settings.applied(ASKED, [UUIDS[0]]) as facts:
    for pid in guardians():
      os.kill(pid, signal.SIGKILL)
  assert card.set_to() == AS_IT_WAS and facts["restored"] is True


def test_its_guardian_hears_no_signal_that_can_be_ignored(card: Gpu) -> None:
  with board_settings.applied(ASKED, [UUIDS[0]]) as facts:
    (guardian,) = guardians()
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
      os.kill(guardian, number)
    time.sleep(0.1)
    assert guardians() == [guardian]
  assert card.set_to() == AS_IT_WAS and facts["restored"] is True


def guardians() -> list[int]:
  """Finds the guardians that this process has started."""
  found = []
  for stat in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
      words = stat.read_text().split("\0")
    except OSError:
      continue
    if simulated_card.GUARD in words:
      parent = (stat.parent / "stat").read_text().rpartition(")")[2].split()[1]
      found += [int(stat.parent.name)] if int(parent) == os.getpid() else []
  return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_kill_of_the_whole_group_puts_it_back(card: Gpu, number: int) -> None:
  root = pathlib.Path(__file__).parent.parent
  trial = subprocess.Popen(
    [sys.executable, "-c", simulated_card.HOLD],
    stdout=subprocess.PIPE,
    text=True,
    start_new_session=True,
    cwd=root,
  )
  assert trial.stdout is not None and trial.stdout.readline() == "set\n"
  assert card.set_to() == (300_000, 1200)
  os.killpg(trial.pid, number)
  trial.wait(10)
  trial.stdout.close()
  end = time.monotonic() + 20  # a loaded machine
  while card.set_to() != AS_IT_WAS and time.monotonic() < end:
    time.sleep(0.05)
  assert card.set_to() == AS_IT_WAS


@pytest.mark.parametrize(
  ("asked", "change", "line"),
  [
    (BoardSettings(900.0), {}, "power_limit_watts 900: .* 200 to 700 W"),
    (BoardSettings(0, 5000), {}, "sm_clock_mhz 5000: .* 1980 MHz at most"),
    (BoardSettings(0, 900), {"throttle": 2}, "set already.*nvidia-smi -rgc"),
    (
      BoardSettings(300.0),
      {
        "call_errors": {
          "nvmlDeviceSetPowerManagementLimit": pynvml.NVML_ERROR_NO_PERMISSION
        }
      },
      "needs the rights of root",
    ),
  ],
)
def test_what_cannot_be_set_is_one_line(card, asked, change, line) -> None:
  for name, value in change.items():
    setattr(card, name, value)
  with pytest.raises(SettingsError, match=line) as caught:
    check(asked)
  assert "\n" not in str(caught.value)
  with (
    pytest.raises(SettingsError, match=line),
    board_settings.applied(asked, [UUIDS[0]]),
  ):
    pass
  assert card.set_to() == AS_IT_WAS


def test_a_check_changes_nothing(card: Gpu) -> None:
  check(ASKED)
  assert card.set_to() == AS_IT_WAS


def test_without_a_gpu_nothing_can_be_set() -> None:
  with installed(init_error=12), pytest.raises(SettingsError, match="no GPU"):
    check(ASKED)
  with board_settings.applied(BoardSettings(), []) as facts:
    assert facts["boards"] == {}


def test_no_test_sets_a_real_card(monkeypatch: pytest.MonkeyPatch) -> None:
  assert os.environ[board_settings.NEVER] == "1"
  real = ctypes.CDLL(None)
  monkeypatch.setattr(pynvml, "nvmlLib", real)
  with pytest.raises(SettingsError, match=board_settings.NEVER):
    check(ASKED)
