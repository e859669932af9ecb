"""What is asked of the machine and the data; test_sweep.py has the rest."""

import pytest

from jaxpower import requirements
from jaxpower.config import ConfigError, Model, Trial


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
