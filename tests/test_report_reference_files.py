"""How references are read: tables, JSON, logs of CodeCarbon and Zeus."""

import json
import pathlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference_logs import CODECARBON, HEADING, ROW, file
from report_records import record

from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.given import Given
from jaxpower.report.given.reference_files import read
from jaxpower.report.given.references import (
  COLUMNS,
  UNITS,
  BadReferenceError,
  Reference,
  template,
)
from jaxpower.report.questions import references

# As CodeCarbon 2.2.3 wrote it: fewer columns.
CODECARBON_2 = """\
timestamp,project_name,run_id,duration,emissions,emissions_rate,cpu_power,\
gpu_power,ram_power,cpu_energy,gpu_energy,ram_energy,energy_consumed,\
country_name,country_iso_code,region,cloud_provider,cloud_region,os,\
python_version,codecarbon_version,cpu_count,cpu_model,gpu_count,gpu_model,\
longitude,latitude,ram_total_size,tracking_mode,on_cloud,pue
2024-05-27T10:49:55,codecarbon,2392f828-03ad-49cb-b6b3-9993a7a1ca3f,4251.9,0.2,\
5.3e-05,42.5,163.1,31.3,0.0502,0.3793,0.037,0.4665,Singapore,SGP,,,,\
Linux-6.1.85,3.10.12,2.2.3,12,Intel(R) Xeon(R) CPU @ 2.20GHz,1,\
1 x NVIDIA A100-SXM4-40GB,103.9,1.3,83.5,machine,N,1.0
"""
# As the ZeusMonitor of zeus 0.16.0 writes it: names are not quoted.
ZEUS = """\
start_time,window_name,elapsed_time,gpu0_energy,gpu1_energy
1795422690.367472,train,10.5,4123.25,4000.0
1795422700.9683495,eval, test,1.25,500.0,400.0
1795422702.572437,train,9.5,3876.75,4000.0
"""


def refused(argument: str) -> str:
  with pytest.raises(BadReferenceError) as caught:
    read(argument)
  said = str(caught.value)
  assert "\n" not in said
  return said


def test_a_row_of_the_schema(tmp_path):
  assert read(file(tmp_path, HEADING + ROW)) == (
    Reference(
      name="ResNet-18 in PyTorch",
      hardware="NVIDIA H200",
      model="resnet18",
      data="cifar10",
      batch_size=128,
      target_accuracy=0.9,
      joules=48_000.0,
      seconds=112.5,
      accuracy=0.903,
      source="lab log, run 7",
    ),
  )


def test_what_is_optional(tmp_path):
  text = (
    "name,source,kilowatt_hours,energy_wh_low,energy_kj_high,minutes,boundary,"
    "phases,estimated,framework,precision,date\n"
    "a,b,0.01,9,40,2,CPU + gpu,train+compile,False,torch 2.13,bfloat16,2026\n"
  )
  (found,) = read(file(tmp_path, text))
  assert found == Reference(
    name="a",
    source="b",
    joules=36_000.0,
    joules_low=32_400.0,
    joules_high=40_000.0,
    seconds=120.0,
    boundary=("gpu", "cpu"),
    phases=("compile", "train"),
    estimated=False,
    framework="torch 2.13",
    precision="bfloat16",
    date="2026",
  )


def test_empty_cells_are_unknown_and_not_zero(tmp_path):
  (found,) = read(file(tmp_path, HEADING + "a,,,,,,,7,,b\n"))
  assert found == Reference(name="a", source="b", seconds=7.0)


def test_comments_blank_lines_and_a_byte_order_mark(tmp_path):
  text = "\ufeff# what, and why\n\n" + HEADING + "\n" + ROW + "#1,,,,,,9,,,b\n"
  found = read(file(tmp_path, text))
  assert [r.name for r in found] == ["ResNet-18 in PyTorch", "#1"]


def test_what_a_terminal_would_act_upon_is_taken_out(tmp_path):
  (found,) = read(file(tmp_path, "name,source,joules\n\x1b[31ma\x07,b,1\n"))
  assert found.name == "[31ma"


