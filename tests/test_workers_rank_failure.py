"""The cause of a failed trial over several processes."""

import dataclasses

import pytest

from jaxpower.workers import rank_failure
from jaxpower.workers.rank_failure import DistributedError


@dataclasses.dataclass
class Rank:
  """A rank that is seen to be dead after so many looks; -1: never."""

  name: str
  dead_after: int = -1

  def exit_reason(self) -> str | None:
    self.dead_after -= 1
    return f"{self.name} is dead" if self.dead_after == -1 else None


def test_a_death_that_shows_late_is_found() -> None:
  ranks = [Rank("one"), Rank("two", dead_after=3)]
  assert rank_failure.find_death(lambda: ranks) == "two is dead"


def test_nobody_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(rank_failure, "FIND_CAUSE_SECONDS", 0.05)
  assert rank_failure.find_death(lambda: [Rank("one")]) == ""
  # Those that were stopped meanwhile are killed, and that is no cause.
  assert rank_failure.find_death(lambda: []) == ""


@pytest.mark.parametrize(
  ("error", "cause", "raised"),
  [
    (ValueError("x"), "one is dead", DistributedError("one is dead")),
    (ValueError("x"), "", ValueError("x")),
    (KeyboardInterrupt("x"), "one is dead", KeyboardInterrupt("x")),
  ],
)
def test_the_cause_is_raised_after_the_rest_was_stopped(
  error: BaseException, cause: str, raised: BaseException
) -> None:
  order: list[str] = []

  def cause_of(error: Exception) -> str:
    order.append("look")
    return cause

  with (
    pytest.raises(type(raised), match=str(raised)),
    rank_failure.report_cause(cause_of, lambda: order.append("stop")),
  ):
    raise error
  interrupted = isinstance(error, KeyboardInterrupt)
  assert order == (["stop"] if interrupted else ["look", "stop"])


def test_what_says_a_cause_keeps_it() -> None:
  assert rank_failure.known_cause(DistributedError("rank 1 hangs")) == (
    "rank 1 hangs"
  )
  assert rank_failure.known_cause(ValueError("broken pipe")) == ""
