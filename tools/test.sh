#!/usr/bin/env bash
# Makes the environment where it is missing, then checks the code and runs the tests.
set -euo pipefail

help='usage: bash tools/test.sh [openmmlab|onedl] [--slow] [PYTEST_ARGUMENT...]

Runs ruff, mypy, import-linter (default stack only) and the fast tests, in two processes (-n 0: in
one); --slow runs the slow tests instead, in one. Paths among the pytest arguments start at the
project'\''s root.

  bash tools/test.sh
  bash tools/test.sh onedl --slow -k resume'

stack=openmmlab
case ${1-} in
  -h | --help) echo "$help"; exit ;;
  openmmlab | onedl) stack=$1; shift ;;
esac
case $stack in
  openmmlab) bin=.venv/bin ;;
  onedl) bin=.venv-onedl/bin ;;
esac

# The slow tests train on all cores as it is.
arguments=()
processes=(-n 2 --dist worksteal)
for argument; do
  case $argument in
    --slow) arguments+=(-m slow); processes=() ;;
    *) arguments+=("$argument") ;;
  esac
done

unset CDPATH VIRTUAL_ENV PYTHONPATH PYTHONHOME
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/setup_env.sh "$stack"
if [ "$stack" = openmmlab ]; then
  "$bin/ruff" check mmdefect configs tools tests
  "$bin/ruff" format --check mmdefect configs tools tests
  "$bin/mypy"
  "$bin/lint-imports"
fi
# One thread each: tests start several processes, which would wait for each other.
export MMDEFECT_STACK="$stack" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$bin/python" -m pytest ${processes[@]+"${processes[@]}"} ${arguments[@]+"${arguments[@]}"}
