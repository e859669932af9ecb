"""Parses what stands after the colon of `--config=FILE:...`."""

import math
import types
from typing import Any

from jaxpower.config.errors import ConfigError, article, unknown


def arguments(text: str, **defaults: Any) -> Any:
  """Parses the `name=value,...` after the colon of `--config=FILE:...`.

  Each value has the type of its default; a name alone sets a bool. Returns a
  namespace with one attribute for each default. Raises ConfigError on an
  unknown name or a value of another type.
  """
  values = dict(defaults)
  for part in filter(None, text.split(",")):
    name, equals, value = part.partition("=")
    if name not in defaults:
      raise ConfigError(unknown("config argument", name, defaults))
    kind = type(defaults[name])
    if not equals and kind is not bool:
      raise ConfigError(f"config argument {name}: write {name}=VALUE")
    try:
      values[name] = _parse(value if equals else "true", kind)
    except ValueError:
      raise ConfigError(
        f"config argument {name}={value}: not {article(kind.__name__)}"
      ) from None
  return types.SimpleNamespace(**values)


def _parse(text: str, kind: type) -> Any:
  """Reads a text as a type; raises ValueError, on nan and infinities too."""
  if kind is float and not math.isfinite(float(text)):
    raise ValueError(text)
  if kind is not bool:
    return kind(text)
  if text not in ("true", "false"):
    raise ValueError(text)
  return text == "true"
