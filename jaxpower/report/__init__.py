"""Tables, figures and sentences from records; nothing here trains."""

from jaxpower.report.findings import Report
from jaxpower.report.render.terminal import show
from jaxpower.report.report import make, write

__all__ = ["Report", "make", "show", "write"]
