"""Shows what commands print while a sweep runs, if asked to.

The output of each goes to a file of its own in the run folder, whoever runs it;
here those files are read as they grow.
"""

import pathlib
import threading
from collections.abc import Callable

PATTERN = "commands/*/output.txt"  # of a run folder (`script.run`)
LOOK_SECONDS = 0.2  # chosen: between two looks
MOST_BYTES = 65_536  # of a file at one look; chosen


class Follower:
  """Hands on each new line of the commands' output; a context manager.

  What was there before it was entered is not shown. Showing never raises.
  """

  def __init__(self, folder: pathlib.Path, show: Callable[[str], None]):
    self._folder = folder
    self._show = show
    self._places: dict[pathlib.Path, tuple[int, bytes]] = {}
    self._over = threading.Event()
    self._thread = threading.Thread(target=self._follow, daemon=True)

  def __enter__(self) -> "Follower":
    for path in self._folder.glob(PATTERN):
      self._places[path] = (path.stat().st_size, b"")
    self._thread.start()
    return self

  def __exit__(self, *_: object) -> None:
    self._over.set()
    self._thread.join()

  def _follow(self) -> None:
    """Looks again and again, and once more at the end."""
    last = False
    while not last:
      last = self._over.wait(LOOK_SECONDS)
      try:
        self.look()
      except Exception:  # noqa: BLE001 - the sweep goes on unseen
        return

  def look(self) -> None:
    """Shows the whole lines that have come since the last look."""
    for path in sorted(self._folder.glob(PATTERN)):
      place, rest = self._places.get(path, (0, b""))
      size = path.stat().st_size
      if size < place:  # the trial began again
        place, rest = 0, b""
      with path.open("rb") as file:
        file.seek(place)
        content = file.read(MOST_BYTES)
      *lines, rest = (rest + content).split(b"\n")
      for line in lines:
        self._show(f"{path.parent.name[:6]} | {line.decode(errors='replace')}")
      self._places[path] = (place + len(content), rest[-MOST_BYTES:])
