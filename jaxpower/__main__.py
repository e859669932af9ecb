"""Runs `python -m jaxpower measure|doctor|watch`."""

import sys

from jaxpower.cli.main import main

if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
