"""Tables, figures and sentences from records; nothing here trains."""

from jaxpower.report.write import Report as Report
from jaxpower.report.write import make as make
from jaxpower.report.write import show as show
from jaxpower.report.write import write as write
