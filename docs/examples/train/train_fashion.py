#!/usr/bin/env python3
"""Trains two small networks on Fashion-MNIST and writes them as ONNX.

fashion-lrp     conv, ReLU, average pooling, dense; no bias; output `logits`
fashion-resnet  batch norm kept in the file, max pooling, residual blocks, SiLU; output `probabilities`

The graphs are written node by node with onnx.helper, not by an exporter: the file holds exactly the
nodes of the functions below, under the names given here.
"""

import argparse
import math
import os
import time

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import nn

import check_fashion
import fashion


class LrpNet(nn.Module):
    """Two average poolings between five convolutions, then two dense layers, all without bias.

    Deep Taylor decomposition asks for biases <= 0, so that no ReLU fires on a zero input
    [Montavon et al. 2017]; at 0 no relevance is lost to them either, and f(t x) = t f(x) for t > 0, so
    that gradient times input and integrated gradients from 0 are complete. Dropout acts in training
    only and is not in the file.
    """

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(16, 24, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(24, 32, 3, padding=1, bias=False)
        self.conv4 = nn.Conv2d(32, 48, 3, padding=1, bias=False)
        self.conv5 = nn.Conv2d(48, 64, 3, bias=False)
        self.fc1 = nn.Linear(64 * 5 * 5, 64, bias=False)
        self.fc2 = nn.Linear(64, 10, bias=False)
        self.drop = nn.Dropout(0.25)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.avg_pool2d(x, 2)
        x = F.relu(self.conv3(x))
        x = F.relu(self.conv4(x))
        x = F.avg_pool2d(x, 2)
        x = F.relu(self.conv5(x))
        x = self.drop(x.flatten(1))
        x = self.drop(F.relu(self.fc1(x)))
        return self.fc2(x)


class Block(nn.Module):
    """y = silu(bn(conv(silu(bn(conv(x))))) + shortcut(x)).

    The shortcut is x itself, or bn(conv1x1(x)) where the shape changes.
    """

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.shortcut = None
        if stride != 1 or cin != cout:
            self.shortcut = nn.Conv2d(cin, cout, 1, stride, bias=False)
            self.shortcut_bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        y = F.silu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.shortcut is not None:
            x = self.shortcut_bn(self.shortcut(x))
        return F.silu(y + x)


class ResNet(nn.Module):
    """A ResNet in miniature: stem and block of 24 channels, blocks of 48 and 64, dense.

    SiLU [Elfwing et al. 2018] as in newer networks, written to ONNX as a product with a Sigmoid."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(24)
        self.block1 = Block(24, 24, 1)
        self.block2 = Block(24, 48, 2)
        self.block3 = Block(48, 64, 2)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = F.silu(F.max_pool2d(self.stem_bn(self.stem(x)), 3, 2, 1))
        x = self.block3(self.block2(self.block1(x)))
        return self.fc(x.mean((2, 3)))


# ---- ONNX --------------------------------------------------------------------------------------


class Graph:
    """Collects nodes and weights; every method returns the name of what it made."""

    def __init__(self, state):
        self.state = {k: v.detach().contiguous().numpy() for k, v in state.items()}
        self.nodes, self.weights = [], []

    def weight(self, name):
        a = np.ascontiguousarray(self.state[name], np.float32)
        self.weights.append(helper.make_tensor(name, TensorProto.FLOAT, a.shape, a.tobytes(),
                                               raw=True))
        return name

    def op(self, kind, name, *inputs, out=None, **attributes):
        self.nodes.append(helper.make_node(kind, list(inputs), [out or name], name, **attributes))
        return out or name

    def conv(self, name, x, stride=1, pad=0):
        w = self.weight(name + ".weight")
        k = self.state[w].shape[2:]
        return self.op("Conv", name, x, w, kernel_shape=k, strides=[stride] * 2, pads=[pad] * 4)

    def bn(self, name, x):
        p = [self.weight(f"{name}.{s}") for s in ("weight", "bias", "running_mean", "running_var")]
        return self.op("BatchNormalization", name, x, *p, epsilon=1e-5)

    def silu(self, name, x):
        return self.op("Mul", name, x, self.op("Sigmoid", name + ".sigmoid", x))

    def gemm(self, name, x, out=None):
        w = self.weight(name + ".weight")
        b = [self.weight(name + ".bias")] if name + ".bias" in self.state else []
        return self.op("Gemm", name, x, w, *b, out=out, transB=1)

    def model(self, name, output, doc):
        graph = helper.make_graph(
            self.nodes, name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 10])],
            self.weights, doc)
        model = helper.make_model(graph, producer_name="libxai docs/examples/train",
                                  opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, {"xai.preprocess": "zero-one",
                                       "xai.labels": "\n".join(fashion.LABELS)})
        onnx.checker.check_model(model, full_check=True)
        return model


def lrp_to_onnx(state):
    g = Graph(state)
    x = "image"
    for i, pad in enumerate([1, 1, 1, 1, 0], 1):
        x = g.conv(f"conv{i}", x, pad=pad)
        x = g.op("Relu", f"relu{i}", x)
        if i in (2, 4):
            x = g.op("AveragePool", f"pool{i // 2}", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.op("Flatten", "flatten", x, axis=1)
    x = g.op("Relu", "relu6", g.gemm("fc1", x))
    g.gemm("fc2", x, out="logits")
    return g.model("fashion-lrp", "logits", "Fashion-MNIST, plain ConvNet without biases")


def resnet_to_onnx(state):
    g = Graph(state)
    x = g.bn("stem_bn", g.conv("stem", "image", pad=1))
    x = g.op("MaxPool", "pool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.silu("stem_silu", x)
    for b, stride in (("block1", 1), ("block2", 2), ("block3", 2)):
        y = g.bn(f"{b}.bn1", g.conv(f"{b}.conv1", x, stride, 1))
        y = g.silu(f"{b}.silu1", y)
        y = g.bn(f"{b}.bn2", g.conv(f"{b}.conv2", y, 1, 1))
        if f"{b}.shortcut.weight" in state:
            x = g.bn(f"{b}.shortcut_bn", g.conv(f"{b}.shortcut", x, stride))
        x = g.silu(f"{b}.silu2", g.op("Add", f"{b}.add", y, x))
    x = g.op("GlobalAveragePool", "gap", x)
    x = g.gemm("fc", g.op("Flatten", "flatten", x, axis=1), out="logits")
    g.op("Softmax", "softmax", x, out="probabilities", axis=1)
    return g.model("fashion-resnet", "probabilities",
                   "Fashion-MNIST, small ResNet with batch norm, SiLU and softmax")


# ---- training ----------------------------------------------------------------------------------


def augment(x, shift):
    """Mirror half of the images; move each by up to `shift` pixels (zeros come in)."""
    n = len(x)
    x = torch.where(torch.rand(n, 1, 1, 1) < 0.5, x.flip(3), x)
    p = F.pad(x, [shift] * 4)
    d = torch.randint(0, 2 * shift + 1, (2, n, 1))
    rows = (d[0] + torch.arange(28))[:, :, None]
    cols = (d[1] + torch.arange(28))[:, None, :]
    return p[torch.arange(n)[:, None, None], 0, rows, cols][:, None]


def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        hits = sum((net(a).argmax(1) == b).sum().item()
                   for a, b in zip(x.split(1000), y.split(1000)))
    return hits / len(y)


def train(net, x, y, epochs, batch, lr, decay, held):
    """AdamW (decay on the weights only), one cycle of the learning rate, label smoothing 0.05."""
    weights = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() <= 1]
    opt = torch.optim.AdamW([{"params": weights, "weight_decay": decay},
                             {"params": others, "weight_decay": 0}], lr)
    steps = math.ceil(len(x) / batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(opt, lr, epochs * steps, pct_start=0.25)
    for epoch in range(epochs):
        net.train()
        start, total = time.time(), 0.0
        for i in torch.randperm(len(x)).split(batch):
            loss = F.cross_entropy(net(augment(x[i], 1)), y[i], label_smoothing=0.05)
            opt.zero_grad()
            loss.backward()
            opt.step()
            cycle.step()
            total += loss.item() * len(i)
        seconds = time.time() - start
        line = f"  epoch {epoch + 1:2d}/{epochs}  loss {total / len(x):.4f}  {seconds:.0f} s"
        if held is not None:
            line += f"  held-out {100 * accuracy(net, *held):.2f} %"
        print(line, flush=True)


# name: (network, writer, epochs, highest learning rate)
NETS = {"fashion-lrp": (LrpNet, lrp_to_onnx, 14, 2e-3),
        "fashion-resnet": (ResNet, resnet_to_onnx, 9, 4e-3)}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", default=fashion.DATA, help="folder of the four idx .gz files")
    p.add_argument("--out", default=os.path.join(fashion.EXAMPLES, "models"),
                   help="folder for the .onnx files")
    p.add_argument("--only", choices=NETS, help="train one of the two")
    p.add_argument("--epochs", type=int, help="default: 14 and 9")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, help="highest learning rate; default: 0.002 and 0.004")
    p.add_argument("--decay", type=float, default=0.02)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--held", type=int, default=0,
                   help="keep this many training images out and report on them (for tuning)")
    a = p.parse_args()

    torch.use_deterministic_algorithms(True)
    images, labels = fashion.load(a.data, "train")
    x, y = torch.from_numpy(fashion.to_input(images)), torch.from_numpy(labels)
    held = (x[-a.held:], y[-a.held:]) if a.held else None
    if held:
        x, y = x[:-a.held], y[:-a.held]
    os.makedirs(a.out, exist_ok=True)
    for name in [a.only] if a.only else NETS:
        make, to_onnx, epochs, lr = NETS[name]
        torch.manual_seed(a.seed)
        net = make()
        print(f"{name}: {sum(q.numel() for q in net.parameters())} parameters", flush=True)
        train(net, x, y, a.epochs or epochs, a.batch, a.lr or lr, a.decay, held)
        net.eval()
        path = os.path.join(a.out, name + ".onnx")
        onnx.save(to_onnx(net.state_dict()), path)

        few = x[:256]
        sess = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        got = sess.run(None, {"image": few.numpy()})[0]
        with torch.no_grad():
            want = net(few)
        if name == "fashion-resnet":
            want = want.softmax(1)
        print(f"  wrote {name}.onnx, {os.path.getsize(path)} bytes; "
              f"onnxruntime - torch: {np.abs(got - want.numpy()).max():.1e} at most")

    images, labels = fashion.load(a.data, "t10k")
    x = fashion.to_input(images)
    for name in [a.only] if a.only else NETS:
        path = os.path.join(a.out, name + ".onnx")
        check_fashion.report(path, check_fashion.session(path), x, labels)


if __name__ == "__main__":
    main()