@pytest.mark.parametrize(
  ("text", "said"),
  [
    (
      "name,sorce,joules\n",
      "row 1, unknown column 'sorce'; did you mean source?",
    ),
    (
      "name,source,energy\n",
      "row 1, column energy: its name must say the unit: joules, watt_hours,"
      " kilowatt_hours",
    ),
    (
      "name,source,energy_mwh\n",
      "row 1, unknown column 'energy_mwh'; did you mean energy_wh?",
    ),
    (
      "name,source,watts\n",
      "row 1, column watts: its name must say the unit: joules: energy, not"
      " power",
    ),
    ("name,name,joules\n", "row 1, column name: appears twice"),
    (
      "name;source;joules\na;b;1\n",
      "; separate columns by commas",
    ),
    ("name,joules\na,1\n", "row 2, column source: missing; every row needs"),
    ("name,source,joules\na,b,\n", "row 2, column joules: missing, and so is"),
    (
      "name,source,joules,energy_kwh\na,b,1,2\n",
      "row 2, column energy_kwh: another column gives joules too",
    ),
    (
      "name,source,joules\na,b,1\n\na,b,12.300 J\n",
      "row 4, column joules: '12.300 J' is not a number",
    ),
    (
      "name,source,joules\na,b,0\n",
      "column joules: 0 is out of range; must be above 0",
    ),
    ("name,source,joules\na,b,-3\n", "column joules: -3 is out of range"),
    ("name,source,joules\na,b,nan\n", "column joules: nan is out of range"),
    (
      "name,source,energy_kwh\na,b,1e300\n",
      "column energy_kwh: 1e+300 is out of range",
    ),
    (
      "name,source,energy_kwh\na,b,9e29\n",
      "energy_kwh: 3.24e+36 is out of range",
    ),
    (
      "name,source,joules,accuracy\na,b,1,80\n",
      "column accuracy: 80 is not a share of one; 80 % is 0.8",
    ),
    (
      "name,source,joules,target_accuracy\na,b,1,80 %\n",
      "column target_accuracy: 80 % is not a share of one",
    ),
    (
      "name,source,joules,batch_size\na,b,1,12.5\n",
      "column batch_size: 12.5 is not a whole number",
    ),
    (
      "name,source,joules,boundary\na,b,1,gpu+ram\n",
      "column boundary: unknown part 'ram'; did you mean dram?; joined by +",
    ),
    (
      "name,source,joules,estimated\na,b,1,maybe\n",
      "column estimated: 'maybe' is neither true nor false",
    ),
    (
      "name,source,joules,joules_low\na,b,1,2\n",
      "column joules_low: not joules_low <= joules <= joules_high",
    ),
    ("name,source,joules\na,b,1,2\n", "row 2: 4 cells under 3 columns; put"),
    ('name,source,joules\na,"b,1\n', "row 2: not a CSV: "),
    ("", "torch.csv: no result in it"),
    ("name,source,joules\n", "torch.csv: no result in it"),
  ],
)
def test_what_is_wrong_is_told_with_row_and_column(tmp_path, text, said):
  assert said in refused(file(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text(tmp_path):
  assert refused(str(tmp_path / "no.csv")).endswith("no.csv: no such file")
  (tmp_path / "x.csv").write_bytes(b"name\xff")
  assert "not text in UTF-8" in refused(str(tmp_path / "x.csv"))
  (tmp_path / "d.csv").mkdir()
  assert "Is a directory" in refused(str(tmp_path / "d.csv"))


def test_json_says_the_same_as_csv(tmp_path):
  entry = {
    "name": "ResNet-18 in PyTorch",
    "hardware": "NVIDIA H200",
    "model": "resnet18",
    "data": "cifar10",
    "batch_size": 128,
    "target_accuracy": 0.9,
    "joules": 48_000,
    "seconds": 112.5,
    "accuracy": 0.903,
    "source": "lab log, run 7",
    "precision": None,
  }
  expected = read(file(tmp_path, HEADING + ROW))
  for content in ([entry], {"references": [entry]}, entry):
    path = file(tmp_path, json.dumps(content), "torch.json")
    assert read(path) == expected


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("{", "not JSON: "),
    ("[" * 100_000, "not JSON: nested too deep"),
    ("[1]", "entry 1: not an object"),
    (
      '[{"name": "a", "source": "b", "joules": 1}, {"name": ["a"]}]',
      "entry 2, column name: not a number or a word",
    ),
    (
      '{"name": "a", "source": "b", "joule": 1}',
      "entry 1, unknown column 'joule'; did you mean joules?",
    ),
    ('{"joules": 1, "joules": 2}', "not JSON: joules appears twice"),
    (
      '{"name": "a", "source": "b", "joules": NaN}',
      "entry 1, column joules: nan is out of range",
    ),
    ("[]", "no result in it"),
  ],
)
def test_wrong_json_is_one_line(tmp_path, text, said):
  assert said in refused(file(tmp_path, text, "torch.json"))


