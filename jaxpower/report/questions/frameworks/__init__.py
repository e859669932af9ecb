"""What did the same training cost in each framework, and where did it go?

Ratios are made between trials of the same config in the same comparison
(`compare.same_config`), with intervals that hold for all of them at once. What
they cost to the target is told apart into how much they trained, examples, and
what an example cost. Where the first framework and another ran the same
config in different places, a warning says what differed, since rows beside each
other look comparable.
"""

from jaxpower.report.compare.comparison import Compared
from jaxpower.report.findings import Section
from jaxpower.report.given import Given
from jaxpower.report.questions.frameworks.values import find
from jaxpower.report.questions.frameworks.words import tell

PLACE = 30


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers with one section; with none where there is but one framework."""
  side_by_side = find(compared)
  return () if side_by_side is None else (tell(side_by_side),)
