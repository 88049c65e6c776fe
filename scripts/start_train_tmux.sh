#!/usr/bin/env bash
# Stage 2 of the stitched model in a tmux session, which goes on when the terminal is closed.
# Set the variables here, or in front of the command; further words go to scripts/train.py:
#
#   DATA_DIR=~/datasets/vials_labelled scripts/start_train_tmux.sh --tokenizer_path ~/vlm_ckpt/tokenizer.model
set -euo pipefail

DATA_DIR="${DATA_DIR:-}"                # the labelled LeRobot dataset; or both of the next two
PARQUET_DIR="${PARQUET_DIR:-}"          # such as <dataset>/data/chunk-000
VIDEO_ROOT="${VIDEO_ROOT:-}"            # such as <dataset>/videos; may stay empty
OUTPUT_BASE="${OUTPUT_BASE:-outputs}"   # stage 1 left its projector in OUTPUT_BASE/alignment
SESSION="${SESSION:-robot_vf}"          # name of the tmux session
PYTHON="${PYTHON:-python}"              # an interpreter with pistar_vf
CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES:-0}"

refuse() {
  echo "error: $1" >&2
  exit 2
}

if [[ -n "$DATA_DIR" && -n "$PARQUET_DIR" ]]; then
  refuse "expected DATA_DIR or PARQUET_DIR, got both"
elif [[ -n "$DATA_DIR" ]]; then
  [[ -d "$DATA_DIR" ]] || refuse "DATA_DIR=$DATA_DIR: no such folder"
  data=(--data_dir "$DATA_DIR")
elif [[ -n "$PARQUET_DIR" ]]; then
  [[ -d "$PARQUET_DIR" ]] || refuse "PARQUET_DIR=$PARQUET_DIR: no such folder"
  data=(--parquet_dir "$PARQUET_DIR")
  if [[ -n "$VIDEO_ROOT" ]]; then
    [[ -d "$VIDEO_ROOT" ]] || refuse "VIDEO_ROOT=$VIDEO_ROOT: no such folder"
    data+=(--video_root "$VIDEO_ROOT")
  fi
else
  refuse "expected a dataset: set DATA_DIR, or PARQUET_DIR and VIDEO_ROOT, at the top of $0"
fi
python="$(command -v "$PYTHON")" || refuse "PYTHON=$PYTHON: no such program; activate the environment of pistar_vf"
command -v tmux >/dev/null || refuse "tmux is not installed; install it, or run scripts/train.py --stage 2 yourself"
if tmux has-session -t "=$SESSION" 2>/dev/null; then
  refuse "the tmux session $SESSION is there already; look: tmux attach -t $SESSION, or set SESSION to another name"
fi

mkdir -p "$OUTPUT_BASE"
log="$OUTPUT_BASE/$SESSION.log"
# A tmux server that runs already knows neither this shell's variables nor its PATH, so the command names both itself.
train=(env "CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES" "$python" "$(dirname "$0")/train.py" --stage 2)
train+=(--output_base "$OUTPUT_BASE" "${data[@]}" "$@")
command="$(printf '%q ' "${train[@]}") 2>&1 | tee -a $(printf %q "$log"); exec bash"
tmux new-session -d -s "$SESSION" -c "$PWD" bash -c "$command"
echo "watch: tmux attach -t $SESSION"
echo "result: $OUTPUT_BASE/robot_vf, log in $log"