def test_the_command_fills_what_the_file_leaves_out(tmp_path):
  text = "name,source,joules,model,data\na,b,1,,cifar10\nc,d,2,vit,\n"
  path = file(tmp_path, text)
  first, second = read(f"{path}:data=cifar10,batch_size=64")
  assert (first.data, first.batch_size, first.model) == ("cifar10", 64, "")
  assert (second.data, second.model) == ("cifar10", "vit")
  assert "row 3, column model: vit here, resnet18 in the command" in refused(
    f"{path}:model=resnet18"
  )


def test_wrong_words_of_the_command(tmp_path):
  path = file(tmp_path, HEADING + ROW)
  assert "unknown field 'modl'; did you mean model?" in refused(
    f"{path}:modl=x"
  )
  assert "unknown field 'joules'" in refused(f"{path}:joules=3")
  assert "write data=VALUE" in refused(f"{path}:model=x,data")
  assert "column batch_size: 'x' is not" in refused(f"{path}:batch_size=x")


def test_a_colon_in_the_name_of_a_file(tmp_path):
  path = file(tmp_path, HEADING + ROW, "a:b=c.csv")
  assert len(read(path)) == 1
  assert read(f"{path}:precision=float32")[0].precision == "float32"


def test_the_template_is_empty_and_whole(tmp_path):
  text = template()
  assert "no result in it" in refused(file(tmp_path, text))
  (found,) = read(file(tmp_path, text + "a" + "," * 6 + "5,,,b" + "," * 8))
  assert (found.name, found.joules, found.source) == ("a", 5.0, "b")
  assert all(f"# {name}: " in text for name in COLUMNS)


def test_codecarbon_is_read_once_a_run(tmp_path):
  eager, cpu = read(file(tmp_path, CODECARBON, "emissions.csv"))
  assert eager.name == "resnet18 eager"
  assert eager.source == "CodeCarbon 3.3.2 755f15f8"
  assert eager.hardware == "1 x NVIDIA H200"
  assert eager.seconds == 121.9
  assert eager.joules == pytest.approx(72_720)
  assert eager.boundary == ("gpu", "cpu", "dram")
  assert eager.joules_by_part == pytest.approx(
    {"gpu": 57_600, "cpu": 12_960, "dram": 2_160}
  )
  assert (eager.estimated, eager.date) == (True, "2026-09-14")
  assert (cpu.hardware, cpu.boundary) == ("AMD EPYC 9654", ("cpu", "dram"))


def test_codecarbon_of_two_years_ago(tmp_path):
  (found,) = read(file(tmp_path, CODECARBON_2))
  assert found.joules == pytest.approx(1_679_400)
  assert found.hardware == "1 x NVIDIA A100-SXM4-40GB"


def test_the_share_of_the_building_is_another_boundary(tmp_path):
  (found,) = read(file(tmp_path, CODECARBON_2.replace("N,1.0", "N,1.4")))
  assert found.boundary == ("gpu", "cpu", "dram", "overhead")
  assert found.joules_by_part == {}


