"""Fashion-MNIST without a framework: the four idx files, the names, the paths. Needs numpy only."""

import gzip
import os

import numpy as np

DATA = "/usr/share/datasets/fashion-mnist"  # where Debian's dataset-fashion-mnist puts them
HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.dirname(HERE)

LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
          "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
SLUGS = [s.lower().replace("/", "-").replace(" ", "-") for s in LABELS]
MODELS = ["fashion-lrp.onnx", "fashion-resnet.onnx"]


def read_idx(path):
    """An idx file: two zero bytes, type 8 (unsigned byte), rank, big-endian sizes, the bytes."""
    with gzip.open(path, "rb") as f:
        raw = f.read()
    if raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an idx file of unsigned bytes")
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, 4).astype(int)
    return np.frombuffer(raw, np.uint8, -1, 4 + 4 * rank).reshape(shape)


def load(folder, part):
    """part is 'train' or 't10k'; returns images u8 [N,28,28] and labels int64 [N]."""
    images = read_idx(os.path.join(folder, f"{part}-images-idx3-ubyte.gz"))
    labels = read_idx(os.path.join(folder, f"{part}-labels-idx1-ubyte.gz"))
    if len(images) != len(labels):
        raise ValueError(f"{folder}: {len(images)} images but {len(labels)} labels in '{part}'")
    return images, labels.astype(np.int64)


def to_input(images):
    """u8 [N,28,28] -> float32 [N,1,28,28] in 0..1: what the networks take ('zero-one')."""
    return images[:, None].astype(np.float32) / np.float32(255)
