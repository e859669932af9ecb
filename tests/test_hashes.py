"""hashes.txt is of the versions that constraints.txt pins."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
PIN = re.compile(r"^([\w.-]+)==(\S+?)(?:\s*;\s*(.*?))?\s*\\?$")


def pins(file: str) -> dict[str, set[str]]:
  """The versions of each package, by its normalised name."""
  found: dict[str, set[str]] = {}
  for line in (ROOT / file).read_text().splitlines():
    if match := PIN.match(line):
      name = re.sub(r"[-_.]+", "-", match[1]).lower()
      found.setdefault(name, set()).add(match[2])
  return found


def test_hashes_are_of_the_pinned_versions() -> None:
  pinned, hashed = pins("constraints.txt"), pins("hashes.txt")
  shared = pinned.keys() & hashed.keys()
  assert {"jax", "numpy", "pytest", "setuptools"} <= shared
  # What constraints.txt pins for one Python alone may be newer on another.
  for name in shared - {"setuptools"}:
    assert hashed[name] == pinned[name], name
  # Windows alone has others, which CI does not run on.
  assert hashed.keys() - pinned.keys() <= {"colorama", "nest-asyncio"}


def test_every_package_has_a_hash() -> None:
  text = (ROOT / "hashes.txt").read_text()
  for block in re.split(r"\n(?=\S)", text.strip()):
    if PIN.match(block.splitlines()[0]):
      assert "--hash=sha256:" in block, block[:80]
