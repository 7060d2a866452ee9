#!/bin/sh
# Starts (or goes on with) a run in the background: training/start.sh [FOLDER] [HOURS]
# Large blocks are kept by malloc: giving them back each step costs a tenth of the speed.
set -eu
cd "$(dirname "$0")/.."
run=${1:-training/runs/main}
mkdir -p "$run"
export MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 \
    MALLOC_TOP_PAD_=268435456 OMP_WAIT_POLICY=passive
setsid nohup nice -n 19 "${PYTHON:-python}" -m training.train --run "$run" --hours "${2:-1.5}" \
    >>"$run/log.txt" 2>&1 &
echo "$!" >"$run/pid"
