import dataclasses
from typing import Any

import pytest

from jaxpower.config import Model, Transfer, Trial, trial_id, with_seed
from jaxpower.records import varied_value

EARLY, LATE = Trial(data="mnist_5k"), Trial(data="mnist_5k", batch_size=64)


@pytest.mark.parametrize(
  ("values", "words"),
  [
    ((16, 0.5, "adam", True), (16, 0.5, "adam", True)),
    (
      (
        Transfer(),
        Transfer(init_from=EARLY),
        Transfer(init_from=EARLY, freeze=True),
        Transfer(init_from=EARLY, backbone_rate=0.1),
      ),
      ("scratch", "fine-tuned", "frozen", "fine-tuned at 0.1"),
    ),
    (
      (Transfer(init_from=EARLY), Transfer(weights="weights/resnet18")),
      ("fine-tuned from mnist_5k", "fine-tuned from weights/resnet18"),
    ),
    (
      (Transfer(init_from=EARLY), Transfer(init_from=LATE)),
      ("fine-tuned from mnist_5k E", "fine-tuned from mnist_5k L"),
    ),
    ((EARLY, None), ("mnist_5k", None)),
    (
      (Model(name="vit"),),
      ({"name": "vit", "width": 1.0, "depth": 1.0, "heads": 4},),
    ),
  ],
)
def test_a_varied_value_has_a_word(values: Any, words: Any) -> None:
  for letter, trial in (("E", EARLY), ("L", LATE)):
    name = trial_id(trial)[:6]
    words = [
      text.replace(f"5k {letter}", f"5k {name}")
      if isinstance(text, str)
      else text
      for text in words
    ]
  found = [varied_value(value, values) for value in values]
  assert found == words
  # A seed of a setting has the word of the setting.
  for value, said in zip(values, words, strict=True):
    if isinstance(value, Transfer) and value.init_from is not None:
      seeded = dataclasses.replace(
        value, init_from=with_seed(value.init_from, 3)
      )
      assert varied_value(seeded, values) == said
