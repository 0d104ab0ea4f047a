#!/usr/bin/env python3
"""Trains a small decoder of Fashion-MNIST as a generator for `xai prototype` and writes it as ONNX.

A variational autoencoder [Kingma and Welling 2014]: an encoder q(z|x), 24 numbers a picture, and the
decoder g(z) that is kept. Loss: the cross-entropy of the pixels + beta KL(q(z|x) | N(0, 1)); so a code
that is likely under N(0, 1) gives a picture that looks like clothes.

With --codes FILE.npy also writes the mean code of every training picture: what `xai fit` takes.
"""

import argparse
import os
import time

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import nn

import fashion
from train_fashion import Graph

CODE = 24


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1 = nn.Conv2d(1, 24, 4, 2, 1)
        self.down2 = nn.Conv2d(24, 48, 4, 2, 1)
        self.to_code = nn.Linear(48 * 7 * 7, 2 * CODE)
        self.fc = nn.Linear(CODE, 64 * 7 * 7)
        self.up1 = nn.ConvTranspose2d(64, 32, 4, 2, 1)
        self.up2 = nn.ConvTranspose2d(32, 16, 4, 2, 1)
        self.last = nn.Conv2d(16, 1, 3, padding=1)

    def encode(self, x):
        x = F.relu(self.down2(F.relu(self.down1(x))))
        return self.to_code(x.flatten(1)).chunk(2, 1)

    def decode(self, z):
        """The logits of the pixels."""
        x = F.relu(self.fc(z)).view(-1, 64, 7, 7)
        return self.last(F.relu(self.up2(F.relu(self.up1(x)))))

    def forward(self, x):
        mean, logvar = self.encode(x)
        z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        kl = 0.5 * (mean ** 2 + logvar.exp() - 1 - logvar).sum()
        return self.decode(z), kl


def train(net, x, epochs, batch, lr, beta):
    opt = torch.optim.Adam(net.parameters(), lr)
    steps = (len(x) + batch - 1) // batch
    cycle = torch.optim.lr_scheduler.OneCycleLR(opt, lr, epochs * steps, pct_start=0.2)
    for epoch in range(epochs):
        start, pixels, spread = time.time(), 0.0, 0.0
        for i in torch.randperm(len(x)).split(batch):
            logits, kl = net(x[i])
            loss = F.binary_cross_entropy_with_logits(logits, x[i], reduction="sum")
            opt.zero_grad()
            ((loss + beta * kl) / len(i)).backward()
            opt.step()
            cycle.step()
            pixels, spread = pixels + loss.item(), spread + kl.item()
        print(f"  epoch {epoch + 1:2d}/{epochs}  pixels {pixels / len(x):.2f}  KL "
              f"{spread / len(x):.2f}  {time.time() - start:.0f} s", flush=True)


def to_onnx(state):
    """code [N,24] -> image [N,1,28,28] in 0..1."""
    g = Graph(state)
    x = g.op("Relu", "relu1", g.gemm("fc", "code"))
    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [-1, 64, 7, 7])
    x = g.op("Reshape", "reshape", x, "shape")
    for name, relu in (("up1", "relu2"), ("up2", "relu3")):
        x = g.op("ConvTranspose", name, x, g.weight(name + ".weight"), g.weight(name + ".bias"),
                 kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4)
        x = g.op("Relu", relu, x)
    x = g.op("Conv", "last", x, g.weight("last.weight"), g.weight("last.bias"),
             kernel_shape=[3, 3], pads=[1] * 4)
    g.op("Sigmoid", "sigmoid", x, out="image")
    graph = helper.make_graph(
        g.nodes, "fashion-decoder",
        [helper.make_tensor_value_info("code", TensorProto.FLOAT, ["N", CODE])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
        g.weights + [shape], "Fashion-MNIST, decoder of a variational autoencoder")
    model = helper.make_model(graph, producer_name="libxai docs/examples/train",
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", default=fashion.DATA, help="folder of the four idx .gz files")
    p.add_argument("--out", default=os.path.join(fashion.EXAMPLES, "models"),
                   help="folder for the .onnx file")
    p.add_argument("--codes", help="also write the mean codes of the training pictures here")
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=3e-3, help="highest learning rate")
    p.add_argument("--beta", type=float, default=1, help="weight of the KL divergence")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()

    torch.use_deterministic_algorithms(True)
    torch.manual_seed(a.seed)
    images, _ = fashion.load(a.data, "train")
    x = torch.from_numpy(fashion.to_input(images))
    net = Vae()
    train(net, x, a.epochs, a.batch, a.lr, a.beta)
    net.eval()
    keep = {k: v for k, v in net.state_dict().items() if not k.startswith(("down", "to_code"))}
    path = os.path.join(a.out, "fashion-decoder.onnx")
    os.makedirs(a.out, exist_ok=True)
    onnx.save(to_onnx(keep), path)
    with torch.no_grad():
        codes = torch.cat([net.encode(b)[0] for b in x.split(1000)])
        want = net.decode(codes[:256]).sigmoid().numpy()
    sess = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    got = sess.run(None, {"code": codes[:256].numpy()})[0]
    print(f"wrote {path}: {os.path.getsize(path)} bytes; onnxruntime - torch: "
          f"{np.abs(got - want).max():.1e} at most")
    if a.codes:
        np.save(a.codes, codes.numpy().astype(np.float32))


if __name__ == "__main__":
    main()