JOINED = """\
timestamp,project_name,run_id,experiment_id,duration,emissions,emissions_rate,\
cpu_power,gpu_power,ram_power,cpu_energy,gpu_energy,ram_energy,\
energy_consumed,water_consumed,country_name,country_iso_code,region,\
cloud_provider,cloud_region,os,python_version,codecarbon_version,cpu_count,\
cpu_model,gpu_count,gpu_model,longitude,latitude,ram_total_size,tracking_mode,\
cpu_utilization_percent,gpu_utilization_percent,ram_utilization_percent,\
ram_used_gb,on_cloud,pue,wue
"""
LONG = (
  "2026-01-01T00:00:00,p,aaaa1111,x,10,.1,.1,1,1,1,.001,.0015,.0001,.0026,0,X,"
  "XXX,here,,,Linux,3.11,3.2.3,2,CPU,1,GPU,1,2,16,machine,0,0,0,0,N,1,0\n"
)
SHORT = (
  "2026-01-01T00:00:00,p,bbbb2222,x,20,.1,.1,1,1,1,.002,.003,.0002,.0052,0,X,"
  "XXX,,,Linux,3.11,3.2.3,2,CPU,16,machine,0,0,0,0,N,1,0\n"
)


def test_logs_of_codecarbon_may_be_joined(tmp_path):
  other = LONG.replace("aaaa", "cccc").replace(",10,", ",20,")
  path = file(tmp_path, JOINED + LONG + JOINED + other, "emissions.csv")
  assert [found.seconds for found in read(path)] == [10, 20]


def test_cells_that_codecarbon_left_out_cost_no_energy(tmp_path):
  path = file(tmp_path, JOINED + LONG + SHORT, "emissions.csv")
  whole, short = read(path)
  assert (whole.joules, whole.hardware) == (pytest.approx(9360), "GPU")
  assert (short.seconds, short.joules) == (20, pytest.approx(18720))
  assert short.joules_by_part == {
    "gpu": pytest.approx(10800),
    "cpu": pytest.approx(7200),
    "dram": pytest.approx(720),
  }
  assert (short.source, short.hardware) == ("CodeCarbon bbbb2222", "")
  cut = SHORT[: SHORT.index(",.0052")] + "\n"
  path = file(tmp_path, JOINED + LONG + cut, "emissions.csv")
  with pytest.raises(BadReferenceError, match="row 3: 13 cells under 38 col"):
    read(path)


OLD = """\
timestamp,project_name,duration,emissions,energy_consumed,country_name,\
country_iso_code,region,on_cloud,cloud_provider,cloud_region
2021-03-01T00:00:00,p,10,.1,.0003,X,XXX,y,N,,
"""


def test_codecarbon_before_its_second_version_is_refused(tmp_path):
  said = "row 1: a log of CodeCarbon before 2, whose energies were wrong by 100"
  with pytest.raises(BadReferenceError, match=said):
    read(file(tmp_path, OLD, "emissions.csv"))
  early = JOINED + LONG.replace(",3.2.3,", ",1.2.0,")
  with pytest.raises(BadReferenceError, match=r"row 2: by CodeCarbon 1\.2\.0"):
    read(file(tmp_path, early, "emissions.csv"))


def test_codecarbon_that_saw_nothing_is_unknown(tmp_path):
  columns = "project_name,duration,emissions,energy_consumed,cpu_energy"
  text = f"{columns}\na,5,0,0,0\n"
  (found,) = read(file(tmp_path, text))
  assert (found.joules, found.seconds, found.boundary) == (None, 5.0, ())


def test_a_log_is_told_what_it_ran(tmp_path):
  path = file(tmp_path, CODECARBON)
  said = "model=resnet18,data=cifar10,target_accuracy=0.9,name=eager"
  found = read(f"{path}:{said}")[0]
  assert (found.model, found.data, found.target_accuracy, found.name) == (
    "resnet18",
    "cifar10",
    0.9,
    "eager",
  )
  assert found.joules == pytest.approx(72_720)


@pytest.mark.parametrize(
  ("old", "new", "said"),
  [
    ("0.0202", "x", "row 3, column energy_consumed: 'x' is not a number"),
    ("121.9", "-1", "row 3, column duration: '-1' is not a number from 0 on"),
    ("energy_consumed", "e", "row 1: a log of CodeCarbon before 2, whose"),
    ("cpu only,", "cpu,only,", "row 4: 39 cells under 38 columns"),
  ],
)
def test_a_wrong_log_of_codecarbon(tmp_path, old, new, said):
  assert said in refused(file(tmp_path, CODECARBON.replace(old, new)))


