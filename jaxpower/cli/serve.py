"""Serves a text to Prometheus on this machine alone, beside what measures.

The text is what was published last: whoever asks reads nothing from a sensor,
and nothing that goes wrong here reaches the measurement.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from jaxpower.config import ConfigError
from jaxpower.export.prometheus import CONTENT_TYPE

LOOPBACK = "127.0.0.1"
PATH = "/metrics"
# A page of another site may have its name resolve to this machine (DNS
# rebinding); its name then stands in the request.
HOSTS = {LOOPBACK, "localhost"}
PATIENCE = 5.0  # seconds for a client to ask and to listen; chosen


class Server(ThreadingHTTPServer):
  """Answers with the text published last."""

  daemon_threads = True
  published = b""

  @property
  def address(self) -> str:
    """Where it is asked."""
    return f"http://{LOOPBACK}:{self.server_port}{PATH}"

  def publish(self, text: str) -> None:
    """Sets what is answered from now on."""
    self.published = text.encode()

  def handle_error(self, request: Any, client_address: Any) -> None:
    """Says nothing: a client that went away is no fault of the measurement."""


class _Handler(BaseHTTPRequestHandler):
  timeout = PATIENCE
  server_version, sys_version = "jaxpower", ""

  def do_GET(self) -> None:
    """Answers with the metrics, on their path and on no other."""
    host = (self.headers.get("Host") or LOOPBACK).rpartition(":")
    if (host[0] or host[2]) not in HOSTS:
      self.send_error(403, "asked by a name that is not of this machine")
    elif self.path.partition("?")[0] not in (PATH, "/"):
      self.send_error(404, f"only {PATH} is here")
    else:
      text = cast(Server, self.server).published
      self.send_response(200)
      self.send_header("Content-Type", CONTENT_TYPE)
      self.send_header("Content-Length", str(len(text)))
      self.end_headers()
      self.wfile.write(text)

  def log_message(self, format: str, *args: Any) -> None:
    """Writes no log: standard error is for the measurement."""


@contextmanager
def serving(port: int) -> Iterator[Server]:
  """Serves on a port of this machine while the context lasts.

  Args:
    port: Which; 0 for any that is free.

  Raises ConfigError where the port cannot be had.
  """
  try:
    server = Server((LOOPBACK, port), _Handler)
  except OSError as error:
    raise ConfigError(
      f"--serve={port}: {error.strerror}; give another port"
    ) from None
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  try:
    yield server
  finally:
    server.shutdown()
    server.server_close()
    thread.join()
