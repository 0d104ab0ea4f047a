#!/usr/bin/env bash
# The figures of this folder. usage: figures.sh [FOLDER [FIGURE...]]
# XAI names the tool (default: xai). Each FIGURE.png comes with a folder of its numbers, a file a row.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
xai=${XAI:-xai}
out=${1:-figures}
shift || true
mkdir -p "$out"
models=$here/../models
experts=$here/experts
network=$models/fashion-lrp.onnx
decoder=$models/fashion-decoder.onnx
gaussian=$experts/gaussian.npz

# row NAME OPTIONS...: the ten classes; the judge, who saw other pictures, is there to judge only.
row() {
  local name=$1
  shift
  "$xai" prototype "$network" -t all "$@" --prior "$experts/judge.npz,weight=0" \
    -o "$out/$figure/$name.npz" -o "$out/$figure/$name.json"
  rows+=("$out/$figure/$name.npz")
}

# The same score under six experts: the network alone does not know what clothes look like.
priors() {
  row l2 --prior l2,weight=0.002
  row mean --prior "mean,mean=@$gaussian:mean,weight=0.005" --init mean
  row gaussian --prior "$gaussian,weight=0.0005" --init mean
  row rbm --prior "$experts/rbm.npz,weight=0.0003" --init mean
  row conv-rbm --prior "$experts/conv-rbm.npz,weight=0.0001" \
    --prior "mean,mean=@$gaussian:mean,weight=0.004" --init mean
  row code --generator "$decoder" --prior "$experts/codes.npz,on=code,weight=1e-5" --noise 1 \
    --restarts 2 --keep best --rate 0.1 --steps 500
}

# From no expert to nothing but the expert.
weight() {
  for w in 0 1e-5 1e-4 1e-3 1e-2 1e-1 1 10; do
    row "weight $w" --prior "$gaussian,weight=$w" --init mean
  done
}

# From global to local: what must change in this pullover for each class.
near() {
  "$xai" run "$network" "$here/../images/01-pullover.png" --at image -o "$out/$figure/x0.npy"
  for eta in 0 0.001 0.01 0.1 1; do
    row "eta $eta" --prior "$gaussian,weight=0.0005" --init mean \
      --prior "near,x0=@$out/$figure/x0.npy,weight=$eta"
  done
}

# A class has many faces: six starts in code space. One file: a row a class.
restarts() {
  "$xai" prototype "$network" -t all --restarts 6 --noise 1 --generator "$decoder" \
    --prior "$experts/codes.npz,on=code,weight=0.002" --prior "$experts/judge.npz,weight=0" \
    -o "$out/$figure/restarts.npz" -o "$out/$figure/restarts.json" -o "$out/restarts.png"
}

[ $# -gt 0 ] || set -- priors weight near restarts
for figure; do
  mkdir -p "$out/$figure"
  rows=()
  "$figure"
  [ ${#rows[@]} -eq 0 ] || "$xai" sheet "${rows[@]}" -o "$out/$figure.png"
done
