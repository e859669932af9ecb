"""A figure as a part of a page."""

from jaxpower.report.render.figure_style import AS_IS, INK
from jaxpower.report.render.inline_svg import (
  DARK_PAPER,
  contrast,
  inline,
  on_dark,
)

FILE = f"""<?xml version="1.0" encoding="utf-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="10pt" viewBox="0 0 10 10"
  xmlns:xlink="http://www.w3.org/1999/xlink">
<metadata>made today</metadata>
<defs><style type="text/css">*{{stroke-linejoin: round}}</style></defs>
<g id="axes_1"><path id="m1" d="M 0 0" style="stroke: {INK}"/></g>
<g id="{AS_IS}-1"><path d="M 0 0" style="fill: #0072b2"/></g>
<use xlink:href="#m1" style="clip-path: url(#c1); fill: #440154"/>
<text style="font: 10px sans-serif">&lt;script&gt;alert(1)&lt;/script&gt;</text>
<clipPath id="c1"/></svg>""".encode()


def made():
  return inline(FILE, "cost-wide", "caption-cost")


def test_ids_are_the_figures_own_and_only_those_that_are_needed():
  svg, _ = made()
  assert 'id="cost-wide-m1"' in svg and 'href="#cost-wide-m1"' in svg
  assert 'id="cost-wide-c1"' in svg and "url(#cost-wide-c1)" in svg
  assert "axes_1" not in svg and AS_IS not in svg


def test_nothing_in_it_is_the_pages():
  svg, _ = made()
  assert "<style" not in svg and "metadata" not in svg and "xmlns" not in svg
  assert "stroke-linejoin: round" in svg  # on the figure itself
  assert 'role="img"' in svg and 'aria-labelledby="caption-cost"' in svg


def test_what_no_screen_shows_is_cut_and_equal_marks_share_a_style():
  marks = "".join(
    f'<use xlink:href="#m1" x="{x}.123456" y="1.5" style="fill: #0072b2"/>'
    for x in range(3)
  )
  path = '<path d="M 1.987654 2.5 L -3.100001 4" style="stroke: #0072b2"/>'
  file = FILE.replace(b"<clipPath", f"<g>{marks}</g>{path}<clipPath".encode())
  svg, colors = inline(file, "cost-wide", "caption-cost")
  assert 'd="M 1.98 2.5 L -3.10 4"' in svg
  whole = (
    '<g style="fill: var(--c0072b2, #0072b2)">'
    '<use href="#cost-wide-m1" x="0.12" y="1.5" />'
    '<use href="#cost-wide-m1" x="1.12" y="1.5" />'
    '<use href="#cost-wide-m1" x="2.12" y="1.5" />'
    "</g>"
  )
  assert whole in svg and "#0072b2" in colors


def test_names_are_text():
  svg, _ = made()
  assert "&lt;script&gt;alert(1)&lt;/script&gt;" in svg
  assert "<script" not in svg


def test_colours_are_the_pages_but_of_what_stays_as_it_is():
  svg, colors = made()
  assert colors == {INK, "#440154", "#000000"}
  assert f"stroke: var(--c{INK[1:]}, {INK})" in svg
  assert 'style="fill: #0072b2"' in svg


def test_a_dark_page_shows_every_colour_and_keeps_its_hue():
  for color in (INK, "#440154", "#0072b2", "#d55e00", "#000000", "#1f0c48"):
    assert contrast(on_dark(color), DARK_PAPER) >= 3
  assert on_dark("#ffffff") == DARK_PAPER
  assert on_dark("#e69f00") == "#e69f00"  # which it shows as it is
  red, green, blue = (int(on_dark("#0072b2")[i : i + 2], 16) for i in (1, 3, 5))
  assert red < green < blue


def test_contrast_is_that_of_wcag():
  assert contrast("#000000", "#ffffff") == 21
  assert round(contrast("#767676", "#ffffff"), 2) == 4.54
