"""The networks that are compared: a PyTorch module, its input and target, and its ONNX file.

The large ones are torchvision's with the weights of networks.py, for 64 x 64 pixels (VGG's first dense
layer then has 2,048 inputs); the small ones are hostile: each has something that is easily got wrong.
"""
import copy
import os
import re
import subprocess

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.layer import Sum
from zennit.torchvision import ResNetCanonizer, VGGCanonizer

import networks

SIZE = 64


class Subject:
    """`net`: as exported. `seen`: the same function, all of it made of modules that hooks can see."""

    def __init__(self, name, net, x, canonizers):
        self.name, self.net, self.x, self.canonizers = name, net.eval(), x, canonizers
        self.x0 = x.flip(tuple(range(2, x.dim())))
        self.seen = visible(self.net)
        self.max_pools = any(isinstance(m, (nn.MaxPool1d, nn.MaxPool2d)) for m in self.net.modules())
        with torch.no_grad():
            y = copy.deepcopy(self.net).double()(x.double())
            error = (copy.deepcopy(self.seen).double()(x.double()) - y).abs().max()
        assert error <= 1e-9 * y.abs().max(), name
        self.target = int(y.argmax())

    def export(self, folder):
        """Writes the network, the input and a baseline; BatchNormalization is not merged by the exporter."""
        path = os.path.join(folder, self.name)
        self.onnx, self.npy, self.x0_npy = path + '.onnx', path + '.npy', path + '.x0.npy'
        np.save(self.npy, self.x.numpy())
        np.save(self.x0_npy, self.x0.numpy())
        torch.onnx.export(self.net, (self.x,), self.onnx, input_names=['input'], output_names=['logits'],
                          opset_version=17, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE)


class Copy(nn.Module):
    def forward(self, x):
        return x.clone()


def visible(net, copies=False):
    """`net` with every relu, max-pooling and sum of two tensors a module of its own: hooks see modules
    only, and DeepLift's one call of each. `copies`: one stands before each max-pooling, as captum's
    hook there comes too late where an activation's output has one already."""
    g = torch.fx.symbolic_trace(copy.deepcopy(net))
    modules = dict(g.named_modules())
    for i, node in enumerate(list(g.graph.nodes)):
        called = modules.get(node.target) if node.op == 'call_module' else None
        if isinstance(called, (nn.MaxPool1d, nn.MaxPool2d)):
            fresh, args = copy.deepcopy(called), node.args
            if copies:
                fresh = nn.Sequential(Copy(), fresh)
        elif isinstance(called, nn.ReLU) or node.target in (F.relu, torch.relu):
            fresh, args = nn.ReLU(), node.args[:1]
        elif node.op == 'call_function' and node.target.__name__ in ('add', 'iadd'):
            with g.graph.inserting_before(node):
                stack = g.graph.call_function(torch.stack, (list(node.args), -1))
            fresh, args = Sum(), (stack,)
        else:
            continue
        g.add_submodule('visible%d' % i, fresh)
        with g.graph.inserting_before(node):
            new = g.graph.call_module('visible%d' % i, args)
        node.replace_all_uses_with(new)
        g.graph.erase_node(node)
    g.recompile()
    return torch.fx.GraphModule(g, g.graph).eval()


