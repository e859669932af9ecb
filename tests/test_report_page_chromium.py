"""The page in a real browser: what a reader sees, hears and can reach."""

import browser
import pytest
from report_records import meter, record, side

from jaxpower import report

pytestmark = pytest.mark.skipif(
  browser.chromium() is None, reason="no Chromium on this machine"
)
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
WIDTHS = (360, 800, 1600)
# What of a page cannot be scrolled to by keyboard, how many scripts ran that
# are not the page's, which pictures are seen, and what a sorted table is like.
QUESTION = """(document, page) => {
  const scrolls = [...document.querySelectorAll("*")].filter(e =>
    ["auto", "scroll"].includes(page.getComputedStyle(e).overflowX) &&
    e.scrollWidth > e.clientWidth + 1);
  const seen = [...document.querySelectorAll("figure svg")].filter(
    e => e.getBoundingClientRect().width > 0);
  const sizes = seen.flatMap(svg => [...svg.querySelectorAll("text")].map(
    e => e.getBoundingClientRect().height)).filter(h => h > 0);
  const heading = document.querySelector("thead th button");
  heading.focus();
  const focused = document.activeElement === heading;
  heading.click();
  const table = heading.closest("table");
  return {
    unreachable: scrolls.filter(e => e.tabIndex < 0).length,
    images: document.images.length,
    pictures: seen.length,
    figures: document.querySelectorAll("figure").length,
    smallest: Math.min(...sizes),
    paper: page.getComputedStyle(document.body).backgroundColor,
    glaring: seen.filter(svg => page.getComputedStyle(
      svg.querySelector("path")).fill === "rgb(255, 255, 255)").length,
    focused,
    sorted: heading.closest("th").getAttribute("aria-sort"),
    column: [...table.tBodies[0].rows].map(r => r.cells[0].textContent),
  };
}"""


# What the table of all trials and the sliders do when a reader uses them.
USE = """(document, page) => {
  const details = document.querySelector("details");
  details.open = true;
  const table = details.querySelector("table");
  const headings = [...table.tHead.rows[0].cells];
  const seed = headings.findIndex(h => h.textContent.startsWith("seed"));
  const button = headings[seed].querySelector("button");
  if (button) { button.click(); button.click(); }
  const choice = document.getElementById("choice");
  const answers = [];
  if (choice) {
    const [accuracy] = choice.querySelectorAll("input");
    for (const value of [0, 100]) {
      accuracy.value = value;
      accuracy.dispatchEvent(new page.Event("input"));
      answers.push(choice.querySelector(".lead").textContent);
    }
  }
  return {
    ...(%s)(document, page),
    seeds: [...table.tBodies[0].rows].map(r => r.cells[seed].textContent),
    answers,
  };
}"""


def trials(settings, seeds):
  """Trials of two fields and two frameworks, with hostile names."""
  facts = {
    "estimated": True,
    "meter": meter("cpu-estimate", "cpu", estimated=True),
    "warnings": (EVIL,),
  }
  return [
    record(
      batch,
      seed,
      (900.0 + batch) * (1 + 0.01 * seed) * (1 if batch != 3 else -1),
      varied={"batch_size": batch, "model.name": name},
      test_accuracy=0.8 + 0.001 * batch,
      **facts,
    )
    for batch in range(1, settings // 2 + 1)
    for name in ("cnn", EVIL)
    for seed in range(seeds)
  ]


def page(folder, of) -> str:
  report.write(folder, {"config": {"name": EVIL}}, of)
  return (folder / "report.html").read_text()


def check(seen, widths, dark):
  assert [each.width for each in seen] == [*widths]
  for each in seen:
    assert each.content <= each.width, "the page scrolls sideways"
    assert each.violations == []
    assert each.fetched == [] and each.console == []
    found = each.answer
    assert found["unreachable"] == 0 and found["images"] == 0
    assert found["pictures"] == found["figures"] > 3
    # Text of 8 points at least, in a box somewhat higher than its letters.
    assert found["smallest"] >= 9
    assert found["focused"] and found["sorted"] == "ascending"
    assert found["column"] == sorted(found["column"], key=float)
    light = "rgb(255, 255, 255)"
    assert (found["paper"] != light) == dark
    assert not (dark and found["glaring"])


@pytest.mark.parametrize(
  ("dark", "widths"),
  [
    (True, WIDTHS[:1]),
    pytest.param(True, WIDTHS, marks=pytest.mark.proof),
    pytest.param(False, WIDTHS, marks=pytest.mark.proof),
  ],
)
def test_everybody_can_read_the_page(tmp_path, dark, widths):
  text = page(tmp_path, trials(settings=6, seeds=2))
  seen = browser.see(
    text, widths, dark=dark, checker=browser.axe(), question=QUESTION
  )
  check(seen, widths, dark)


@pytest.mark.proof
@pytest.mark.parametrize(
  ("settings", "seeds"), [(2, 1), (4, 3), (40, 5), (100, 10)]
)
def test_a_page_of_any_size_is_read(tmp_path, settings, seeds):
  text = page(tmp_path, trials(settings, seeds))
  assert len(text) < 2_000_000
  # Axe takes half a minute of two hundred trials at one width, and minutes of
  # a thousand, whose rows are like these.
  checker = browser.axe() if settings * seeds <= 200 else ""
  checked = browser.see(text, WIDTHS[:1], checker=checker)
  seen = browser.see(text, WIDTHS, question=USE % QUESTION)
  assert checked[0].violations == [] == checked[0].console
  for each in seen:
    assert each.content <= each.width
    assert each.console == [] == each.fetched
    assert each.answer["unreachable"] == 0
    numbers = [*map(int, each.answer["seeds"])]
    assert len(numbers) == settings * seeds
    assert numbers == sorted(numbers, reverse=True)
    answers = each.answer["answers"]
    assert len(set(answers)) == (2 if settings > 2 else 0), answers


@pytest.mark.proof
def test_a_page_of_frameworks_is_read(tmp_path):
  text = page(tmp_path, side("jax", 90, 95, 99) + side("torch", 180, 190, 200))
  (seen, *_) = browser.see(text, (360,), checker=browser.axe())
  assert seen.violations == [] and seen.content <= seen.width


@pytest.mark.proof
def test_printed_no_table_is_cut(tmp_path):
  """What holds for print is shown on a screen as wide as a sheet of A4."""
  text = page(tmp_path, trials(settings=6, seeds=2))
  assert "@media print" in text
  (seen,) = browser.see(
    text.replace("@media print", "@media screen"),
    (718,),  # 210 mm without margins of 10, at 96 pixels an inch
    question="""(document, page) => ({
      beyond: [...document.querySelectorAll(".scroll")].map(
        e => e.scrollWidth - e.clientWidth),
      shown: document.querySelector("details > :not(summary)").offsetHeight,
    })""",
  )
  assert seen.content <= seen.width
  assert len(seen.answer["beyond"]) > 1
  assert max(seen.answer["beyond"]) <= 0
  assert seen.answer["shown"] > 0
