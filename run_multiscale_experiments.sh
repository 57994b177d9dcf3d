#!/usr/bin/env bash
# Train the NPR baseline and the multi-scale attention detector, test and compare both, test the attention.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash run_multiscale_experiments.sh [--quick] [--dataroot DIR] [--testroot DIR] [--out DIR] [--seed N]

  --quick         small edition of UpsampleBench made on the spot below --out, short training, native pixels
                  (this is make demo); takes no --dataroot and no --testroot
  --dataroot DIR  training data with train/ and val/       (default ./datasets/ForenSynths_train_val)
  --testroot DIR  test generators                          (default ./datasets/Generalization_Test)
  --out DIR       checkpoints, scores, comparison          (default ./results/experiments; --quick ./demo)
  --seed N        of both trainings                        (default 0)

A training run that was interrupted is continued; PYTHON chooses the interpreter.
TEXT
}

fail() { echo "run_multiscale_experiments.sh: error: $1" >&2; exit 2; }

python=${PYTHON:-python3}
[ -x "$python" ] && python=$(realpath --no-symlinks "$python")
quick=false dataroot='' testroot='' out='' seed=0
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=true; shift ;;
        --dataroot | --testroot | --out | --seed)
            [ $# -gt 1 ] || fail "$1 needs a value"
            printf -v "${1#--}" %s "$2"; shift 2 ;;
        -h | --help) usage; exit 0 ;;
        *) fail "unknown flag $1 (--help lists them)" ;;
    esac
done

# Flags are relative to where the user is, the scripts to where this file is.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if $quick; then
    [ -z "$dataroot$testroot" ] || fail "--quick makes its own data: leave --dataroot and --testroot out"
    out=$(realpath -m "${out:-$here/demo}")
    dataroot=$out/UpsampleBench testroot=$out/UpsampleBench/test
    cd "$here"
    training=(--no_resize --cropSize 64 --batch_size 16 --niter 6 --lr 0.0007 --delr_freq 2)
    testing=(--no_resize --cropSize 128 --batch_size 32)
    checkpoint=model_epoch_best  # six epochs end anywhere; validation chooses
    samples=100
    [ -f "$dataroot/edition.json" ] || "$python" make_benchmark.py --out "$dataroot"
else
    dataroot=$(realpath -m "${dataroot:-$here/datasets/ForenSynths_train_val}")
    testroot=$(realpath -m "${testroot:-$here/datasets/Generalization_Test}")
    out=$(realpath -m "${out:-$here/results/experiments}")
    cd "$here"
    training=(--classes car,cat,chair,horse --batch_size 32 --niter 50 --lr 0.0002 --delr_freq 10)
    testing=(--batch_size 64)
    checkpoint=model_epoch_last
    samples=1000
fi

results=()
for detector in single_scale multiscale_attention; do
    mode=(); [ -f "$out/checkpoints/$detector/opt.json" ] && mode=(--continue_train)
    printf '\n== %s: training\n' "$detector"
    "$python" train.py --name "$detector" --model_type "$detector" --checkpoints_dir "$out/checkpoints" \
        --dataroot "$dataroot" --seed "$seed" "${training[@]}" ${mode[@]+"${mode[@]}"}
    printf '\n== %s: testing\n' "$detector"
    "$python" test.py --model_path "$out/checkpoints/$detector/$checkpoint.pth" --dataroot "$testroot" \
        --output_dir "$out/results/$detector" "${testing[@]}"
    results+=("$out/results/$detector")
done
printf '\n== comparison\n'
"$python" -m analysis.compare "${results[@]}" --out "$out"
printf '\n== attention\n'
attention=$out/results/multiscale_attention
"$python" visualize_attention.py --scores "$attention/scores.csv" --num_samples 24 --output_dir "$out/attention"
"$python" faithfulness.py --model_path "$out/checkpoints/multiscale_attention/$checkpoint.pth" \
    --dataroot "$testroot" --out "$out/faithfulness" --num_samples "$samples" "${testing[@]}"
"$python" disagreements.py "$out/results/single_scale" "$attention" --out "$out/disagreements"
