#!/usr/bin/env bash
# The arms of the comparison in configs/README.md, side by side on one GPU.
set -euo pipefail

help='usage: bash tools/compare_on_gpu.sh CONFIG [ARGUMENT_OF_COMPARE...]

Trains CONFIG, such as configs/defect_yolox_s.py with your data (batches of 16 at 640
pixels), in seven ways to draw images, with two seeds, seven trainings at once: these take
72 GB of GPU memory, and took 5 minutes for 900 iterations on an H200. --jobs 3 is for a
smaller GPU. It goes on where it was interrupted.

  bash tools/compare_on_gpu.sh configs/defect_yolox_s.py --iters 600
  bash tools/compare_on_gpu.sh configs/defect_yolox_s.py --no-train'

case ${1-} in
  '' | -h | --help) echo "$help"; exit ;;
esac

# Three eighths of the images, and half with those that are pasted.
exec mmdefect compare --seeds 2 --jobs 7 "$@" --samplers stock weighted \
  quota=6 quota_unpreserved quota=4,pasted=4 quota=6,counterexample=2 \
  quota=4,pasted=4,counterexample=2
