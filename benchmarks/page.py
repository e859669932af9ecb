"""How large a page is, and what it takes a browser to open it.

  python benchmarks/page.py

Made-up trials of settings by ten, five or three seeds (`tests/report_records`),
as `tests/test_report_page_chromium.py` has them. CPU seconds are those of all
processes of a headless Chromium that opens the page, lays it out and prints
what became of it, less those for a page of one word; the least of three.
"""

import pathlib
import re
import resource
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import browser  # noqa: E402  # pyright: ignore[reportMissingImports]
import test_report_page_chromium as pages  # noqa: E402  # pyright: ignore

SIZES = ((2, 1), (4, 3), (40, 5), (100, 10))  # settings, seeds
TIMES = 3


def cpu_seconds(page: pathlib.Path) -> float:
  """Opens a page in Chromium; returns the CPU time that it took."""
  program = browser.chromium()
  assert program is not None
  with tempfile.TemporaryDirectory() as folder:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
      [
        *(program, "--headless", "--no-sandbox", "--window-size=1280,900"),
        *(f"--user-data-dir={folder}", f"--screenshot={folder}/x.png"),
        page.as_uri(),
      ],
      capture_output=True,
      check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
  used = after.ru_utime + after.ru_stime
  return used - before.ru_utime - before.ru_stime


def main() -> None:
  """Prints a row a size."""
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    blank = place / "blank.html"
    blank.write_text("<!DOCTYPE html><title>x</title>word")
    nothing = min(cpu_seconds(blank) for _ in range(TIMES))
    print("trials  kilobytes  elements  CPU seconds to open")
    for settings, seeds in SIZES:
      run = place / f"{settings}"
      run.mkdir()
      text = pages.page(run, pages.trials(settings, seeds))
      opened = min(cpu_seconds(run / "report.html") for _ in range(TIMES))
      elements = len(re.findall(r"<[a-z]", text))
      print(
        f"{settings * seeds:6}  {len(text.encode()) / 1000:9.0f}"
        f"  {elements:8}  {opened - nothing:.2f}",
        flush=True,
      )


if __name__ == "__main__":
  main()
