"""Prepares a dataset of tensorflow-datasets, once.

`--help` lists the flags; `jaxpower prepare` is the same.
"""

from jaxpower.cli import prepare

if __name__ == "__main__":
  prepare.start("python scripts/prepare_data.py")
