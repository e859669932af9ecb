"""One simulated card that several processes see, and what they do with it.

Its settings lie in the file that the variable SIMULATED_CARD names.
"""

import os
import pathlib
import time

from jaxpower.power import board_settings
from jaxpower.power.board_settings import BoardSettings
from jaxpower.power.simulated_nvml import UUIDS, Gpu, Library, install

GUARD = "from tests import simulated_card; simulated_card.guard()"
HOLD = "from tests import simulated_card; simulated_card.hold()"


def put() -> Gpu:
  """Installs the library for good; returns its card."""
  card = Gpu(settings=pathlib.Path(os.environ["SIMULATED_CARD"]))
  install(Library((card,)))
  return card


def guard() -> None:
  put()
  board_settings.guard()


def hold() -> None:
  """Is a trial: sets the card, says so, and works until it is killed."""
  put()
  board_settings.COMMAND = GUARD
  with board_settings.applied(BoardSettings(300.0, 1200), [UUIDS[0]]):
    print("set", flush=True)
    time.sleep(60)
