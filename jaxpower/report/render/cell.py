"""Renders a report for a notebook's cell: verdict, table and figure.

A piece of HTML without script or style sheet of its own, since a notebook
shows many; the whole report is the page.
"""

import base64
import html
import pathlib
from collections.abc import Iterator

from jaxpower.report.findings import NOTHING_RECORDED, Report, Section, Table
from jaxpower.report.render import figures
from jaxpower.report.render.figure_style import WIDE
from jaxpower.wording import printable

LEFT = "text-align:left"


def render(report: Report, page: pathlib.Path) -> str:
  """Renders the first answers of a report, and names its page."""
  first = [section for section in report.sections if not section.title]
  shown = first or list(report.sections[:1])
  parts = [part for section in shown for part in _section(section)]
  parts += [_paragraph(note) for note in report.notes]
  others = [s for s in report.sections if s.title and s.lead and s not in shown]
  if others:
    items = (_item(section) for section in others)
    parts.append(f"<ul>{''.join(items)}</ul>")
  if not shown:
    parts.append(_paragraph(NOTHING_RECORDED))
  parts.append(f"<p><small>The whole report: {_text(str(page))}</small></p>")
  return f"<div>{''.join(parts)}</div>"


def _section(section: Section) -> Iterator[str]:
  """Renders a section: what is to be known first, then the evidence."""
  if section.title:
    yield f"<p><b>{_text(section.title)}</b></p>"
  for warning in section.warnings:
    yield f"<p><b>WARNING: {_text(warning)}</b></p>"
  if section.lead:
    yield _paragraph(section.lead)
  if section.sure:
    points = "".join(f"<li>{_text(point)}</li>" for point in section.sure)
    yield f"<ul>{points}</ul>"
  for table in section.tables:
    yield _table(table)
  for figure in section.figures[:1]:
    svg = figures.render(figures.drawing(figure, WIDE), "svg")
    source = base64.b64encode(svg).decode()
    yield (
      f'<img src="data:image/svg+xml;base64,{source}"'
      f' alt="{_text(figure.caption)}" style="max-width:100%">'
    )


def _table(table: Table) -> str:
  head = "".join(
    f'<th scope="col" style="{LEFT}">{_text(name)}</th>'
    for name in table.columns
  )
  rows = "".join(
    "<tr>"
    + "".join(f'<td style="{LEFT}">{_text(cell)}</td>' for cell in row)
    + "</tr>"
    for row in table.rows
  )
  notes = "".join(
    f"<p><small>{_text(note)}</small></p>" for note in table.notes
  )
  return (
    f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"
  )


def _item(section: Section) -> str:
  return f"<li><b>{_text(section.title)}</b>: {_text(section.lead)}</li>"


def _paragraph(text: str) -> str:
  return f"<p>{_text(text)}</p>"


def _text(text: str) -> str:
  """Escapes a text of a record, for HTML and for whoever reads it."""
  return html.escape(printable(text))
