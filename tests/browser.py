"""Opens a page in headless Chromium at several widths and asks it questions.

The page stands in frames of those widths, in a page of our own that asks each
frame and writes the answers down; Chromium prints that page when it is done.
"""

import html
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
MILLISECONDS = 20_000  # of virtual time, in which timers need no waiting
SECONDS = 120  # for a busy machine
HEIGHT = 900

# Of each frame: what overflows, what was fetched, what axe finds, and what a
# test asks in JavaScript of the frame's `document`.
ASKING = """
async function ask(frame) {
  const page = frame.contentWindow, document = page.document;
  const root = document.documentElement;
  const script = document.createElement("script");
  script.textContent = AXE;
  if (AXE) document.head.append(script);
  const found = AXE ? await page.axe.run(document) : {violations: []};
  return {
    width: root.clientWidth,
    content: root.scrollWidth,
    fetched: page.performance.getEntriesByType("resource").map(e => e.name),
    violations: found.violations.map(v => ({
      rule: v.id, impact: v.impact,
      nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + " " +
        (n.any[0] || n.all[0] || n.none[0] || {}).message)})),
    answer: QUESTION(document, page),
  };
}
async function main() {
  const answers = [];
  for (const frame of document.querySelectorAll("iframe"))
    try { answers.push(await ask(frame)); }
    catch (error) { answers.push({failed: String(error.stack || error)}); }
  document.getElementById("answers").textContent = JSON.stringify(answers);
}
addEventListener("load", main);
"""


@dataclass(frozen=True)
class Seen:
  """What Chromium saw of a page at one width, and what its console said."""

  width: int
  content: int
  fetched: list[str]
  violations: list[dict[str, Any]]
  answer: Any
  console: list[str]


def chromium() -> str | None:
  """The path of a Chromium, if there is one."""
  return next(filter(None, map(shutil.which, NAMES)), None)


def axe() -> str:
  """The source of axe-core, from a package of it; empty without one."""
  spec = importlib.util.find_spec("axe_core_python")
  if spec is None or spec.origin is None:
    return ""
  return (pathlib.Path(spec.origin).parent / "axe.min.js").read_text()


def see(
  page: str,
  widths: tuple[int, ...],
  *,
  dark: bool = False,
  checker: str = "",
  question: str = "() => null",
) -> list[Seen]:
  """Opens a page at some widths; raises AssertionError if Chromium fails."""
  program = chromium()
  assert program is not None
  source = json.dumps(checker).replace("</", "<\\/")
  asking = f"const AXE = {source}, QUESTION = {question};{ASKING}"
  frames = "".join(
    f'<iframe width="{width}" height="{HEIGHT}" style="border:0"'
    f' srcdoc="{html.escape(page)}"></iframe>'
    for width in widths
  )
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / "asking.html"
    file.write_text(
      f"<!DOCTYPE html><pre id=answers></pre>{frames}<script>{asking}</script>"
    )
    done = subprocess.run(
      [
        *(program, "--headless", "--no-sandbox", "--hide-scrollbars"),
        *("--enable-logging=stderr", f"--user-data-dir={folder}/profile"),
        *("--dump-dom", f"--virtual-time-budget={MILLISECONDS}"),
        *([DARK] if dark else []),
        file.as_uri(),
      ],
      capture_output=True,
      text=True,
      timeout=SECONDS,
      env=os.environ | {"HOME": folder},
    )
  found = re.search(r'<pre id="answers">(.*?)</pre>', done.stdout, re.DOTALL)
  assert found and found[1], done.stderr[-2000:]
  answers = json.loads(html.unescape(found[1]))
  console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
  assert not any("failed" in answer for answer in answers), answers
  return [Seen(**answer, console=console) for answer in answers]


DARK = "--blink-settings=preferredColorScheme=0"
