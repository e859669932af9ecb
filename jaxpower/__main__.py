"""Runs `python -m jaxpower measure|doctor|watch`."""

import sys

from jaxpower.cli import crash
from jaxpower.cli.main import main

if __name__ == "__main__":
  sys.exit(crash.guard("python -m jaxpower", main, sys.argv[1:]))
