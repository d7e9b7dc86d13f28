#!/usr/bin/env bash
# Regenerates every golden: models/, cases/ and manifest.json. Needs Python 3.11 or later. Two runs give the
# same bytes on one kind of CPU; on another, torch draws and rounds a little differently (check_version.py still agrees).
#
# PYTHON_HF5, PYTHON_HF4: interpreters with the packages of requirements-hf5.txt and requirements-hf4.txt. Where one is not
# set, .venv-hf5 or .venv-hf4 in the repository root is used, and made when it is missing. PYTHON_HF4=none goes without: the
# cases of transformers 4 keep the files they have.
set -euo pipefail
cd "$(dirname "$0")"
root=../..

# Prints the interpreter of $1 (hf5 or hf4); makes its venv when there is none.
interpreter() {
  local venv=$root/.venv-$1
  if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --requirement "requirements-$1.txt" >&2
  fi
  echo "$venv/bin/python"
}

PYTHON_HF5=${PYTHON_HF5:-$(interpreter hf5)}
PYTHON_HF4=${PYTHON_HF4:-$(interpreter hf4)}

"$PYTHON_HF5" generate.py
"$PYTHON_HF5" generate_led.py
if [ "$PYTHON_HF4" != none ]; then
  "$PYTHON_HF4" generate.py
  "$PYTHON_HF4" generate_led.py
  "$PYTHON_HF4" check_version.py
  "$PYTHON_HF4" pipelines.py
fi
"$PYTHON_HF5" check_version.py
"$PYTHON_HF5" tokenizer_cases.py
"$PYTHON_HF5" sampling.py
"$PYTHON_HF5" manifest.py
