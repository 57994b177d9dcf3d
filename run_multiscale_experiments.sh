#!/usr/bin/env bash
# All experiments in a row, from data to comparison; bash run_multiscale_experiments.sh --help explains the flags.
# PYTHON chooses the interpreter. Flags are relative to where the user is, the scripts to where this file is.
set -euo pipefail
python=${PYTHON:-python3}
[ -x "$python" ] && python=$(realpath --no-symlinks "$python")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m pipeline "$@"
