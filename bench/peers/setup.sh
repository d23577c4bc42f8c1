#!/bin/sh
# Makes a Python environment with the packages that the programs here are compared with, CPU only.
# usage: setup.sh FOLDER      then: xlstm-speed --peers FOLDER/bin/python
set -eu
[ $# -eq 1 ] || {
    echo "usage: setup.sh FOLDER" >&2
    exit 2
}
python=${PYTHON:-python3}
"$python" -c 'import venv, ensurepip' 2>/dev/null || {
    echo "setup.sh: $python cannot make environments; on Debian: apt-get install python3-venv" >&2
    exit 2
}
[ -x "$1/bin/python" ] || "$python" -m venv "$1"
"$1/bin/python" -m pip install --quiet torch==2.13.0 xlstm==2.0.6 ninja
"$1/bin/python" -c 'import torch, xlstm; print("torch", torch.__version__, "and xlstm are in", __import__("sys").prefix)'
