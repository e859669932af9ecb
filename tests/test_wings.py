"""Both wings: of one shape, and with the same room for the same role."""

import inspect
import pathlib

import pytest

from jaxpower.wings import Wing, wing_of

PACKAGE = pathlib.Path(__file__).parent.parent / "jaxpower"
FUNCTIONS = sorted(name for name in vars(Wing) if not name.startswith("_"))
ROLES = {
  "checkpoint",
  "devices",
  "evaluation",
  "features",
  "feed",
  "placement",
  "programs",
  "segment",
  "spec",
  "state",
  "step",
  "wing",
}


@pytest.mark.parametrize("wing", ["learn", "learn_torch"])
def test_the_same_role_has_the_same_room(wing: str) -> None:
  assert {path.stem for path in (PACKAGE / wing).glob("*.py")} >= ROLES


@pytest.mark.parametrize("framework", ["jax", "torch", "torch_compile"])
def test_a_wing_has_all_that_a_trial_asks_for(framework: str) -> None:
  if framework != "jax":
    pytest.importorskip("torch")
  wing = wing_of(framework)
  assert len(FUNCTIONS) == 17
  for name in FUNCTIONS:
    parameters = list(inspect.signature(getattr(Wing, name)).parameters)[1:]
    if name != "wait":  # its argument has no name
      assert (
        list(inspect.signature(getattr(wing, name)).parameters) == parameters
      )


def test_no_other_framework_has_a_wing() -> None:
  with pytest.raises(ValueError, match="no wing is named tensorflow"):
    wing_of("tensorflow")
