import pytest

from jaxpower import worker
from jaxpower.worker import Shift, WorkerError


class Recorded:
  """A worker that says when it comes and goes."""

  heard: list[str]

  def __init__(self, meter: str, framework: str):
    assert meter == "nvml"
    self.framework = framework

  def __enter__(self) -> "Recorded":
    if self.framework == "broken":
      raise WorkerError("it cannot start")
    self.heard.append(f"{self.framework} on")
    return self

  def __exit__(self, *_: object) -> None:
    self.heard.append(f"{self.framework} off")


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
  heard: list[str] = []
  monkeypatch.setattr(worker, "Worker", Recorded)
  monkeypatch.setattr(Recorded, "heard", heard, raising=False)
  return heard


def test_one_worker_ends_before_the_next_begins(heard: list[str]) -> None:
  with Shift("nvml") as workers:
    first = workers.worker("jax")
    assert workers.worker("jax") is first
    workers.worker("torch")
    assert workers.worker("jax") is not first
  assert heard == [
    *("jax on", "jax off", "torch on", "torch off", "jax on", "jax off"),
  ]


def test_a_worker_that_cannot_start_leaves_none_behind(
  heard: list[str],
) -> None:
  with Shift("nvml") as workers:
    workers.worker("jax")
    with pytest.raises(WorkerError, match="it cannot start"):
      workers.worker("broken")
    assert heard == ["jax on", "jax off"]
    workers.worker("jax")
  assert heard == ["jax on", "jax off"] * 2
