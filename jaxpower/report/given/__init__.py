"""What is given to a report beside records: assumptions, references, files."""

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxpower.report.given.assumptions import Assumption
from jaxpower.report.given.references import Reference


@dataclass(frozen=True)
class Given:
  """References, assumptions of a life cycle by name, timelines by trial."""

  references: tuple[Reference, ...] = ()
  assumptions: Mapping[str, Assumption] = field(default_factory=dict)
  timelines: Mapping[str, pathlib.Path] = field(default_factory=dict)
