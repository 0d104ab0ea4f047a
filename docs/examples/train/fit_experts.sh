#!/usr/bin/env bash
# Fits the density experts of ../prototypes/experts with xai fit. usage: fit_experts.sh CODES.npy, which
# `train_decoder.py --codes CODES.npy` wrote. XAI names the tool (default: xai), DATA the folder of the
# four idx .gz files.
set -euo pipefail
xai=${XAI:-xai}
data=${DATA:-/usr/share/datasets/fashion-mnist}
out=$(cd "$(dirname "$0")" && pwd)/../prototypes/experts
train=$data/train-images-idx3-ubyte.gz
test=$data/t10k-images-idx3-ubyte.gz
machine="rate=0.001 momentum=0.5 persistent=on betas=0"

"$xai" fit gaussian "$train" -p zero-one rank=50 -o "$out/gaussian.npz"
"$xai" fit gaussian "$test" -p zero-one rank=100 -o "$out/judge.npz" # of pictures no other has seen
"$xai" fit rbm "$train" -p zero-one hidden=256 epochs=20 deviation=0.15 $machine -o "$out/rbm.npz"
"$xai" fit conv-rbm "$train" -p zero-one filters=16 side=7 epochs=1 batch=50 rate=0.003 momentum=0.5 \
  deviation=0.3 betas=0 -o "$out/conv-rbm.npz"
"$xai" fit gaussian "$1" -o "$out/codes.npz"
"$xai" fit rbm "$1" hidden=64 epochs=5 $machine -o "$out/codes-rbm.npz"
