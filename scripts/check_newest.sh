#!/usr/bin/env bash
# Do the tests pass on the newest releases that pyproject.toml allows? For a scheduled job; see docs/development.md.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: scripts/check_newest.sh [--keep] [pytest arguments]

Installs the newest releases that pyproject.toml allows into a throw-away environment, prints how they differ from
constraints/newest.txt (from Python 3.12 on: py312.txt), runs `pistar-vf doctor` and then the tests, and exits with the tests' status.

  --keep            leave the environment, and say where it is
  pytest arguments  added to those of the whole suite, such as: tests/test_intervals.py -x

PYTHON=python3.12 chooses the interpreter. The pins stay as they are. Needs the network.
HELP
}

keep=false
case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  --keep) keep=true && shift ;;
esac

cd "$(dirname "$0")/.."
exec </dev/null
folder="$(mktemp -d)"
python="$folder/venv/bin/python"
uv="$folder/venv/bin/uv"
if $keep; then echo "the environment will be $folder/venv"; else trap 'rm -rf "$folder"' EXIT; fi
trap 'exit 130' INT
trap 'exit 143' TERM

install() {
  "${PYTHON:-python3}" -m venv "$folder/venv" || return
  "$python" -m pip install --quiet uv || echo "uv is not to be had here; going on with pip"
  # No source builds, as for the pins: where the newest release of a package has no wheel, an older one is taken.
  if [ -x "$uv" ] && "$uv" pip install --quiet --python "$python" --only-binary :all: --no-binary pistar-vf -e '.[dev]'; then
    return
  fi
  "$python" -m pip install --quiet --prefer-binary -e '.[dev]'
}
if ! install; then
  echo "fails on the newest releases: they cannot be installed"
  exit 1
fi

# Many packages have newer releases from Python 3.12 on than for 3.11.
pins=constraints/newest.txt
if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then pins=constraints/py312.txt; fi
changes="$("$python" scripts/changed_pins.py "$pins")"
printf '%s differs from what is newest (pinned -> newest):\n%s\n\n' "$pins" "${changes:-nothing}"
"$folder/venv/bin/pistar-vf" doctor || echo "the doctor found problems; the tests run nevertheless"

status=0
"$python" -m pytest -p no:cacheprovider -n 2 -m "not slow" "$@" || status=$?
if [ "$status" -ne 0 ]; then
  changes="${changes:-nothing has changed}"
  echo "fails on the newest releases: ${changes//$'\n'/, }"
elif [ -n "$changes" ]; then
  echo "passes on the newest releases; to move the pins: $(sed -n 's/^# Made with: //p' "$pins")"
else
  echo "passes on the newest releases, which are those of $pins"
fi
exit "$status"
