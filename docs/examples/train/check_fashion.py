#!/usr/bin/env python3
"""Measures the two networks on the 10,000 Fashion-MNIST test images with onnxruntime.

With --write also writes the sample images and the golden logits. Needs no torch.
"""

import argparse
import os

import numpy as np
import onnx
import onnxruntime
from PIL import Image

import fashion


def session(path):
    """A session whose one output is the logits: a trailing Softmax is cut off."""
    model = onnx.load(path)
    last = model.graph.node[-1]
    if last.op_type == "Softmax":
        del model.graph.output[:]
        model.graph.output.append(onnx.helper.make_tensor_value_info(
            last.input[0], onnx.TensorProto.FLOAT, ["N", 10]))
        del model.graph.node[-1]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options,
                                        providers=["CPUExecutionProvider"])


def logits(sess, x, batch=500):
    return np.concatenate([sess.run(None, {"image": x[i:i + batch]})[0]
                           for i in range(0, len(x), batch)])


def report(path, sess, x, labels):
    """Prints the accuracy and returns the predicted class of every image."""
    answer = logits(sess, x).argmax(1)
    hits = int((answer == labels).sum())
    print(f"{os.path.basename(path)}: {hits} of {len(labels)} test images right, "
          f"{100 * hits / len(labels):.2f} %, {os.path.getsize(path)} bytes")
    return answer


def check_layers(path):
    """The promise of fashion-lrp: no Conv or Gemm has a bias, and nothing normalises."""
    nodes = onnx.load(path).graph.node
    biased = [n.name for n in nodes if n.op_type in ("Conv", "Gemm") and len(n.input) > 2]
    if biased or {n.op_type for n in nodes} & {"BatchNormalization", "MaxPool"}:
        raise SystemExit(f"{path}: a bias ({biased}), or a layer it must not have")


def choose(labels, first, second):
    """Test indices, ascending: two a class, the first that both networks get right; but the second
    Shirt is the first Shirt that both take for the same wrong class."""
    right = (first == labels) & (second == labels)
    picks = []
    for c in range(10):
        good = np.flatnonzero((labels == c) & right)[:2]
        if fashion.LABELS[c] == "Shirt":
            wrong = np.flatnonzero((labels == c) & (first != c) & (first == second))[:1]
            good = np.concatenate([good[:1], wrong])
        picks.extend(good)
    return sorted(int(i) for i in picks)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", default=fashion.DATA, help="folder of the four idx .gz files")
    p.add_argument("--models", default=os.path.join(fashion.EXAMPLES, "models"))
    p.add_argument("--write", action="store_true",
                   help="write ../images, ../models/fashion-labels.txt and golden.txt")
    a = p.parse_args()

    images, labels = fashion.load(a.data, "t10k")
    x = fashion.to_input(images)
    check_layers(os.path.join(a.models, fashion.MODELS[0]))
    answers, sessions = [], []
    for name in fashion.MODELS:
        path = os.path.join(a.models, name)
        sessions.append(session(path))
        answers.append(report(path, sessions[-1], x, labels))
    if not a.write:
        return

    folder = os.path.join(fashion.EXAMPLES, "images")
    os.makedirs(folder, exist_ok=True)
    for old in os.listdir(folder):
        if old.endswith(".png"):
            os.remove(os.path.join(folder, old))
    golden = {name: [] for name in fashion.MODELS}
    print("\n| file | test index | class | fashion-lrp says | fashion-resnet says |")
    print("|---|---|---|---|---|")
    for k, i in enumerate(choose(labels, *answers)):
        name = f"{k:02d}-{fashion.SLUGS[labels[i]]}.png"
        Image.fromarray(images[i]).save(os.path.join(folder, name), optimize=True)
        print("|", " | ".join([f"`{name}`", str(i), fashion.LABELS[labels[i]]]
                              + [fashion.LABELS[r[i]] for r in answers]), "|")
        for model, sess in zip(fashion.MODELS, sessions):
            row = sess.run(None, {"image": x[i:i + 1]})[0][0]
            golden[model].append(" ".join([model, name] + [f"{v:.9g}" for v in row]))
    with open(os.path.join(fashion.HERE, "golden.txt"), "w", encoding="ascii") as f:
        f.write("".join(line + "\n" for name in fashion.MODELS for line in golden[name]))
    path = os.path.join(fashion.EXAMPLES, "models", "fashion-labels.txt")
    with open(path, "w", encoding="ascii") as f:
        f.write("".join(s + "\n" for s in fashion.LABELS))


if __name__ == "__main__":
    main()
