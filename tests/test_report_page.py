"""One page that needs nothing but itself, and believes nothing it is told."""

import copy
import re
from html.parser import HTMLParser

import pytest
from report_records import GPU, devices, grid, meter, modelled, record, seeds

from jaxpower import report
from jaxpower.report.render.page import choice

VOID = {"input", "meta"}
GRID = {
  (64, 1e-3): (395.0, 400.0),
  (64, 1e-2): (198.0, 200.0),
  (256, 1e-3): (800.0, 810.0),
  (256, 1e-2): (295.0, 300.0),
}


class Reader(HTMLParser):
  """Notes what a page holds and whether its tags are closed in order."""

  def __init__(self, text: str) -> None:
    super().__init__()
    self.open: list[str] = []
    self.seen: list[str] = []
    self.ids: list[str] = []
    self.links: list[str] = []
    self.words: list[str] = []
    self.drawn: list[str] = []  # words of figures
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self._note(tag, dict(attrs))
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self._note(tag, dict(attrs))

  def handle_endtag(self, tag):
    if tag not in VOID:
      assert self.open.pop() == tag

  def handle_data(self, data):
    if "svg" in self.open:
      self.drawn.append(data.strip())
    elif not {"script", "style"} & set(self.open):
      self.words.append(data.strip())

  def _note(self, tag, facts):
    self.seen.append(tag)
    self.ids += filter(None, [facts.get("id")])
    self.links += [
      link
      for key in ("href", "src", "xlink:href")
      if (link := facts.get(key)) and not link.startswith("#")
    ]

  @property
  def text(self) -> str:
    return " ".join(filter(None, self.words))


def page(folder, trials, sweep=None) -> str:
  report.write(folder, sweep or {}, trials)
  return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> str:
  sweep = {"config": {"name": "batch_learning_rate"}}
  return page(tmp_path_factory.mktemp("run"), grid(GRID), sweep)


def test_tags_are_closed_and_ids_are_of_one_thing(whole):
  read = Reader(whole)
  assert read.open == []
  assert len(read.ids) == len(set(read.ids))
  # Six figures, each for a wide screen and for a phone.
  assert read.seen.count("svg") == 12


def test_nothing_is_fetched(whole):
  read = Reader(whole)
  assert not {"link", "iframe", "image", "img"} & set(read.seen)
  assert not re.search(r"<script[^>]* src=|fetch\(|XMLHttp|import\(", whole)
  assert read.links == ["records", "trials.csv", "summary.csv"]
  assert not re.search(r"url\((?!#)|@import", whole)


def test_references_inside_a_figure_lead_somewhere(whole):
  wanted = re.findall(r"url\(#([^)]+)\)", whole)
  wanted += re.findall(r'href="#([^"]+)"', whole)
  assert wanted
  assert set(wanted) <= set(Reader(whole).ids)


def test_a_figure_has_its_caption_for_who_does_not_see_it(whole):
  captions = re.findall(r'<figcaption id="([^"]+)">(\w+)', whole)
  assert captions == [
    ("caption-cost", "What"),
    ("caption-energy_accuracy", "Accuracy"),
    ("caption-pareto", "First"),
    ("caption-heat_map", "What"),
    ("caption-importance", "How"),
    ("caption-phases", "The"),
  ]
  labelled = re.findall(r'aria-labelledby="([^"]+)"', whole)
  assert labelled == [name for name, _ in captions for _ in range(2)]


def test_words_of_figures_are_words_and_colours_are_the_pages(whole):
  read = Reader(whole)
  assert "Joules of training to 80 %" in read.drawn
  used = set(re.findall(r"var\(--(c[0-9a-f]{6}),", whole))
  light, dark = (
    set(re.findall(r"--(c[0-9a-f]{6}):", part))
    for part in re.split(r"@media screen and \(prefers", whole)[:2]
  )
  assert used and used == light == dark


def test_it_says_all_that_the_terminal_says(tmp_path, whole):
  made = report.make(grid(GRID))
  read = Reader(whole)
  assert [section.title for section in made.sections] == [
    "",
    "Importance of the fields",
    "Energy by phase",
  ]
  for section in made.sections:
    assert section.lead in read.words
    assert all(point in read.words for point in section.sure)
    for table in section.tables:
      for row in (table.columns, *table.rows, table.notes):
        assert all(cell in read.words for cell in row if cell)
    assert all(line in read.words for line in section.lines)


def test_the_cheapest_row_stands_out(whole):
  rows = re.findall(r'<tr class="best">(.*?)</tr>', whole)
  assert len(rows) == 1
  assert re.findall(r"<td>(.*?)</td>", rows[0])[:2] == ["64", "0.01"]


def test_machine_and_meter_are_named(tmp_path):
  estimated = meter("cpu-estimate", "cpu", estimated=True)
  trials = [
    record(64, 0, 200, estimated=True, meter=estimated),
    record(
      64,
      1,
      210,
      estimated=True,
      meter=estimated,
      warnings=("hot; mend: cool", "busy 70 %", "busy 80 %", "busy 9.5 %"),
    ),
  ]
  text = Reader(page(tmp_path, trials)).text
  assert "cpu-estimate estimated, not measured (cpu)" in text
  assert "host gpu-node-07 cpu AMD EPYC 9654" in text
  assert "warnings hot; fix: cool; busy 70 % (2 more like it)" in text
  assert "over the estimated energy of training" in text


