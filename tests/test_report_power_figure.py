"""Power over time and phases under it; how it looks is for the eye."""

import math

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch

from jaxpower.report.charts import Power, Stretch, Watts
from jaxpower.report.render.figure_style import PHASES
from jaxpower.report.render.power_figure import power

CHART = Power(
  title="Batch 64, seed 0",
  domains=(Watts("GPU-1", (0.0, 1.0, 2.0), (90.0, None)),),
  stretches=(Stretch("compile", 0.0, 0.5), Stretch("train", 0.5, 2.5)),
)


def test_watts_stand_over_their_stretches_and_unknown_is_a_gap():
  upper, _ = power([CHART]).axes
  (stairs,) = [p for p in upper.patches if isinstance(p, StepPatch)]
  values, edges, _ = stairs.get_data()
  assert list(edges) == [0, 1, 2]
  assert values[0] == 90 and math.isnan(values[1])
  assert upper.get_ylabel() == "Watts" and upper.get_ylim()[0] == 0


def test_phases_lie_under_the_same_seconds():
  upper, lower = power([CHART]).axes
  assert upper.get_xlim() == lower.get_xlim() == (0, 2.5)
  spans = [
    (
      *np.sort(
        patch.get_path().get_extents(patch.get_patch_transform()).intervalx
      ),
      to_hex(patch.get_facecolor()),
    )
    for patch in lower.patches
  ]
  assert spans == [
    (0, 0.5, PHASES["compile"]),
    (0.5, 2.5, PHASES["train"]),
  ]


def test_domains_and_phases_are_explained():
  (legend,) = power([CHART]).legends
  words = [text.get_text() for text in legend.get_texts()]
  assert words == ["GPU-1", "compile", "train"]
