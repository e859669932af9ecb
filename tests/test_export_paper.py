"""What a paper says of its compute: from records, nothing beyond them."""

import dataclasses

import committed
import pytest
from report_records import GPU, meter, modelled, record, seeds

from jaxpower.export import ExportError, paper
from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.compare.costs import all_phases
from jaxpower.wording import number, quantity

METER = meter(GPU, "gpu")["domains"]


def words(text: str) -> str:
  return " ".join(text.split())


def test_a_paragraph_of_a_real_sweep():
  compared = committed.compared("batch")
  text = words(" ".join(paper.paragraph(compared)))
  joules = sum(all_phases(r) or 0.0 for r in committed.records("batch"))
  assert "We trained cnn on fashion_mnist_6k with JAX 0.10.2" in text
  assert "12 trials at 4 settings, varying batch (16, 64, 256, 1024)" in text
  assert (
    f"the 12 recorded trials took {quantity(joules, 'J')} estimated"
    f" ({number(joules / 3.6e6)} kWh)" in text
  )
  assert (
    "Of 12 trials 0 missed the target within their budget, 0 diverged and 0"
    " failed." in text
  )
  assert "Energy was estimated by jaxpower 0.1.0: CPU by model; GPU and" in text
  assert "GPU and memory not counted" in text
  assert "CPU time counts 4.00 W for a busy core and 1.00 W for an idle" in text
  assert "was cheapest" in text and "more seeds" not in text


def test_a_model_says_what_it_covers():
  text = words(paper.text(committed.compared("frameworks_ten_seeds")))
  assert "covers the whole server at the wall" in text
  assert "(Cloud Carbon Footprint" in text and "not counted" not in text


def test_misses_failures_and_partial_trials_are_counted():
  trials = [*seeds(64, 200.0, -300.0), record(64, 2, status="failed")]
  text = words(" ".join(paper.paragraph(compare_all(trials))))
  assert "1 missed the target within their budget, 0 diverged and 1 fai" in text
  assert "The meter saw 1 of them only in part." in text
  # The failed trial spent what nobody knows.
  assert "took at least 520 J (" in text


def test_unknown_energy_is_not_a_number():
  trials = [record(64, joules=None, joules_by_phase={})]
  text = words(" ".join(paper.paragraph(compare_all(trials))))
  assert "took an unknown amount of energy" in text


def test_measured_energy_is_called_measured():
  text = paper.text(compare_all(seeds(64, 200.0, 210.0)))
  assert "measured by jaxpower: GPU by" in words(text)
  assert "estimated" not in text
  mixed = record(64, meter={"domains": [*METER, *modelled()["domains"]]})
  mixed = dataclasses.replace(
    mixed, joules_by_domain={GPU: 1.0, "cpu-estimate": 1.0}
  )
  assert "measured and estimated" in paper.text(compare_all([mixed]))
  trials = seeds(64, 200.0, meter=modelled(), estimated=True)
  assert "estimated" in paper.text(compare_all(trials))


def test_checklists_have_compute_parameters_and_error_bars():
  lists = paper.checklists(committed.compared("batch"))
  assert [name.partition(",")[0] for name in lists] == [
    paper.NEURIPS,
    paper.NEURIPS,
    paper.ACL,
    paper.ACL,
  ]
  statistics, compute, acl, _ = map(" ".join, lists.values())
  assert "95 % interval over 3 seeds" in statistics
  assert "A trial took 2 s to 7 s." in compute
  assert "They ran on AMD EPYC, 2 cores." in compute
  assert "105,866 parameters" in acl


def test_one_seed_has_no_error_bar():
  lists = paper.checklists(compare_all(seeds(64, 200.0)))
  assert "there is no error bar" in " ".join(next(iter(lists.values())))


def test_what_no_record_knows_is_listed_and_lines_fit():
  text = paper.text(committed.compared("batch"))
  assert "No record knows: experiments of the project" in words(text)
  assert max(map(len, text.splitlines())) <= paper.WIDTH


def test_a_name_cannot_act_upon_a_terminal():
  trials = seeds(64, 200.0, varied={"model.name": "a\x1b[2Jb"})
  assert "\x1b" not in paper.text(compare_all(trials))


def test_no_trial_is_refused():
  with pytest.raises(ExportError, match="no trial"):
    paper.text(compare_all([]))
