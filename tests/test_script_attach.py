"""What a script imports: cheap, silent where no sweep runs, light always."""

import pathlib
import subprocess
import sys
import time

import pytest

from jaxpower.script import attach

ROOT = pathlib.Path(__file__).parent.parent
HEAVY = (
  *("numpy", "jax", "torch", "pynvml", "dataclasses", "typing", "socket"),
  *("jaxpower.config", "jaxpower.power"),
)


def test_attaching_imports_nothing_and_takes_no_time() -> None:
  code = (
    "import sys, time; before = set(sys.modules); t = time.perf_counter()\n"
    "from jaxpower import attach; run = attach()\n"
    "print(time.perf_counter() - t, *sorted(set(sys.modules) - before))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  seconds, *modules = done.stdout.split()
  assert not set(modules) & set(HEAVY)
  assert {m for m in modules if m.startswith("jaxpower")} == {
    "jaxpower",
    "jaxpower.script",
    "jaxpower.script.attach",
  }
  assert float(seconds) < 0.1  # 5 ms on a quiet machine


def test_without_a_sweep_nothing_happens(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.delenv(attach.ADDRESS, raising=False)
  run = attach.attach()
  assert not run.active
  began = time.perf_counter()
  for _ in range(1000):
    with run.phase("eval", wait=object()):
      pass
    assert run.report(accuracy=91.0) is False
  assert time.perf_counter() - began < 0.5
  with pytest.raises(ValueError, match="no phase is named 'evall'"):
    run.phase("evall")


def test_a_sweep_that_is_not_there_is_told_once_and_nothing_is_stopped(
  monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
  monkeypatch.setenv(attach.ADDRESS, "/nowhere/attach")
  run = attach.attach()
  assert run.report(accuracy=0.5) is False
  assert "the sweep cannot be reached" in capsys.readouterr().err


class Cuda:
  """CUDA of a PyTorch that has opened two devices."""

  def __init__(self) -> None:
    self.waited: list[int] = []

  def is_available(self) -> bool:
    return True

  def is_initialized(self) -> bool:
    return True

  def device_count(self) -> int:
    return 2

  def synchronize(self, device: int) -> None:
    self.waited.append(device)


class Torch:
  def __init__(self) -> None:
    self.cuda = Cuda()


class Bridge:
  def __init__(self, opened: bool):
    self.opened = opened

  def backends_are_initialized(self) -> bool:
    return self.opened


class Array:
  def is_deleted(self) -> bool:
    return False


class Jax:
  def __init__(self) -> None:
    self.waited: list[object] = []
    self.alive = [Array()]

  def block_until_ready(self, values: object) -> None:
    self.waited.append(values)

  def live_arrays(self) -> list[Array]:
    return self.alive


@pytest.mark.parametrize("opened", [True, False])
def test_devices_are_waited_for_that_a_framework_has_opened(
  opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
  torch, jax = Torch(), Jax()
  monkeypatch.setitem(sys.modules, "torch", torch)
  monkeypatch.setitem(sys.modules, "jax", jax)
  monkeypatch.setitem(sys.modules, "jax._src.xla_bridge", Bridge(opened))
  attach._wait_for("arrays")
  assert torch.cuda.waited == [0, 1]
  assert jax.waited == ["arrays", jax.alive][: 2 if opened else 1]


def test_the_rank_is_that_of_the_launcher(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  for name in attach.RANKS:
    monkeypatch.delenv(name, raising=False)
  assert attach._rank() == 0
  monkeypatch.setenv("RANK", "3")
  assert attach._rank() == 3
