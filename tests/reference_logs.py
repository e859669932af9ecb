"""References by our schema and logs of other trackers, as tests read them."""

import pathlib

# Our schema: a heading and a row.
HEADING = (
  "name,hardware,model,data,batch_size,target_accuracy,joules,seconds,accuracy,"
  "source\n"
)
ROW = (
  "ResNet-18 in PyTorch,NVIDIA H200,resnet18,cifar10,128,0.9,48000,112.5,0.903,"
  '"lab log, run 7"\n'
)

# As CodeCarbon 3.3.2 writes it: one run that flushed once, and another.
CODECARBON = """\
timestamp,project_name,run_id,experiment_id,duration,emissions,emissions_rate,\
cpu_power,gpu_power,ram_power,cpu_energy,gpu_energy,ram_energy,energy_consumed,\
water_consumed,country_name,country_iso_code,region,cloud_provider,cloud_region,\
os,python_version,codecarbon_version,cpu_count,cpu_model,gpu_count,gpu_model,\
longitude,latitude,ram_total_size,tracking_mode,cpu_utilization_percent,\
gpu_utilization_percent,ram_utilization_percent,ram_used_gb,on_cloud,pue,wue
2026-09-14T10:31:08,resnet18 eager,755f15f8-0a86-40f5-9610-491d3a94b02b,\
5b0fa12a-3dd7-45bb-9766-cc326314d9f1,60.2,0.002,3.3e-05,112.5,480.1,20.0,0.0018,\
0.008,0.0003,0.0101,0.0,Germany,DEU,,,,Linux-6.8.0-x86_64,3.11.7,3.3.2,96,\
AMD EPYC 9654,1,1 x NVIDIA H200,,,503.5,machine,3.1,88,7.2,31.5,N,1.0,0.0
2026-09-14T10:32:10,resnet18 eager,755f15f8-0a86-40f5-9610-491d3a94b02b,\
5b0fa12a-3dd7-45bb-9766-cc326314d9f1,121.9,0.004,3.3e-05,112.5,480.1,20.0,0.0036,\
0.016,0.0006,0.0202,0.0,Germany,DEU,,,,Linux-6.8.0-x86_64,3.11.7,3.3.2,96,\
AMD EPYC 9654,1,1 x NVIDIA H200,,,503.5,machine,3.1,88,7.2,31.5,N,1.0,0.0
2026-09-14T11:02:44,cpu only,0c1d7a44-52b8-4a6e-8a9d-2f60f2c7be10,\
5b0fa12a-3dd7-45bb-9766-cc326314d9f1,300.0,0.003,1.0e-05,112.5,0.0,20.0,0.009,\
0.0,0.001,0.01,0.0,Germany,DEU,,,,Linux-6.8.0-x86_64,3.11.7,3.3.2,96,\
AMD EPYC 9654,0,,,,503.5,machine,3.1,0,7.2,31.5,N,1.0,0.0
"""


def file(folder: pathlib.Path, text: str, name: str = "torch.csv") -> str:
  """Writes a file of references; returns its path."""
  path = folder / name
  path.write_text(text)
  return str(path)
