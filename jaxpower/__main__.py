"""Runs `python -m jaxpower`: what the console command `jaxpower` does."""

import sys

from jaxpower.cli import crash
from jaxpower.cli.main import MODULE, main

if __name__ == "__main__":
  sys.exit(crash.guard(MODULE, main, sys.argv[1:]))
