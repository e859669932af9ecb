"""Which setting was cheapest, by how much, and how sure is that?

The first question of every report, asked of each comparison: the table of its
settings, the verdict in two sentences and how sure it is, and the figures.
"""

from jaxpower.report.compare.comparison import Compared
from jaxpower.report.findings import Section
from jaxpower.report.given import Given
from jaxpower.report.questions.cheapest.values import find
from jaxpower.report.questions.cheapest.words import tell, with_figures

PLACE = 10


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers for each comparison; the first section has the figures."""
  sections = [tell(verdict) for verdict in find(compared)]
  return (*with_figures(sections[:1], compared.comparisons), *sections[1:])