def test_zeus_windows_of_one_name_are_added_up(tmp_path):
  train, evaluated = read(file(tmp_path, ZEUS, "zeus.csv"))
  assert train == Reference(
    name="train",
    source="Zeus, zeus.csv, 2 windows added up",
    joules=16_000.0,
    seconds=20.0,
    boundary=("gpu",),
  )
  assert evaluated.name == "eval, test"
  assert (evaluated.joules, evaluated.seconds) == (900.0, 1.25)


def test_one_window_of_zeus_may_be_picked(tmp_path):
  path = file(tmp_path, ZEUS)
  (found,) = read(f"{path}:window=train,name=eager,hardware=2 x NVIDIA H200")
  assert (found.name, found.joules) == ("eager", 16_000.0)
  assert "no window tran; known: train, eval, test" in refused(
    f"{path}:window=tran"
  )


def test_no_joules_in_a_window_of_zeus_are_unknown(tmp_path):
  train, evaluated = read(file(tmp_path, ZEUS.replace("3876.75", "0.0")))
  assert (train.joules, train.seconds) == (None, 20.0)
  assert evaluated.joules == 900.0


@pytest.mark.parametrize(
  ("text", "said"),
  [
    (
      "start_time,window_name,elapsed_time,\n1795422690.6,a,1.2,\n",
      "row 1: no column such as gpu0_energy: Zeus saw no GPU",
    ),
    (ZEUS.replace("4123.25", "-1.0"), "row 2, column gpu0_energy: '-1.0' is"),
    (ZEUS + "1795422790.5,train\n", "row 5: 2 cells under 5 columns"),
    (
      ZEUS.replace("1795422702.572437", "1795422695.5"),
      "row 4, column start_time: begins within an earlier window train",
    ),
  ],
)
def test_a_wrong_log_of_zeus(tmp_path, text, said):
  assert said in refused(file(tmp_path, text))


NUMBERS = st.one_of(
  st.floats().map(str),
  st.integers(-3, 10**9).map(str),
  st.text(max_size=8),
  st.sampled_from(["", "0", "1e400", "80 %", "gpu+cpu", "true", "٣"]),
)
CELLS = st.text(st.characters(exclude_characters=',"\n\r'), max_size=9)


def survives(folder: pathlib.Path, content: bytes, name: str) -> None:
  """Reads to references, or is refused in one line; nothing else."""
  path = folder / name
  path.write_bytes(content)
  try:
    results = read(str(path))
  except BadReferenceError as error:
    assert "\n" not in str(error)
    return
  given = Given(tuple(results))
  references.answer(compare_all([record()]), given)


def hypothesised(test):
  fixture = HealthCheck.function_scoped_fixture
  return settings(
    max_examples=60, deadline=None, suppress_health_check=[fixture]
  )(test)


@hypothesised
@given(st.binary(max_size=80), st.sampled_from(["x.csv", "x.json"]))
def test_any_bytes(tmp_path, content, name):
  survives(tmp_path, content, name)


@hypothesised
@given(
  st.dictionaries(
    st.sampled_from([*COLUMNS, *UNITS]), st.one_of(NUMBERS, CELLS), max_size=9
  )
)
def test_any_row(tmp_path, cells):
  full = {"name": "a", "source": "b"} | cells
  lines = (",".join(full), ",".join(full.values()))
  survives(tmp_path, "\n".join(lines).encode("utf-8", "replace"), "x.csv")


@hypothesised
@given(
  st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text()),
    lambda inner: st.one_of(
      st.lists(inner, max_size=3),
      st.dictionaries(st.sampled_from([*COLUMNS, "x"]), inner, max_size=4),
    ),
    max_leaves=8,
  )
)
def test_any_json(tmp_path, content):
  survives(tmp_path, json.dumps(content).encode(), "x.json")


@hypothesised
@given(st.data())
def test_any_log(tmp_path, data):
  text = data.draw(st.sampled_from([ZEUS, CODECARBON, CODECARBON_2]))
  lines = text.splitlines()
  row = data.draw(st.integers(1, len(lines) - 1))
  cells = lines[row].split(",")
  at = data.draw(st.integers(0, len(cells) - 1))
  cells[at] = data.draw(NUMBERS)
  lines[row] = ",".join(cells)
  survives(tmp_path, "\n".join(lines).encode("utf-8", "replace"), "x.csv")
