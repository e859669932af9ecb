import pytest

from jaxpower.workers.cores import CORES, MOST_CORES, variables_for


def test_each_core_is_to_be_a_device() -> None:
  assert variables_for(2, {}) == {CORES: "2"}
  assert variables_for(MOST_CORES, {}) == {CORES: str(MOST_CORES)}


@pytest.mark.parametrize("cores", [1, MOST_CORES + 1])
def test_one_core_or_very_many_are_one_device(cores: int) -> None:
  assert variables_for(cores, {}) == {}


@pytest.mark.parametrize(
  "given",
  [
    {"JAX_NUM_CPU_DEVICES": "8"},
    {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
  ],
)
def test_devices_that_were_asked_for_stay(given: dict[str, str]) -> None:
  assert variables_for(2, given) == {}
