"""What a person gives to a report beside records: assumptions, references."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxpower.report.given.assumptions import Assumption
from jaxpower.report.given.references import Reference


@dataclass(frozen=True)
class Given:
  """References, and the assumptions of a life cycle by name."""

  references: tuple[Reference, ...] = ()
  assumptions: Mapping[str, Assumption] = field(default_factory=dict)
