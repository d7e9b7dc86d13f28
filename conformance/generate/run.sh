#!/usr/bin/env bash
# Regenerates every golden: models/, cases/ and manifest.json. Needs Python 3.11 or later; makes .venv-hf5 when PYTHON_HF5 is
# not set. Two runs give the same bytes.
set -euo pipefail
cd "$(dirname "$0")"
root=../..
if [ -z "${PYTHON_HF5:-}" ]; then
  PYTHON_HF5=$root/.venv-hf5/bin/python
  if [ ! -x "$PYTHON_HF5" ]; then
    python3 -m venv "$root/.venv-hf5"
    "$PYTHON_HF5" -m pip install --quiet --requirement requirements.txt
  fi
fi
"$PYTHON_HF5" generate.py
"$PYTHON_HF5" tokenizer_cases.py
"$PYTHON_HF5" manifest.py
