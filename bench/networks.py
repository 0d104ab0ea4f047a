"""Seed-fixed random-weight networks of torchvision, exported to ONNX for the comparisons here.

    python networks.py DIR [NAME ...]      writes DIR/NAME.onnx and DIR/NAME.npy (one input)

BatchNormalization gets running statistics and scales as if trained (seeded), so that folding and
shifts matter; the biases of networks with BatchNormalization are drawn as well. Transformers keep
torchvision's own (zero or nearly so): under bias=zero the epsilon rule divides z by z - b, which has no
bound where activations are signed, whatever the implementation.
"""
import os
import sys

import numpy as np
import torch
import torchvision.models as tv

NAMES = ['densenet121', 'googlenet', 'mobilenet_v2', 'efficientnet_b0', 'convnext_tiny',
         'resnext50_32x4d', 'regnet_y_400mf', 'regnet_x_400mf', 'shufflenet_v2_x1_0', 'vit_b_16', 'swin_t',
         'vgg11_bn', 'resnet18', 'resnet50', 'squeezenet1_1']
TOKENS, WIDTH = 128, 768


class Layer(torch.nn.Module):
    """A layer of BERT's encoder: attention written out, normalisation after each sum."""

    def __init__(self, width=WIDTH, heads=12):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (torch.nn.Linear(width, width) for _ in range(4))
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)
        self.norm1, self.norm2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)

    def forward(self, x):
        n, t, w = x.shape
        q, k, v = (f(x).view(n, t, self.heads, w // self.heads).transpose(1, 2)
                   for f in (self.query, self.key, self.value))
        a = torch.softmax(q @ k.transpose(-1, -2) / (w // self.heads) ** 0.5, -1) @ v
        x = self.norm1(x + self.out(a.transpose(1, 2).reshape(n, t, w)))
        return self.norm2(x + self.down(torch.nn.functional.gelu(self.up(x))))


class Encoder(torch.nn.Module):
    """As large as BERT-base behind its embedding, with a classifier on the first token."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(*[Layer() for _ in range(12)])
        self.head = torch.nn.Linear(WIDTH, 10)

    def forward(self, x):
        return self.head(self.layers(x)[:, 0])


def make(name):
    torch.manual_seed(0)
    if name == 'bert_base':
        return Encoder().eval()
    extra = {'aux_logits': False, 'init_weights': True, 'transform_input': True} if name == 'googlenet' else {}
    net = getattr(tv, name)(weights=None, **extra).eval()
    g = torch.Generator().manual_seed(1)
    normalised = any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.copy_(0.1 * torch.randn(m.num_features, generator=g))
            m.running_var.copy_(0.5 + torch.rand(m.num_features, generator=g))
            m.weight.data.copy_(0.5 + torch.rand(m.num_features, generator=g))
            m.bias.data.copy_(0.1 * torch.randn(m.num_features, generator=g))
        elif normalised and getattr(m, 'bias', None) is not None and isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)):
            m.bias.data.copy_(0.05 * torch.randn(m.bias.shape, generator=g))
    if name == 'vit_b_16':  # torchvision starts its head at zero
        torch.nn.init.normal_(net.heads.head.weight, std=0.02, generator=g)
    return net


def image():
    g = torch.Generator().manual_seed(2)
    smooth = torch.nn.functional.interpolate(torch.randn(1, 3, 14, 14, generator=g), size=224, mode='bicubic')
    return (smooth + 0.2 * torch.randn(1, 3, 224, 224, generator=g)).contiguous()


def embedded():
    return torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(2))


def export(name, folder, opset=17):
    path = os.path.join(folder, name + '.onnx')
    x = embedded() if name == 'bert_base' else image()
    np.save(os.path.join(folder, name + '.npy'), x.numpy())
    if not os.path.exists(path):
        torch.onnx.export(make(name), (x,), path, input_names=['input'], output_names=['logits'],
                          opset_version=opset, dynamo=False,
                          dynamic_axes={'input': {0: 'N'}, 'logits': {0: 'N'}})
    return path


if __name__ == '__main__':
    os.makedirs(sys.argv[1], exist_ok=True)
    for n in sys.argv[2:] or NAMES:
        print(export(n, sys.argv[1]), flush=True)
