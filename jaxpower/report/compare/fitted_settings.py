"""What training typically costs, for each of several settings' trials.

From records to the one model behind every number (`compare.model`). Settings
are fitted together, since together they say how much seeds scatter.
"""

from collections.abc import Iterable

from jaxpower.records import TrialRecord
from jaxpower.report.compare.costs import TRAIN, Counting
from jaxpower.report.compare.model import Fit, fit
from jaxpower.report.compare.repeats import Repeats, averaged, repeats_of
from jaxpower.report.compare.statistics import Observation


def fit_settings(
  settings: Iterable[Iterable[TrialRecord]], counting: Counting = TRAIN
) -> Fit:
  """Fits the costs of settings; each one's index is its place here.

  A setting of which a cost is unknown, or is not above zero, has no estimate:
  of such a cost there is no log.
  """
  return fit_repeats(repeats_of(settings), counting)


def fit_repeats(settings: Iterable[Repeats], counting: Counting = TRAIN) -> Fit:
  """Fits the costs of settings whose repeats were put together before."""
  return fit(
    [_of_which_logs(averaged(repeats, counting)) for repeats in settings]
  )


def _of_which_logs(
  cell: tuple[Observation, ...] | None,
) -> tuple[Observation, ...]:
  if cell is None or any(each.cost.value <= 0 for each in cell):
    return ()
  return cell
