"""How do the records compare with results that were measured elsewhere?

A ratio to a reference says something only of the same work: the same data,
model and target. Other work gets no ratio, and the reason why. Where the joules
of one side cover other parts of the machine or other phases of the run, the
other side is counted alike if it can be (a log with the GPU's joules apart, a
record with compiling apart), and else not compared. Whatever else may mislead,
different hardware first of all, is a note beside the ratio and no obstacle: to
compare two machines may be the purpose.
"""

from jaxpower.report.compare.comparison import Compared
from jaxpower.report.findings import Section
from jaxpower.report.given import Given
from jaxpower.report.questions.references.values import find
from jaxpower.report.questions.references.words import tell

PLACE = 60


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers with one section; with none where no reference is given."""
  beside = find(compared, given)
  return (tell(beside),) if beside else ()
