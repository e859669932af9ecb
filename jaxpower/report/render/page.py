"""The whole report as one page that needs nothing but itself.

Light or dark as the reader's machine prefers; no script, no font, no image
from elsewhere. Everything that comes from a record is escaped.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.findings import Section, Table
from jaxpower.wording import value

STYLE = """
:root { color-scheme: light dark; --ink: #24282e; --soft: #5d646e;
  --paper: #fcfcfb; --line: #e2e4e8; --band: #f3f4f6; --card: #ffffff;
  --alarm: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --soft: #9aa2ad;
  --paper: #16181c; --line: #30343b; --band: #1e2127; --card: #ffffff;
  --alarm: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 3rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.75rem 0 .75rem; }
p { max-width: 44rem; margin: .6rem 0; }
.lead { font-size: 1.15rem; line-height: 1.5; margin: 1.25rem 0; }
.soft, .notes, figcaption, caption { color: var(--soft); font-size: .875rem; }
.warning { color: var(--alarm); font-weight: 600; }
.notes { padding-left: 1.1rem; max-width: 44rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  font-size: .925rem; }
th, td { text-align: left; padding: .4rem 1.4rem .4rem 0; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); white-space: normal;
  vertical-align: bottom; }
tbody tr:hover { background: var(--band); }
figure { margin: 1.5rem 0 0; }
figure svg { display: block; width: 100%; height: auto; max-width: 60rem;
  background: var(--card); border-radius: 8px; padding: .5rem; }
