"""Looks every installed package up among published vulnerabilities.

  python scripts/audit.py [--least=60]

Asks the index that pip is set to for each package and version, as pip-audit
does, and counts what was answered. Asked first is a version known to be
vulnerable: an index that knows nothing of that one, such as a mirror, proves
nothing of the others. Exit code 0: at least so many packages were looked up
and none is vulnerable; or no index knows advisories, which is said as NOT
AUDITED; 1: one is vulnerable; 3: fewer were looked up.
"""

import concurrent.futures
import importlib.metadata
import json
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags

from jaxpower.cli.script import refuse, run
from jaxpower.wording import on_one_line

LEAST = flags.DEFINE_integer("least", 60, "")
ANSWER_SECONDS = 10.0  # for each package; chosen
AT_ONCE = 8  # requests; chosen
LONGEST_SUMMARY = 80  # characters of an advisory; chosen
OWN = {"jaxpower"}
# Overflows on crafted images, CVE-2022-22817 and others, were fixed in 9.0.1.
VULNERABLE = ("pillow", "9.0.0")
NOT_AUDITED = (
  "NOT AUDITED: the index of pip knows no advisories, or is not there"
)


def installed() -> dict[str, str]:
  """Maps the name of each installed package to its version."""
  found = {
    str(each.metadata["Name"]).lower(): each.version
    for each in importlib.metadata.distributions()
  }
  return {name: found[name] for name in sorted(found.keys() - OWN)}


def index() -> str:
  """Returns the root of the index that pip is set to."""
  asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
  done = subprocess.run(asked, capture_output=True, text=True)
  url = os.environ.get("PIP_INDEX_URL") or done.stdout.strip()
  if not url:
    from pip._internal.models.index import PyPI  # what pip asks by default

    url = PyPI.simple_url
  return url.rstrip("/").removesuffix("/simple")


def look_up(root: str, name: str, version: str) -> list[str] | None:
  """Returns what is known against a version; None where nobody says."""
  import requests

  quoted = map(urllib.parse.quote, (name, version))
  try:
    url = f"{root}/pypi/{'/'.join(quoted)}/json"
    answer = requests.get(url, timeout=ANSWER_SECONDS)
    if not answer.ok:
      return None
    return advisories(answer.json())
  except (requests.RequestException, json.JSONDecodeError):
    return None


def advisories(answer: Any) -> list[str] | None:
  """Reads the advisories of a version; None where the index keeps none.

  Those that were withdrawn are left out.
  """
  listed = answer.get("vulnerabilities") if isinstance(answer, dict) else None
  if not isinstance(listed, list):
    return None
  return [
    f"{each.get('id')}: {str(each.get('summary') or '')[:LONGEST_SUMMARY]}"
    for each in listed
    if isinstance(each, dict) and not each.get("withdrawn")
  ]


def verdict(
  found: Iterable[tuple[str, list[str] | None]], least: int
) -> tuple[int, str]:
  """Judges what was found of each package; the exit code and a line."""
  found = list(found)
  known = {name: lines for name, lines in found if lines is not None}
  against = {name: lines for name, lines in known.items() if lines}
  if against:
    named = "; ".join(
      f"{name} {', '.join(lines)}" for name, lines in against.items()
    )
    return 1, f"vulnerable: {named}"
  if len(known) < least:
    return 3, (
      f"only {len(known)} of {len(found)} packages could be looked up, fewer"
      f" than {least}: this says nothing of the others"
    )
  return 0, f"audited {len(known)} of {len(found)} packages: none is vulnerable"


def main(arguments: Sequence[str]) -> int:
  """Prints one line; returns the exit code."""
  if arguments[1:]:
    refuse(f"unexpected argument {arguments[1]!r}")
  packages, root = installed(), index()
  if not look_up(root, *VULNERABLE):
    print(NOT_AUDITED)
    return 0
  with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
    found = threads.map(lambda item: look_up(root, *item), packages.items())
    code, line = verdict(zip(packages, found, strict=True), LEAST.value)
  print(on_one_line(line))
  return code


if __name__ == "__main__":
  run(main, __doc__ or "")