def settle(net):
    """Running statistics as of a batch of noise: without, GoogLeNet's signal fades to 1e-10."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for m in norms:
        m.train().reset_running_stats()
        m.momentum = None
    with torch.no_grad():
        net(torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5)))
    for m in norms:
        m.eval()


def torchvision(name):
    net = networks.make(name)
    if name == 'vgg11_bn':
        net.avgpool = nn.Identity()
        net.classifier[0] = nn.Linear(512 * (SIZE // 32) ** 2, 4096)
    net.transform_input = False
    generator = torch.Generator().manual_seed(2)
    smooth = F.interpolate(torch.randn(1, 3, 8, 8, generator=generator), size=SIZE, mode='bicubic')
    x = smooth + 0.2 * torch.randn(1, 3, SIZE, SIZE, generator=generator)
    if name == 'googlenet':
        settle(net)
    canonizer = {'vgg': VGGCanonizer, 'res': ResNetCanonizer}.get(name[:3], SequentialMergeBatchNorm)
    return Subject(name, net, x, [canonizer()])


# ---- small and hostile ----

class Residual(nn.Module):
    """Sums of signed branches, one of them of three, one of a branch with itself."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.relu, self.tanh, self.pool, self.head = nn.ReLU(), nn.Tanh(), nn.AvgPool2d(3, 2, 1), nn.Linear(6 * 36, 5)
        self.max = nn.MaxPool2d(3, 1, 1)
        self.sum1, self.sum2, self.sum3 = Sum(), Sum(), Sum()

    def forward(self, x):
        x = self.tanh(self.a(x))
        x = self.sum1(torch.stack([x, self.b(x)], -1))
        x = self.relu(self.sum2(torch.stack([x, self.c(x), self.max(x)], -1)))
        x = self.sum3(torch.stack([x, x], -1))
        return self.head(self.pool(x).flatten(1))

