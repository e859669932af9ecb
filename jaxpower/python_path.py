"""Where a Python that is started here looks for modules."""

import os
import pathlib
from collections.abc import Mapping

NAME = "PYTHONPATH"
PACKAGE = pathlib.Path(__file__).parents[1]  # the folder that holds jaxpower


def of_child(variables: Mapping[str, str]) -> dict[str, str]:
  """Returns the variable by which a child finds this package, and what it may.

  The package comes first, so that no other version of it is taken, and where it
  is not installed it is found. An empty entry is the current folder for Python,
  from which no child imports: it is left out.
  """
  given = variables.get(NAME, "").split(os.pathsep)
  return {NAME: os.pathsep.join(filter(None, [str(PACKAGE), *given]))}
