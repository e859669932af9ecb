"""What does a model spend and emit, from first weight to last inference?

Answered where assumptions are given, such as how often the model will be
trained and used. Joules stay as they were measured; kWh and grams that follow
from an assumption have columns of their own, and what is not given is not
counted.
"""

from jaxpower.report.compare.comparison import Compared
from jaxpower.report.findings import Section
from jaxpower.report.given import Given
from jaxpower.report.questions.lifecycle.values import find
from jaxpower.report.questions.lifecycle.words import tell

PLACE = 70


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers where assumptions are given."""
  return (tell(find(compared, given)),) if given.assumptions else ()