class Fork(nn.Module):
    """Two first layers."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.relu, self.sum = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3), nn.ReLU(), Sum()
        self.head = nn.Linear(6 * 81, 5)

    def forward(self, x):
        return self.head(self.relu(self.sum(torch.stack([self.a(x), self.b(x)], -1))).flatten(1))


class Branches(nn.Module):
    """Concatenation of branches of different kernels, strides and pooling."""

    def __init__(self):
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()
        self.a, self.b = nn.Conv2d(6, 4, (3, 5), 2, (1, 2)), nn.Conv2d(6, 4, 1, 2)
        self.c, self.d = nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1)
        self.mix, self.pool, self.head = nn.Conv2d(20, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], 1)
        return self.head(self.pool(self.relu(self.mix(x))).flatten(1))


def dead(net):
    """Empty groups: a channel of negative weights, one of zeros, one without a bias, one that never fires."""
    first, second = net[0], net[2]
    first.weight.data[0] = -first.weight.data[0].abs()
    first.weight.data[1] = 0
    first.bias.data[2] = 0
    first.bias.data[3] = -100
    second.weight.data[0] = -second.weight.data[0].abs()
    second.weight.data[1] = 0
    second.bias.data[:2] = torch.tensor([0.3, 0.])
    return net


def small():
    """Name -> (network, shape of its input)."""
    C, R, L, S = nn.Conv2d, nn.ReLU, nn.Linear, nn.Sequential
    return {
        'dense': (S(L(20, 16), R(), L(16, 12), nn.Tanh(), L(12, 5)), (20,)),
        'signed': (S(C(3, 6, 3, padding=1), nn.LeakyReLU(.3), C(6, 8, 3), nn.ELU(), C(8, 8, 3, 2), nn.Flatten(),
                     L(128, 5)), (3, 11, 11)),
        'grouped': (S(C(4, 8, 3, 2, 1, groups=2), R(), C(8, 8, 3, 1, 2, dilation=2, groups=8), R(),
                      C(8, 12, (1, 3), (2, 1), (0, 1), groups=4), R(), nn.Flatten(), L(12 * 4 * 6, 5)), (4, 13, 11)),
        'pooled': (S(C(3, 6, 3, padding=1), R(), nn.AvgPool2d(3, 2, 1), C(6, 8, 3, padding=1),
                     nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False), C(8, 8, 3, padding=1), R(),
                     nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.Flatten(), L(8 * 3 * 3, 5)), (3, 15, 13)),
        'pool-pad': (S(C(3, 6, 3, padding=1), R(), nn.AvgPool2d((3, 2), 2, 1, count_include_pad=False),
                       C(6, 8, 3), nn.MaxPool2d(2, 2, ceil_mode=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                       L(8, 5)), (3, 15, 13)),
        'overhang': (S(C(3, 6, 3, padding=1), R(), nn.AvgPool2d(3, 2, 1, ceil_mode=True), C(6, 8, 3), R(),
                       nn.Flatten(), L(8 * 30, 5)), (3, 14, 12)),
        'series': (S(nn.Conv1d(3, 8, 5, 2, 2), R(), nn.AvgPool1d(3, 1, 1), nn.Conv1d(8, 8, 3, dilation=2, groups=2),
                     nn.BatchNorm1d(8), R(), nn.MaxPool1d(2), nn.Flatten(), L(8 * 6, 5)), (3, 32)),
        'volume': (S(nn.Conv3d(2, 4, 3, padding=1), R(), nn.AvgPool3d(2), nn.Conv3d(4, 6, (1, 3, 3), groups=2), R(),
                     nn.Flatten(), L(6 * 18, 5)), (2, 6, 8, 10)),
        'transposed': (S(C(3, 6, 3, 2), R(), nn.ConvTranspose2d(6, 8, 3, 2, 1, output_padding=1),
                         nn.BatchNorm2d(8), R(), nn.ConvTranspose2d(8, 4, 3, dilation=2, groups=2), R(),
                         nn.Flatten(), L(4 * 14 * 14, 5)), (3, 11, 11)),
        'normalised': (S(C(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), R(), C(6, 8, 3, 2), nn.BatchNorm2d(8),
                         R(), nn.Flatten(), L(8 * 25, 10), nn.BatchNorm1d(10), R(), L(10, 5)), (3, 11, 11)),
        'curved': (S(C(3, 6, 3), nn.Tanh(), C(6, 8, 3), nn.ELU(), C(8, 8, 3), nn.Softplus(), nn.Flatten(),
                     L(8 * 25, 10), nn.Sigmoid(), L(10, 5)), (3, 11, 11)),
        'gated': (S(C(3, 6, 3), nn.GELU(), C(6, 8, 3), nn.SiLU(), C(8, 8, 3), nn.Hardswish(), C(8, 8, 3),
                    nn.GELU('tanh'), nn.Flatten(), L(8 * 9, 5)), (3, 11, 11)),
        'dead': (dead(S(C(3, 6, 3, padding=1), R(), C(6, 6, 3), R(), nn.Flatten(), L(6 * 49, 5))), (3, 9, 9)),
        'residual': (Residual(), (3, 11, 11)),
        'branches': (Branches(), (3, 13, 13)),
        'fork': (Fork(), (3, 11, 11)),
        'loose-norm': (S(C(3, 6, 3), R(), nn.BatchNorm2d(6), C(6, 8, 3, padding=1), R(), nn.Flatten(),
                         L(8 * 81, 5)), (3, 11, 11)),
    }


def hostile(name):
    torch.manual_seed(3)
    net, shape = small()[name]
    g = torch.Generator().manual_seed(4)
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            m.running_mean.copy_(0.3 * torch.randn(m.num_features, generator=g))
            m.running_var.copy_(0.5 + torch.rand(m.num_features, generator=g))
            m.weight.data.copy_(torch.randn(m.num_features, generator=g))
            m.bias.data.copy_(0.3 * torch.randn(m.num_features, generator=g))
    return Subject(name, net, torch.randn(1, *shape, generator=g), [SequentialMergeBatchNorm()])


def ours(xai, subject, method, *options):
    """What the tool says, or the text of its refusal."""
    out = subject.onnx[:-5] + '.R.npy'
    if os.path.exists(out):
        os.remove(out)
    method = method.replace('@x0', '@' + subject.x0_npy)
    done = subprocess.run([xai, 'explain', subject.onnx, subject.npy, '--method', method, '--target',
                           str(subject.target), '--quiet', '-o', out, *options], capture_output=True, text=True)
    if done.returncode:
        return re.sub(r'\s+', ' ', done.stderr.strip() or 'exit code %d' % done.returncode)
    return np.load(out).reshape(-1)
