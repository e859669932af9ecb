"""Whether files can be downloaded at all, known within seconds.

Without it, a downloader that retries ten times hangs for minutes offline.
"""

import threading
import urllib.parse
from collections.abc import Iterable

_SECONDS = 5.0


def why_unreachable(
  urls: Iterable[str], seconds: float = _SECONDS
) -> str | None:
  """Why the sites of `urls` cannot be reached; None where all answer.

  Asks each site for one of its files, and reads only the answer's header.
  """
  one_of_each_site = {urllib.parse.urlsplit(url).netloc: url for url in urls}
  for site, url in one_of_each_site.items():
    why = _ask(url, seconds)
    if why:
      return f"{site} {why}"
  return None


def _ask(url: str, seconds: float) -> str | None:
  answers: list[str | None] = []
  # A look-up of a name has no time limit of its own, so a thread is left to it.
  thread = threading.Thread(
    target=lambda: answers.append(_get(url, seconds)), daemon=True
  )
  thread.start()
  thread.join(2 * seconds)
  return answers[0] if answers else f"gave no answer in {2 * seconds:g} s"


def _get(url: str, seconds: float) -> str | None:
  import requests

  try:
    with requests.get(url, stream=True, timeout=seconds) as answer:
      if answer.ok:
        return None
      return f"answers {answer.status_code} {answer.reason}".rstrip()
  except requests.RequestException as error:
    return f"is not reached ({type(error).__name__})"