figcaption { margin-top: .4rem; max-width: 44rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.4rem;
  font-size: .925rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
a { color: inherit; }
@media (max-width: 34rem) { dl { display: block; } dt { margin-top: .6rem; } }
"""


CAPTIONS = {
  "energy_accuracy": (
    "Test accuracy over the {joules} of training. The bold line of a setting"
    " is the trial of its median energy; it ends filled where the target was"
    " reached, open where it was missed."
  ),
  "pareto": (
    "Left: the best median accuracy of each setting within so many {joules}."
    " Right: median {joules} and seconds to the target; open with an arrow: a"
    " lower bound. Coloured settings are on the front: no other one is better"
    " in both."
  ),
}

RECORDS = ("records.jsonl", "trials.csv", "summary.csv")


def page(
  name: str,
  parts: Sequence[tuple[str, str, Sequence[Table], Sequence[str]]],
  comparisons: Sequence[Comparison],
  figures: Mapping[str, bytes],
  sections: Sequence[Section] = (),
  notes: Sequence[str] = (),
) -> str:
  """One self-contained HTML page.

  `parts` are heading, sentence, tables and further lines of each comparison;
  `figures` are SVG files by name.
  """
  heading = f"What {name} cost" if name else "What it cost"
  trials = [r for c in comparisons for g in c.groups for r in g.records]
  estimated = any(c.estimated for c in comparisons)
  joules = "estimated joules" if estimated else "joules"
  body = [
    f"<h1>{escape(heading)}</h1>",
    _paragraph(_goal(comparisons, len(trials)), "soft"),
    *(_paragraph(note) for note in notes),
    *(_part(*part) for part in parts),
    *(
      _figure(index, name, svg, joules)
      for index, (name, svg) in enumerate(figures.items())
    ),
    *map(_section, sections),
    "<h2>What was measured, and what not</h2>",
    _facts(_measured(trials)),
    "<h2>Machine and versions</h2>",
    _facts(_provenance(trials)),
    "<h2>Records</h2>",
    "<p>Every number above follows from "
    + ", ".join(f'<a href="{file}">{file}</a>' for file in RECORDS)
    + " beside this page.</p>",
  ]
  return "\n".join(
    (
      "<!DOCTYPE html>",
      '<html lang="en">',
      "<head>",
      '<meta charset="utf-8">',
      '<meta name="viewport" content="width=device-width, initial-scale=1">',
      f"<title>{escape(heading)}</title>",
      f"<style>{STYLE}</style>",
      "</head>",
      "<body><main>",
      *filter(None, body),
      "</main></body>",
      "</html>",
      "",
    )
  )


def _part(
  heading: str, said: str, shown: Sequence[Table], lines: Sequence[str]
) -> str:
  told = [f"<h2>{escape(heading)}</h2>"] if heading else []
  told.append(_paragraph(said, "lead"))
  told += map(_table, shown)
  told += map(_paragraph, lines)
  return "\n".join(told)


def _section(section: Section) -> str:
  alarms = [_paragraph(f"WARNING: {w}", "warning") for w in section.warnings]
  told = _part("", "", section.tables, section.lines)
  return "\n".join((f"<h2>{escape(section.title)}</h2>", *alarms, told))


def _table(shown: Table) -> str:
  head = "".join(f'<th scope="col">{escape(c)}</th>' for c in shown.columns)
  rows = "\n".join(
    f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
    for row in shown.rows
  )
  notes = "".join(f"<li>{escape(note)}</li>" for note in shown.notes)
  return (
    f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
    f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    + (f'\n<ul class="notes">{notes}</ul>' if notes else "")
  )


def _figure(index: int, name: str, svg: bytes, joules: str) -> str:
  caption = CAPTIONS.get(name, "").format(joules=joules)
  return (
    f"<figure>{_inline(svg, f'f{index}-', caption)}"
    f"<figcaption>{escape(caption)}</figcaption></figure>"
  )


def _inline(svg: bytes, prefix: str, caption: str) -> str:
  """An SVG file as part of a page: no prolog, ids that are its own."""
  text = svg.decode()
  text = text[text.index("<svg") :]
  text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
  text = re.sub(r'\bid="', f'id="{prefix}', text)
  text = re.sub(r'(href="|url\()#', rf"\g<1>#{prefix}", text)
  label = escape(caption, quote=True)
  return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _paragraph(text: str, kind: str = "") -> str:
  if not text:
    return ""
  return (
    f'<p class="{kind}">{escape(text)}</p>'
    if kind
    else f"<p>{escape(text)}</p>"
  )


def _facts(facts: Mapping[str, str]) -> str:
  rows = (
    f"<dt>{escape(key)}</dt><dd>{escape(told)}</dd>"
    for key, told in facts.items()
    if told
  )
  return f"<dl>{''.join(rows)}</dl>"


def _goal(comparisons: Sequence[Comparison], trials: int) -> str:
  if not comparisons:
    return "No trial is recorded yet."
  goals = dict.fromkeys(
    f"{c.data or 'unknown data'} to {c.goal}" for c in comparisons
  )
  count = "1 trial" if trials == 1 else f"{trials} trials"
  return f"{count}: {', '.join(goals)} test accuracy, fixed before the sweep."


def _measured(trials: Sequence[TrialRecord]) -> dict[str, str]:
  domains: dict[str, str] = {}
  for trial in trials:
    for domain in trial.meter.get("domains", ()):
      modelled = domain.get("estimated")
      domains[str(domain.get("domain", "unknown"))] = (
        "estimated, not measured" if modelled else "measured"
      ) + (f" ({domain['kind']})" if domain.get("kind") else "")
  reasons = dict.fromkeys(r for trial in trials for r in trial.reasons)
  warnings = dict.fromkeys(w for trial in trials for w in trial.warnings)
  seen = sum(trial.partial for trial in trials)
  return {
    **domains,
    "counted": "the train phase until the first evaluation that met the target;"
    " the notes of the table give it with compiling, with evaluation and less"
    " idle energy",
    "not counted": "power supplies, fans, network and whatever stands outside"
    " the domains above",
    "seen in part": f"{seen} of {len(trials)} trials" if seen else "",
    "unknown": "; ".join(reasons),
    "warnings": "; ".join(warnings),
  }


def _provenance(trials: Sequence[TrialRecord]) -> dict[str, str]:
  """Each fact with all the values the trials give it."""
  found: dict[str, dict[str, None]] = {}
  for trial in trials:
    for key, item in _flat(trial.provenance):
      if item not in (None, "", [], {}):
        found.setdefault(key, {})[_short(item)] = None
  return {
    key.replace("_", " "): "; ".join(values)
    if len(values) <= 3
    else f"{len(values)} different values, see records.jsonl"
    for key, values in found.items()
  }


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
  flat = []
  for key, item in facts.items():
    if isinstance(item, Mapping):
      flat += _flat(item, f"{prefix}{key} ")
    else:
      flat.append((f"{prefix}{key}", item))
  return flat


def _short(item: Any) -> str:
  if isinstance(item, list | tuple) and all(isinstance(x, str) for x in item):
    return " ".join(item)
  return value(item)
