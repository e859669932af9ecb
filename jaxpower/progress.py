"""What a sweep shows while it runs: live on a terminal, a line a trial else."""

import pathlib
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from jaxpower.config import Trial
from jaxpower.messages import Progress, Ready
from jaxpower.records import TrialRecord
from jaxpower.report.labels import label
from jaxpower.report.units import joules, seconds
from jaxpower.sweep import Plan, expected_seconds
