"""Windows that a counter cannot resolve are told before anything runs."""

import dataclasses

import pytest

from jaxpower.config import Model, Trial
from jaxpower.messages import Ready
from jaxpower.plan import windows
from jaxpower.plan.windows import short_windows, window_seconds


def ready(period: float | None = 0.1, kind: str = "NVIDIA H100") -> Ready:
  sensor = {"counter_period_seconds": period}
  domain = {"domain": "GPU-1", "kind": "gpu", "counted": True, "sensor": sensor}
  apart = domain | {"counted": False, "sensor": {"counter_period_seconds": 9.0}}
  return Ready(
    platform="gpu",
    device_kind=kind,
    devices=1,
    meter={"domains": [domain, apart]},
  )


SMALL = Trial(batch_size=512, evaluate_every_examples=512, devices=1)
LARGE = Trial(
  model=Model(name="resnet18"),
  batch_size=512,
  evaluate_every_examples=184_320,
  budget_examples=1_658_880,
  precision="bfloat16",
  devices=1,
)


def test_a_short_window_is_told_with_the_fix():
  line = short_windows([SMALL, LARGE], ready())
  assert "of 1 of 2 trials" in line and "at batch 512 about 0.3 ms" in line
  assert "every 100 ms" in line and "20 are wanted" in line
  every = 512 * 6_667  # 2 s of updates of 0.3 ms
  assert f"evaluate_every_examples={every} --config.budget_examples=" in line


def test_the_fix_mends_it():
  fixed = dataclasses.replace(SMALL, evaluate_every_examples=512 * 6_667)
  assert short_windows([fixed], ready()) == ""


def test_a_window_of_a_gpus_size_is_not_told():
  assert short_windows([LARGE], ready()) == ""
  assert window_seconds(LARGE, ready()) == pytest.approx(3.38, rel=0.01)


def test_only_the_jobs_counters_matter():
  assert windows.counter_period(ready()) == 0.1
  assert short_windows([SMALL], ready(None)) == ""
  on_cpu = dataclasses.replace(ready(), platform="cpu")
  assert short_windows([SMALL], on_cpu) == ""


@pytest.mark.parametrize(
  ("model", "counted"),
  [
    # As XLA counts an update on 28 x 28 pixels: wing.flops_per_step.
    (Model(name="cnn"), 2.155e6),
    (Model(name="resnet18"), 2.7505e9),
    (Model(name="resnet50"), 6.343e9),
  ],
)
def test_operations_are_those_of_an_update(model: Model, counted: float):
  operations = 3 * windows.forward_operations(Trial(model=model))
  assert operations == pytest.approx(counted, rel=0.02)


def test_operations_of_a_vit_are_two_a_parameter_and_token():
  tiny = Trial(model=Model(name="vit", width=3.0, depth=6.0, heads=3))
  products = 12 * 12 * 192**2 * 50
  scores = 12 * 2 * 50**2 * 192
  assert windows.forward_operations(tiny) == 2 * (products + scores)


def test_windows_of_a_sensor_are_counted_too():
  asked = Trial(data="imu", model=Model(name="cnn"))
  first = 50 * 3 * 6 * 16  # pixels, window, channels, features
  second = 25 * 3 * 16 * 32
  assert windows.forward_operations(asked) == 2 * (
    first + second + 25 * 32 * 64
  )
