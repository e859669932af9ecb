"""BibTeX says what CITATION.cff says."""

import pathlib
import re

from jaxpower.export import bibtex

CITATION = pathlib.Path(__file__).parent.parent / "CITATION.cff"


def test_both_are_cited():
  text = bibtex.entries("1.2.3")
  assert re.findall(r"^@(\w+)\{(\w+),$", text, re.M) == [
    ("inproceedings", "geissler2024power"),
    ("software", "jaxpower"),
  ]
  assert re.search(r"version = \{1\.2\.3\}", text)
  assert text.count("{") == text.count("}")


def test_a_version_that_is_unknown_is_left_out():
  assert "version" not in bibtex.entries("unknown")


def test_it_agrees_with_citation_cff():
  cff = CITATION.read_text().replace("ß", "{\\ss}")
  assert bibtex.PAPER["title"] in cff and bibtex.SOFTWARE["title"] in cff
  families = re.findall(r"family-names: ([^ }]+(?:\{\\ss\}[^ }]*)?) \}", cff)
  named = [a.split(",")[0] for a in bibtex.PAPER["author"].split(" and ")]
  assert families == named
  assert f"arXiv.{bibtex.PAPER['eprint']}" in cff
  assert f"year: {bibtex.PAPER['year']}" in cff
