"""Tables, figures and sentences from records; nothing here trains."""

from jaxpower.report.render.terminal import show_report as show
from jaxpower.report.report import Report, make, write

__all__ = ["Report", "make", "show", "write"]