def test_many_boards_are_named_by_the_first_and_their_number(tmp_path):
  uuids = [f"GPU-{board}" for board in range(8)]
  trials = [
    record(
      seed=board,
      joules_by_domain={uuid: 212.0},
      meter=meter(uuid, "gpu"),
      provenance=devices(uuid),
    )
    for board, uuid in enumerate(uuids)
  ]
  report.write(tmp_path, {}, trials)
  page = (tmp_path / "report.html").read_text()
  assert "<dt>GPU-0 and 7 others, see the records</dt>" in page
  assert "8 different values, see the records" in page  # devices
  assert "8 boards of NVIDIA H200" in page
  report.write(tmp_path, {}, trials[:2])
  page = (tmp_path / "report.html").read_text()
  assert "<dd>NVIDIA H200 GPU-0; NVIDIA H200 GPU-1</dd>" in page


def test_the_page_says_of_what_an_estimate_is_and_by_whose_watts(tmp_path):
  described = modelled()
  assumed = described["domains"][0]["assumptions"]
  assumed |= {"counts": "CPU time of this process and its children"}
  old = record(64, 0, estimated=True, meter=copy.deepcopy(described))
  old.meter["domains"][0]["assumptions"]["reason"] = "makers say so"
  assumed |= {"covers": "the whole server", "family": "Zen", "source": "CCF"}
  new = record(64, 0, estimated=True, meter=described)
  mark = "estimated, not measured (cpu); CPU time of this process and its"
  text = Reader(page(tmp_path, [new])).text
  assert (
    f"{mark} children; the whole server; watts of CPU family Zen, CCF" in text
  )
  assert "not counted network and everything outside" in text
  text = Reader(page(tmp_path, [old])).text
  assert f"{mark} children; makers say so" in text
  assert "not counted power supplies, fans, network and everything" in text


def test_measured_joules_are_not_called_estimated(whole):
  assert "stimated" not in Reader(whole).text
  assert f"{GPU} measured (gpu)" in Reader(whole).text


def test_everything_from_a_record_is_escaped(tmp_path):
  evil = '<script>alert("&")</script>'
  trials = [
    record(
      64,
      0,
      None,
      varied={"optimizer.name": evil, evil: evil},
      reasons=(evil,),
      warnings=(evil,),
      provenance={"host": evil, evil: [evil]},
      config={"data": evil},
      meter={"domains": [{"domain": evil, "kind": evil}]},
    ),
    *seeds(64, 9, varied={"optimizer.name": "adam", evil: 1}),
  ]
  text = page(tmp_path, trials, {"config": {"name": evil}})
  read = Reader(text)
  # The page's own: what sorts, and perhaps the numbers of the sliders.
  assert read.seen.count("script") <= 2
  assert "<script>alert" not in text
  assert evil in read.text
  assert any(evil in word for word in read.drawn)


def test_marks_that_turn_text_round_are_seen(tmp_path):
  turned = seeds(64, 9, varied={"optimizer.name": "evil\u202egnp.exe"})
  text = page(tmp_path, turned)
  assert "\u202e" not in text
  assert "evil\\u202egnp.exe" in Reader(text).words


def test_no_records_make_a_page_too(tmp_path):
  read = Reader(page(tmp_path, []))
  assert "No trial is recorded yet." in read.text


def test_a_long_cell_may_break_and_a_number_may_not(tmp_path):
  long = "a name of an optimizer that fills more than one line of a column"
  text = page(tmp_path, seeds(64, 9, 10, varied={"optimizer.name": long}))
  assert f'<td class="long">{long}</td>' in text
  # In the table of settings once, in that of the trials for each of them.
  assert text.count('class="long"') == 3


def test_the_page_says_what_was_trained_and_holds_every_trial(tmp_path):
  trials = [*seeds(64, 204, 221), record(256, 0, -655)]
  read = Reader(page(tmp_path, trials))
  assert "The experiment model" in read.text
  assert "optimizer adam" in read.text
  for trial in trials:
    assert trial.trial_id in read.words
  assert "missed" in read.words


def test_examples_that_are_not_known_are_called_so(tmp_path):
  read = Reader(
    page(tmp_path, [*seeds(64, 204), record(64, 1, status="failed")])
  )
  assert "None" not in read.words
  assert "unknown" in read.words


def test_sliders_choose_among_settings_whose_numbers_are_known(tmp_path):
  trials = [
    record(batch, seed, joules + seed, test_accuracy=accuracy)
    for batch, joules, accuracy in (
      (16, 200, 0.8),
      (64, 100, 0.7),
      (256, 300, 0.9),
    )
    for seed in (0, 1)
  ]
  compared = report.make(trials).compared.comparisons
  rows = choice(compared)
  assert [row["accuracy"] for row in rows] == pytest.approx([0.8, 0.7, 0.9])
  assert [row["name"] for row in rows] == ["batch 16", "batch 64", "batch 256"]
  cost = compared[0].groups[0].joules
  assert cost is not None and rows[0]["joules"] == cost.value
  assert choice(report.make(trials[:4]).compared.comparisons) == []
  assert 'id="choice"' in page(tmp_path, trials)
