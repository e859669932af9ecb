#!/usr/bin/env bash
# All that a GPU alone can answer, the most valuable question first, in at most
# nine minutes. What is done is kept after each step, whatever comes.
#
#   bash benchmarks/gpu/first_run.sh          on a machine with a GPU
#   SIM=1 bash benchmarks/gpu/first_run.sh    a rehearsal: a simulated NVML, JAX
#                                             on the CPU, small sizes
#
# Environment: OUT (results; .gpu_out), LIMIT (seconds in all; 540), ONLY (names
# of steps, spaces between), STEP_CAP (seconds; caps every step), PY (python3),
# WHL (a folder of wheels that the machine lacks; .whl), DATA (the full
# Fashion-MNIST, by pack_data.py; .gpu_data/fashion_mnist.npz), REVISION (of the
# code, where the copy has no .git). README.md says more.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
here=benchmarks/gpu began=$(date +%s)
LIMIT=${LIMIT:-540} SIM=${SIM:-} ONLY=${ONLY:-} PY=${PY:-python3}
OUT=${OUT:-$PWD/.gpu_out}
work=$(mktemp -d) && mkdir -p "$OUT" "$work/res/runs" || exit 2
R=$work/res runs=$work/res/runs log=$work/res/log.txt
: >"$log"

wheels=${WHL:-$PWD/.whl}
if ls "$wheels"/*.whl >/dev/null 2>&1; then
  $PY -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
    --upgrade --target "$work/site" "$wheels"/*.whl >>"$log" 2>&1 ||
    echo "wheels not installed" | tee -a "$log"
fi
export PYTHONPATH="$PWD:$work/site${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=1
export JAXPOWER_NEVER_SET_GPUS=1 # nothing here changes a card's settings
meter=nvml
if [ -n "$SIM" ]; then
  # A CPU job has no GPU to bill, so its joules are modelled.
  export JAX_PLATFORMS=cpu GPU_REHEARSAL=1 meter=auto
  export PATH="$PWD/$here/rehearse/bin:$PATH"
  export PYTHONPATH="$PWD/$here/rehearse:$PYTHONPATH"
fi

keep() { # everything so far, in three files
  tar -C "$work" --exclude='*/checkpoints/*' --exclude='*/resume/*' -czf "$OUT/results.tar.gz.new" res &&
    mv "$OUT/results.tar.gz.new" "$OUT/results.tar.gz"
  cp "$log" "$OUT/log.txt"
  cp "$R/steps.txt" "$OUT/steps.txt" 2>/dev/null
}

step() { # step NAME CAP_SECONDS COMMAND...
  local name=$1 cap=$2 code left t
  shift 2
  [ -z "$ONLY" ] || case " $ONLY " in *" $name "*) ;; *) return 0 ;; esac
  left=$((LIMIT - $(date +%s) + began - 12)) # to end a step and to pack
  [ -z "${STEP_CAP:-}" ] || [ "$cap" -le "$STEP_CAP" ] || cap=$STEP_CAP
  [ "$cap" -le "$left" ] || cap=$left
  if [ "$cap" -lt 8 ]; then
    echo "$name skipped: $left s left" | tee -a "$R/steps.txt"
    return 0
  fi
  t=$(date +%s)
  echo "=== $name (at most $cap s)" | tee -a "$log"
  timeout -k 5 "$cap" "$@" >"$R/$name.txt" 2>&1
  code=$?
  [ "$code" -lt 124 ] || sleep 2 # what was killed may still hold memory
  tail -n "${TAIL:-6}" "$R/$name.txt" | cut -c1-300 | tee -a "$log"
  echo "$name: exit code $code, $(($(date +%s) - t)) s" | tee -a "$R/steps.txt"
  keep
}

# Without it the main job trains on what is prepared, or on what is bundled; a
# rehearsal in small size on what is bundled.
data=${DATA:-$PWD/.gpu_data/fashion_mnist.npz}
[ -z "$SIM" ] && [ -f "$data" ] && data=",data=$data" || data=

# A copy without .git does not know which one it is.
revision=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
echo "revision $revision, $(date -u +%FT%TZ)" | tee -a "$R/steps.txt"

run="$PY scripts/run.py --meter=$meter"
step versions 20 $PY $here/versions.py
step doctor 30 $PY -m jaxpower doctor --json
step smoke 75 $PY $here/smoke.py
failed() { grep -c "^FAIL" "$R/$1.txt" 2>/dev/null; }
if [ "$(failed smoke)" -gt 0 ] 2>/dev/null; then
  # libdevice and ptxas may be those of the toolkit and not of a wheel.
  nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
  home=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
  before=${XLA_FLAGS:-}
  export XLA_FLAGS="$before --xla_gpu_cuda_data_dir=$home"
  step smoke_again 75 $PY $here/smoke.py
  if ! [ "$(failed smoke_again)" -lt "$(failed smoke)" ] 2>/dev/null; then
    # It was something else: what follows runs without the folder.
    unset XLA_FLAGS
    [ -z "$before" ] || export XLA_FLAGS=$before
  fi
fi
step mapping 60 $PY $here/mapping.py "$R/mapping.json"
step batch 290 $run --config="configs/batch.py:auto$data" --out="$runs/batch"
step questions 75 $PY benchmarks/nvml_questions.py --seconds 1.5 \
  --out "$R/nvml_questions.json"
step cells_resnet18 150 $run --config=$here/cells.py --out="$runs/resnet18"
step overhead 40 $PY $here/overhead.py "$R/overhead.json"
step gpu_tests 120 $PY -m pytest -q -m gpu -p no:cacheprovider -n 0 \
  tests/test_gpu.py
step cells_vit 150 $run --config=$here/cells.py:model=vit --out="$runs/vit"
step switches 120 $run --config=$here/switches.py --out="$runs/switches"
echo "total: $(($(date +%s) - began)) s" | tee -a "$R/steps.txt"
keep
cat "$OUT/steps.txt"
