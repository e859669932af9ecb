"""Reads the paths that a command line gives."""

import os
import pathlib

from jaxpower.config import ConfigError
from jaxpower.wording import printable

LONGEST_NAME = 255  # bytes of one file's name: NAME_MAX of Linux's file systems
LONGEST_PATH = 4095  # bytes of a path: PATH_MAX of Linux, less its last byte


def path(text: str) -> pathlib.Path:
  """Reads a path, `~` and `~user` as the home folder.

  A shell leaves the tilde of `--out=~/runs` as it is, and a folder named `~`
  would be made. Raises ConfigError where no file can have that path.
  """
  shown = printable(text if len(text) <= 40 else f"{text[:37]}...")
  try:
    os.fsencode(text)
    expanded = pathlib.Path(text).expanduser()
  except (RuntimeError, ValueError) as error:
    if isinstance(error, UnicodeEncodeError):
      raise ConfigError(f"path '{shown}': holds half a character") from None
    raise ConfigError(f"path '{shown}': there is no such home") from None
  reason = ""
  if not text:
    reason = "is empty"
  elif "\0" in text:
    reason = "no path holds a zero byte"
  elif len(os.fsencode(expanded)) > LONGEST_PATH:
    reason = f"has more than {LONGEST_PATH} bytes"
  elif any(len(os.fsencode(part)) > LONGEST_NAME for part in expanded.parts):
    reason = f"a name has at most {LONGEST_NAME} bytes"
  if reason:
    raise ConfigError(f"path '{shown}': {reason}")
  return expanded
