import pathlib

import pytest

from jaxpower.power import Monitor, estimate
from jaxpower.power.cpu_time import usable_cores
from jaxpower.power.estimate import EstimateSource
from jaxpower.power.rapl import RaplSource
from jaxpower.power.shared import SHARED_BY, SharedSource, divided
from jaxpower.power.simulated import SimulatedSource


def powercap(root: pathlib.Path) -> pathlib.Path:
  zone = root / "intel-rapl:0"
  zone.mkdir()
  (zone / "name").write_text("package-0\n")
  (zone / "max_energy_range_uj").write_text("262143328850\n")
  (zone / "energy_uj").write_text("1000000\n")
  return zone


def test_a_trial_is_billed_its_part_of_a_package(
  tmp_path: pathlib.Path,
) -> None:
  zone = powercap(tmp_path)
  (source,) = divided([RaplSource(tmp_path)], at_once=4)
  assert isinstance(source, SharedSource)
  (domain,) = source.domains
  assert (domain.name, domain.estimated, domain.counted) == (
    "cpu-0",
    True,
    True,
  )
  assert "4 trials at once share" in domain.description
  assert domain.max_watts == 500.0
  (before,) = source.read()
  (zone / "energy_uj").write_text("9000000\n")
  (after,) = source.read()
  assert before.joules is not None and after.joules is not None
  assert after.joules - before.joules == pytest.approx(8.0 / 4)
  assert source.describe()[SHARED_BY] == 4
  (zone / "energy_uj").write_text("nothing\n")
  (unread,) = source.read()
  assert unread.joules is None, "unknown is never zero"
  source.close()


def test_idle_cores_are_divided_where_they_are_nobodys_own() -> None:
  whole = EstimateSource()
  (part,) = divided([whole], at_once=4)
  (own,) = divided([whole], at_once=4, own_cores=True)
  assert own is whole
  assert isinstance(part, EstimateSource)
  assert part.model.idle_watts_per_core == pytest.approx(
    whole.model.idle_watts_per_core / 4
  )
  assert part.model.busy_watts_per_core == whole.model.busy_watts_per_core
  assert part.model.cores == usable_cores()


def test_a_gpu_is_a_trials_own_and_so_is_all_where_it_is_alone(
  tmp_path: pathlib.Path,
) -> None:
  powercap(tmp_path)
  rapl, gpu = RaplSource(tmp_path), SimulatedSource(200.0)
  assert divided([gpu], at_once=4) == [gpu]
  assert divided([rapl, gpu], at_once=1) == [rapl, gpu]
  rapl.close()


def test_a_monitor_divides_what_it_opened() -> None:
  with Monitor("estimate", at_once=2) as monitor:
    facts = monitor.describe()
  (domain,) = facts["domains"]
  alone = estimate.cpu_model(estimate.read_cpu(), usable_cores())
  assert domain["assumptions"]["idle_watts_per_core"] == pytest.approx(
    alone.idle_watts_per_core / 2
  )


def test_idle_cores_that_a_job_leaves_unused_are_its_own() -> None:
  whole = EstimateSource()
  (wide,) = divided([whole], at_once=1, cores=7)
  assert isinstance(wide, EstimateSource)
  assert wide.model.cores == 7
  (part,) = divided([whole], at_once=2, cores=7)
  assert isinstance(part, EstimateSource)
  assert (part.model.cores, part.model.idle_watts_per_core) == (
    7,
    whole.model.idle_watts_per_core / 2,
  )
  assert divided([whole], at_once=1, cores=usable_cores()) == [whole]
