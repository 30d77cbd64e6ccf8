#!/usr/bin/env bash
# Trains a detector with a fixed number of defect images in every batch, end to end:
# sets up .venv, makes a synthetic data set, trains on it, shows what was found.
# usage: bash tools/quickstart.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/setup_env.sh openmmlab
export PATH="$PWD/.venv/bin:$PATH"
# With two threads for each of several processes on two cores, all of them wait.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"

config=configs/defect_yolox.py
work_dir=work_dirs/defect_yolox

echo "== Data: 1,000 training and 200 validation images (seconds)"
python tools/make_dataset.py data/synthetic

echo "== Training: mim train mmdet $config (about 5 minutes on 2 idle CPU cores)"
echo "   whole log: $work_dir/train.log"
mkdir -p "$work_dir"
PYTHONWARNINGS=ignore mim train mmdet "$config" --work-dir "$work_dir" 2>&1 |
  tee "$work_dir/train.log" |
  grep --line-buffered -E 'mmengine - (INFO|ERROR|CRITICAL) - (Epoch\((train|val)\).*(loss|coco/)|[0-9,]+ normal)|Error|Traceback' ||
  { tail -30 "$work_dir/train.log"; exit 1; }

echo "== Result"
python -W ignore tools/show_detections.py "$work_dir"
