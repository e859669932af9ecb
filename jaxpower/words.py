"""How a record names a value that a sweep varies."""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from jaxpower.config import Transfer, Trial, to_dict, trial_id, with_seed


def word(value: Any, among: Iterable[Any] = ()) -> Any:
  """A value that a sweep varies, as a record holds it.

  A Transfer is "scratch", "fine-tuned" or "frozen", with a backbone's rate
  that is not 1; what it came from is told where the words of the values
  `among` which it stands would be the same without. Every seed of a setting
  has the same word. Numbers and words are themselves.
  """
  among = tuple(among)

  def different(detail: int) -> int:
    return len({json.dumps(_word(item, detail)) for item in among})

  fitting = (d for d in (0, 1, 2) if different(d) == different(2))
  return _word(value, next(fitting))


def _word(value: Any, detail: int) -> Any:
  if isinstance(value, Trial):
    name = trial_id(with_seed(value, 0))[:6]
    return f"{value.data} {name}" if detail == 2 else value.data
  if not isinstance(value, Transfer):
    return to_dict(value) if dataclasses.is_dataclass(value) else value
  text = "scratch"
  if origin := value.init_from or value.weights:
    text = "frozen" if value.freeze else "fine-tuned"
    if detail:
      text += f" from {_word(origin, detail)}"
  rate = value.backbone_rate
  return text if rate == 1 else f"{text} at {rate:g}"
