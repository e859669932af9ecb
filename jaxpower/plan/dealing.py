"""Deals the trials of a sweep out to places that run at once.

A board moves the joules of all its trials together, by a few per cent. So the
trials of a seed, all settings of it, run on one board, in the sweep's order:
what the board adds then falls out where settings are compared seed by seed.
Where there are fewer seeds than places that would leave places empty; trials
are then dealt out one by one, and the report's intervals have to hold what
boards differ by.

A place that is lost gives its trials back, and others take its seeds over.
"""

from collections.abc import Collection, Iterable, Mapping

from jaxpower.config import Trial, trial_id


class Dealer:
  """Knows which trial is to run where; not safe for several threads.

  Attributes:
    whole_seeds: Whether all trials of a seed run in one place.
  """

  def __init__(
    self,
    trials: Iterable[Trial],
    places: int,
    seed_places: Mapping[int, int] | None = None,
  ):
    """Args:
    trials: Those to run, in order, each after the trial it starts from.
    places: How many there are, from 0.
    seed_places: Where other trials of a seed have run already, by seed.
    """
    self._waiting = list(trials)
    self._places = set(range(places))
    seeds = {trial.seed for trial in self._waiting}
    self.whole_seeds = len(seeds) >= places
    self._owner = {
      seed: place
      for seed, place in (seed_places or {}).items()
      if seed in seeds and place in self._places
    }
    self._running: dict[int, Trial] = {}

  @property
  def living(self) -> Collection[int]:
    """The places that are not lost."""
    return self._places

  @property
  def over(self) -> bool:
    """Whether all trials have ended."""
    return not self._waiting and not self._running

  def next(self, place: int) -> Trial | None:
    """Takes the next trial of a place; None where it has none now."""
    trial = self._whole(place) if self.whole_seeds else self._any()
    if trial is not None:
      self._waiting.remove(trial)
      self._running[place] = trial
    return trial

  def ended(self, place: int) -> None:
    """Says that the trial of a place has ended."""
    self._running.pop(place, None)

  def lost(self, place: int) -> Trial | None:
    """Gives the trials of a place to the others; returns the running one."""
    self._places.discard(place)
    trial = self._running.pop(place, None)
    if trial is not None:
      self._waiting.insert(0, trial)
    self._owner = {s: p for s, p in self._owner.items() if p != place}
    return trial

  def _whole(self, place: int) -> Trial | None:
    """Returns a trial of a seed of this place, or of one that has no place."""
    for trial in self._waiting:
      if self._owner.get(trial.seed) == place:
        return trial
    for trial in self._waiting:
      if trial.seed not in self._owner:
        self._owner[trial.seed] = place
        return trial
    return None

  def _any(self) -> Trial | None:
    """Returns the first trial whose pretraining is not still to end."""
    ahead = {trial_id(t) for t in (*self._waiting, *self._running.values())}
    for trial in self._waiting:
      source = trial.transfer.init_from
      if source is None or trial_id(source) not in ahead:
        return trial
    return None
