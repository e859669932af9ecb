"""Into which phases the energy went."""

from report_records import meter, record, seeds

from jaxpower.report.charts import Stacks
from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.given import Given
from jaxpower.report.questions.phases import answer, find

CPU = meter("cpu-estimate", "cpu", estimated=True)


def trial(batch, seed, **joules):
  return record(batch, seed, joules["train"], joules_by_phase=joules)


def test_all_trials_are_told_by_phase_the_largest_first():
  trials = [
    trial(64, 0, compile=300.0, train=200.0),
    trial(64, 1, compile=0.0, train=400.0),
    trial(128, 0, compile=0.0, train=99.0, eval=1.0),
  ]
  (section,) = answer(compare_all(trials), Given())
  assert section.lines[0] == (
    "3 trials took 1.00 kJ: train 70 % and compile 30 %."
  )
  (figure,) = section.figures
  (chart,) = figure.panels
  assert isinstance(chart, Stacks)
  assert chart.rows == ("batch 64", "batch 128")
  assert chart.parts == ("compile", "train", "eval")
  assert chart.joules == ((150.0, 300.0, None), (0.0, 99.0, 1.0))


def test_modelled_joules_are_called_estimated():
  trials = seeds(64, 200, 210, estimated=True, meter=CPU)
  (section,) = answer(compare_all(trials), Given())
  assert "J estimated: " in section.lines[0]
  assert "estimated energy" in section.figures[0].caption


def test_unknown_is_not_zero():
  blind = trial(64, 1, train=200.0, eval=None)
  trials = [trial(64, 0, train=200.0, eval=10.0), blind]
  (found,) = find(compare_all(trials))
  assert found.joules == ({"train": 200.0, "eval": None},)
  assert found.unknown == 1
  (section,) = answer(compare_all(trials), Given())
  assert "as far as known (1 in part unknown)" in section.lines[0]


def test_nothing_known_is_no_section():
  trials = [record(64, 0, None, joules_by_phase={})]
  assert answer(compare_all(trials), Given()) == ()
  failed = [record(64, 0, status="failed")]
  assert answer(compare_all(failed), Given()) == ()
