"""Assumptions read from a file; one line for each bad file."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.report.given.assumptions import KINDS, Assumption, template
from jaxpower.report.given.assumptions_file import AssumptionError, parse, read


def test_the_template_parses_and_has_every_assumption():
  found = parse(template().encode())
  assert list(found) == list(KINDS)
  assert found["pue"] == Assumption(
    1.58,
    "ratio",
    "Uptime Institute Global Data Center Survey, industry average",
    "2023",
  )
  assert all(f"# {kind.means[:20]}" in template() for kind in KINDS.values())


def test_a_region_stands_for_its_number():
  found = parse(b'[grid_intensity]\nregion = "France"\n')["grid_intensity"]
  assert (found.value, found.unit, found.date) == (41.44, "g CO2e/kWh", "2025")
  assert found.source.startswith("France: Ember")


def test_a_gpu_stands_for_what_making_it_emitted():
  found = parse(b'[gpu_embodied]\ngpu = "H100"\n')["gpu_embodied"]
  assert (found.value, found.unit, found.date) == (164, "kg CO2e", "2025")
  assert found.source.startswith("H100: NVIDIA, product carbon footprint")


PUE = '[pue]\nvalue = 1.5\nunit = "ratio"\nsource = "a bill"\ndate = "2025"\n'


def test_dates_of_every_kind():
  for written, meant in (
    ('"2025"', "2025"),
    ('"2025-07"', "2025-07"),
    ('"2025-07-14"', "2025-07-14"),
    ("2025-07-14", "2025-07-14"),
    ("2025-07-14T10:00:00Z", "2025-07-14"),
  ):
    text = PUE.replace('"2025"', written)
    assert parse(text.encode())["pue"].date == meant


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("[pue]", "[pu]", "unknown assumption 'pu'; did you mean pue?"),
    ("value = 1.5\n", "", "pue.value: is missing; every field is needed"),
    ('unit = "ratio"\n', "", "pue.unit: is missing"),
    ('source = "a bill"\n', "", "pue.source: is missing"),
    ('date = "2025"\n', "", "pue.date: is missing"),
    ("value", "valeu", "unknown field of pue 'valeu'; did you mean value?"),
    ("1.5", '"1.5"', "pue.value: is '1.5'; must be a number"),
    ("1.5", "true", "pue.value: is 'True'; must be a number"),
    ("1.5", "nan", "pue.value: must be a finite number"),
    ("1.5", "-inf", "pue.value: must be a finite number"),
    ("1.5", "0x" + "f" * 300, "pue.value: must be a finite number"),
    ("1.5", "0.9", "pue.value: is 0.9; must be at least 1"),
    ('"ratio"', '"%"', "pue.unit: is '%'; must be 'ratio'"),
    ('"ratio"', "1", "pue.unit: is '1'; must be 'ratio'"),
    ('"ratio"', "0x" + "f" * 9000, "pue.unit: is too long; must be 'ratio'"),
    ('"a bill"', '"  "', "pue.source: must say where the number is from"),
    ('"a bill"', "7", "pue.source: must say where the number is from"),
    ('"a bill"', '"a\\u001b[31mbill"', "must be one line of printable text"),
    ('"2025"', '"last year"', "pue.date: is 'last year'; must be a year"),
    ('"2025"', '"2025-13"', "pue.date: is '2025-13'; must be a year"),
    ('"2025"', "2025", "pue.date: is '2025'; must be a year"),
    ("[pue]", "[pue", "not TOML: "),
    (PUE, "", "no assumption in it; --lifecycle_template prints"),
    (PUE, "pue = 1.5", "pue: must be a table with value, unit, source, date"),
    (
      PUE,
      '[grid_intensity]\nregion = "Farnce"',
      "grid_intensity.region: unknown region 'Farnce'; did you mean France?",
    ),
    (
      PUE,
      '[grid_intensity]\nregion = "UK"',
      "unknown region 'UK'; name a country in English, such as United Kingdom,",
    ),
    (
      PUE,
      '[gpu_embodied]\ngpu = "RTX"',
      "gpu_embodied.gpu: unknown gpu 'RTX'; known: A100, A100 PCIe 40 GB,",
    ),
    (
      PUE,
      '[gpu_embodied]\ngpu = "H100"\nvalue = 1',
      "gpu_embodied: give either gpu alone or value, unit, source, date",
    ),
    (
      PUE,
      '[grid_intensity]\nregion = "France"\nvalue = 1',
      "grid_intensity: give either region alone or value, unit, source, date",
    ),
    (
      PUE,
      '[host_share]\nvalue = 2\nunit = "share"\nsource = "me"\ndate = "2025"',
      "host_share.value: is 2; must be above 0 and at most 1",
    ),
    (
      PUE,
      '[gpu_lifetime]\nvalue = 0\nunit = "h"\nsource = "me"\ndate = "2025"',
      "gpu_lifetime.value: is 0; must be above 0",
    ),
  ],
)
def test_a_bad_file_is_one_line(old, new, message):
  with pytest.raises(AssumptionError) as raised:
    parse(PUE.replace(old, new, 1).encode())
  assert message in str(raised.value)
  assert "\n" not in str(raised.value)


def survives(content: bytes) -> None:
  try:
    found = parse(content)
  except AssumptionError as error:
    assert str(error).isprintable(), ascii(str(error))
  else:
    assert found.keys() <= KINDS.keys()
    assert all(math.isfinite(item.value) for item in found.values())
    assert all(item.source.isprintable() for item in found.values())


@given(st.binary(max_size=200))
def test_no_bytes_give_a_traceback(content):
  survives(content)


VALUES = st.one_of(
  st.integers().map(str),
  st.floats().map(str),
  st.sampled_from(
    ["true", "[[1]]", "{a = 1}", "07:30:00", "2025-07-14", '"\\u0007"', "''"]
  ),
  st.text("a7 -%\n\u001b\u00e9'", max_size=8).map(lambda t: f"'{t}'"),
)


@given(
  st.lists(
    st.tuples(
      st.sampled_from([*KINDS, "pu\\u0001e", "x"]),
      st.dictionaries(
        st.sampled_from(
          ["value", "unit", "source", "date", "region", "gpu", "y"]
        ),
        VALUES,
      ),
    ),
    max_size=3,
  )
)
def test_no_tables_give_a_traceback(tables):
  survives(
    "\n".join(
      f'["{name}"]\n'
      + "\n".join(f"{field} = {value}" for field, value in fields.items())
      for name, fields in tables
    ).encode()
  )


def test_deep_nesting_is_one_line():
  survives(b"pue = " + b"[" * 100_000)


def test_no_file_and_a_folder(tmp_path):
  for path in (tmp_path, tmp_path / "none.toml"):
    with pytest.raises(AssumptionError, match=f"^{path}: "):
      read(path)
