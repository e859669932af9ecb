"""What is asked of the machine and the data; test_sweep.py has the rest."""

import dataclasses
import os
import pathlib
from typing import Any

import pynvml
import pytest

from jaxpower import sweep, weights
from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Transfer,
  Trial,
)
from jaxpower.data import DataError
from jaxpower.messages import Ready
from jaxpower.plan import checks, requirements
from jaxpower.power.simulated_nvml import Gpu, installed

FIRST = Trial(data="mnist_5k")
SECOND = Trial(data="mnist_5k", transfer=Transfer(init_from=FIRST))
THIRD = Trial(
  data="digits_28", transfer=Transfer(init_from=SECOND, freeze=True)
)


@pytest.mark.parametrize(
  ("model", "kind", "augmentation", "message"),
  [
    ("cnn", "image", "crop_flip", ""),
    ("cnn", "window", "none", ""),
    ("transformer", "tokens", "none", ""),
    ("decoder", "text", "none", ""),
    (
      "cnn",
      "tokens",
      "none",
      "model cnn: does not read austen (tokens); models that do: transformer",
    ),
    (
      "transformer",
      "text",
      "none",
      "model transformer: does not read austen (text); models that do: decoder",
    ),
    (
      "vit",
      "window",
      "none",
      "model vit: does not read austen (window); models that do: cnn,"
      " transformer",
    ),
    (
      "cnn",
      "window",
      "crop",
      "augmentation crop: for images only, austen is window",
    ),
  ],
)
def test_a_model_must_read_the_data(
  model: str, kind: str, augmentation: str, message: str
) -> None:
  trial = Trial(
    data="austen", model=Model(name=model), augmentation=augmentation
  )
  if not message:
    requirements.check_kind(trial, kind)
    return
  with pytest.raises(ConfigError) as error:
    requirements.check_kind(trial, kind)
  assert str(error.value) == message


@pytest.mark.parametrize(
  ("batch", "parts", "every", "near"),
  [
    (12, 8, 2048, "8 or 16"),
    (100, 8, 2048, "64 or 128"),  # 96 and 104 divide no 2048
    (4, 8, 2048, "8"),
    (3000, 8, 2048, "2048"),
    (12, 8, 30, "8 or 16"),  # none divides 30
    (2**31 - 1, 8, 10**15, "2147483640 or 2147483648"),
  ],
)
def test_the_batch_sizes_near_one_that_does_not_divide(
  batch: int, parts: int, every: int, near: str
) -> None:
  assert requirements._near(batch, parts, every) == near


def test_a_backbone_takes_inputs_of_one_form(tmp_path: pathlib.Path) -> None:
  requirements.check_weights(THIRD)
  other = Trial(data="digits", transfer=Transfer(init_from=FIRST))
  with pytest.raises(ConfigError) as error:
    requirements.check_weights(other)
  assert str(error.value) == (
    "transfer.init_from.data mnist_5k: its inputs are image 28 x 28 x 1, those"
    " of digits are image 8 x 8 x 1; a backbone takes inputs of one form"
  )
  lacking = Trial(transfer=Transfer(weights=str(tmp_path / "resnet18")))
  with pytest.raises(ConfigError, match="resnet18 is not there"):
    requirements.check_weights(lacking)


def test_weights_that_pytorch_wrote_are_no_weights_for_jax(
  tmp_path: pathlib.Path,
) -> None:
  (tmp_path / weights.TORCH_STATE).write_text("0.5")
  weights.seal(tmp_path)
  asked = Trial(framework="torch", transfer=Transfer(weights=str(tmp_path)))
  checks.check_transfer(asked)
  requirements.check_weights(asked)
  with pytest.raises(ConfigError) as error:
    requirements.check_weights(dataclasses.replace(asked, framework="jax"))
  assert str(error.value) == (
    f"transfer.weights: {tmp_path} was written by PyTorch; take framework torch"
    " or torch_compile, or weights that JAX wrote"
  )


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    (
      {"data": "imu", "tasks": ("label", "subjct")},
      "unknown task of imu 'subjct'; did you mean subject?",
    ),
    (
      {"data": "mnist_5k+digits_28", "tasks": ("label",)},
      "unknown task of mnist_5k+digits_28 'label'; known: digits_28, mnist_5k",
    ),
    (
      {
        "data": "austen",
        "model": Model(name="decoder"),
        "tasks": ("label", "novel"),
      },
      "the label of austen is the next token at every position",
    ),
    (
      {"data": "mnist_5k+imu", "tasks": ("mnist_5k", "imu")},
      "inputs of another kind",
    ),
    (
      {
        "data": "mnist_5k+digits_28",
        "tasks": ("digits_28",),
        "batch_size": 2048,
      },
      "batch_size 2048: larger than the training set of mnist_5k+digits_28"
      " without its validation set (1293 examples)",
    ),
  ],
)
def test_tasks_that_the_data_has_not_are_refused_before_training(
  fields: dict[str, Any], message: str, tmp_path: Any
) -> None:
  with pytest.raises((ConfigError, DataError)) as refused:
    sweep.plan(
      Sweep(**{"evaluate_every_examples": 2_048, **fields}), tmp_path / "run"
    )
  assert message in str(refused.value)
  assert not (tmp_path / "run").exists()


def test_another_label_of_a_text_is_a_task_of_its_own(tmp_path: Any) -> None:
  asked = Sweep(
    data="austen",
    model=Model(name="transformer"),
    tasks=("novel",),
    optimizer=Optimizer(),
  )
  assert sweep.plan(asked, tmp_path).left


def test_without_the_right_a_power_limit_is_refused_before_anything(
  tmp_path: pathlib.Path,
) -> None:
  denied = {
    "nvmlDeviceSetPowerManagementLimit": pynvml.NVML_ERROR_NO_PERMISSION
  }
  asked = Sweep(vary={"power_limit_watts": (700.0, 300.0)}, seeds=1)
  folder = tmp_path / "runs"
  with installed(Gpu(call_errors=denied)), pytest.raises(ConfigError) as error:
    sweep.run(asked, folder)
  assert "needs the rights of root" in str(error.value)
  assert "\n" not in str(error.value) and not folder.exists()
  with installed(Gpu()) as library:
    requirements.check_board_settings([Trial()])
    assert library.calls == {}  # nobody who sets nothing is asked
    with pytest.raises(ConfigError, match="200 to 700 W"):
      requirements.check_board_settings([Trial(power_limit_watts=150.0)])


def test_more_cores_than_there_are_are_refused() -> None:
  ready = Ready(platform="cpu", device_kind="cpu", devices=1, meter={})
  usable = len(os.sched_getaffinity(0))
  requirements.check_devices(Trial(cores=usable), ready)
  with pytest.raises(
    ConfigError, match=f"^cores {usable + 1}: of the {usable} that this process"
  ):
    requirements.check_devices(Trial(cores=usable + 1), ready)
