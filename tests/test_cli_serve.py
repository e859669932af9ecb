"""What `watch --serve` answers: to this machine, whatever a client does."""

import socket
import urllib.error
import urllib.request

import pytest

from jaxpower.cli import watch
from jaxpower.cli.serve import LOOPBACK, serving
from jaxpower.config import ConfigError
from jaxpower.export.prometheus import CONTENT_TYPE
from jaxpower.wording import quantity


def asked(address: str, host: str | None = None):
  request = urllib.request.Request(address)
  if host:
    request.add_header("Host", host)
  with urllib.request.urlopen(request, timeout=5) as answer:
    return answer.headers["Content-Type"], answer.read().decode()


@pytest.fixture(scope="module")
def server():
  with serving(0) as ours:
    yield ours


def test_it_answers_with_what_was_published_last(server):
  server.publish("first\n")
  server.publish("second\n")
  assert asked(server.address) == (CONTENT_TYPE, "second\n")
  named = f"localhost:{server.server_port}"
  assert asked(server.address, named)[1] == "second\n"


@pytest.mark.parametrize(
  ("path", "host", "code"),
  [("/metrics", "evil.example", 403), ("/etc/passwd", None, 404)],
)
def test_other_names_and_paths_are_refused(server, path, host, code):
  address = server.address.replace("/metrics", path)
  with pytest.raises(urllib.error.HTTPError) as caught:
    asked(address, host)
  assert caught.value.code == code
  caught.value.close()


def test_it_listens_on_this_machine_alone(server):
  assert server.server_address[0] == LOOPBACK


def test_a_client_that_leaves_disturbs_nothing(server, capfd):
  server.publish("x" * 10_000_000)
  client = socket.create_connection((LOOPBACK, server.server_port))
  client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
  client.close()
  silent = socket.create_connection((LOOPBACK, server.server_port))
  server.publish("still here\n")
  assert asked(server.address)[1] == "still here\n"
  silent.close()
  assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_refused_in_a_line(server):
  with (
    pytest.raises(ConfigError, match=f"--serve={server.server_port}: "),
    serving(server.server_port),
  ):
    pass


def test_watch_serves_what_it_shows(capfd, monkeypatch):
  texts = []
  monkeypatch.setattr(watch, "_print", lambda told, uses: texts.extend(told))
  served = []

  def publish(server, rows):
    original(server, rows)
    served.append(asked(server.address)[1])

  original = watch._publish
  monkeypatch.setattr(watch, "_publish", publish)
  assert watch.run("estimate", None, 0.2, 1, 0) == 0
  before, after = served
  assert "jaxpower_energy_joules_total{" not in before
  (line,) = (x for x in after.splitlines() if x.startswith("jaxpower_power"))
  assert 'source="estimated"' in line
  assert quantity(float(line.split()[-1]), "W") == texts[0].watts
  assert "Prometheus finds this at http://127.0.0.1:" in capfd.readouterr().err
