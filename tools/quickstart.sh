#!/usr/bin/env bash
# Trains a detector with a fixed number of defect images in every batch, end to end:
# sets up .venv, makes a synthetic data set, trains on it, shows what was found.
set -euo pipefail

usage='usage: bash tools/quickstart.sh [--compare]'
help="$usage

Sets up .venv, makes a synthetic data set, trains a detector with a quota of defect
images and shows what it found. With --compare it trains the stock sampling for the same
number of iterations too (5 to 8 minutes more), and ends with a before/after picture and the
measured difference."
compare=
case ${1-} in
  '') ;;
  --compare) compare=yes ;;
  -h | --help) echo "$help"; exit ;;
  *) echo "unknown option '$1'; $usage" >&2; exit 2 ;;
esac
[ $# -le 1 ] || { echo "$usage" >&2; exit 2; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/setup_env.sh openmmlab
export PATH="$PWD/.venv/bin:$PATH"
# With two threads for each of several processes on two cores, all of them wait.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"

config=configs/defect_yolox.py
work_dir=work_dirs/defect_yolox

# What a reader wants of a training's log: losses, validations, what the batches are made
# of, once, and each warning to its last line, but two of MMEngine's about itself.
digest() {
  local line shown announced='' goes_on=''
  while IFS= read -r line; do
    shown=$goes_on goes_on=
    case $line in
      *' - WARNING - "FileClient"'* | *' - WARNING - "HardDiskBackend"'*) shown= ;;
      *' - INFO - Epoch(train)'*loss* | *' - INFO - Epoch(val)'*coco/*) shown=yes ;;
      *' - INFO - at '*' % overkill, threshold '*) shown=yes ;;
      *' - INFO - '[0-9]*' normal + '*) shown=${announced:-yes} announced=no ;;
      *' - INFO - '*) shown= ;;
      *' - mmengine - '* | *Error* | *Traceback*) shown=yes goes_on=yes ;;
      *) goes_on=$shown ;;
    esac
    [ "$shown" != yes ] || printf '%s\n' "$line"
  done
}

# train CONFIG WORK_DIR
train() {
  echo "== Training: mim train mmdet $1 (5 to 8 minutes on 2 idle CPU cores)"
  echo "   whole log: $2/train.log"
  mkdir -p "$2"
  PYTHONWARNINGS=ignore mim train mmdet "$1" --work-dir "$2" 2>&1 |
    tee "$2/train.log" |
    digest ||
    { tail -30 "$2/train.log"; exit 1; }
}

echo "== Data: 1,000 training and 200 validation images (seconds)"
python tools/make_dataset.py data/synthetic

train "$config" "$work_dir"
if [ -n "$compare" ]; then
  rm -f "${work_dir}_stock.py" # of the last time
  mmdefect stock "$config" "${work_dir}_stock.py"
  train "${work_dir}_stock.py" "${work_dir}_stock"
fi

echo "== Result"
mmdefect show "$work_dir"
if [ -n "$compare" ]; then
  mmdefect show "$work_dir" --against "${work_dir}_stock"
fi

echo "== Next: judge it, and choose the score to set"
echo "   source .venv/bin/activate"
echo "   mmdefect review $work_dir"
