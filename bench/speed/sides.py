"""One side of a comparison, in a process of its own: loads a network and runs a call whenever asked.

    python sides.py SIDE LIBXAI MODEL.onnx NAME BATCH THREADS      then CALL lines on standard input

A line of JSON answers each: first {"calls": [...]}, then {"seconds": s, "peak": bytes} a call. `seconds`
of the first call begins where loading began. LIBXAI is for the side `libxai`; NAME makes the torch module.
"""
import json
import sys
import time

import numpy as np

LOW, HIGH = -4.0, 4.0


def batch_of(path, n):
    x = np.load(path[:-5] + '.npy').astype(np.float32)
    return np.ascontiguousarray(np.concatenate([np.roll(x, 3 * i, -1) for i in range(n)]))


def libxai(lib, path, name, x, threads):
    import xai
    network = xai.Network(lib, path, x, threads)
    box = {'low': LOW, 'high': HIGH}
    calls = {'forward': lambda: network.call()}
    for method in ('gradient', 'epsilon-plus', 'epsilon-alpha2-beta1', 'attn-lrp', 'lrp-epsilon'):
        calls[method] = lambda m=method: network.call(m)
    calls['epsilon-gamma-box'] = lambda: network.call('epsilon-gamma-box', **box)
    return calls


def onnxruntime(lib, path, name, x, threads):
    import onnxruntime as ort
    o = ort.SessionOptions()
    o.intra_op_num_threads = threads
    session = ort.InferenceSession(path, o, providers=['CPUExecutionProvider'])
    feed = {session.get_inputs()[0].name: x}
    return {'forward': lambda: session.run(None, feed)}


def module(name, threads):
    import torch

    import networks
    torch.set_num_threads(threads)
    return torch, networks.make(name)


def backward(torch, net, x):
    """From the logit of the largest class of each item to the input."""
    x = torch.from_numpy(x).requires_grad_()
    y = net(x)
    seed = torch.zeros_like(y).scatter_(1, y.argmax(1, keepdim=True), 1)
    return torch.autograd.grad(y, x, seed)[0]


def pytorch(lib, path, name, x, threads):
    torch, net = module(name, threads)

    def forward():
        with torch.inference_mode():
            net(torch.from_numpy(x))

    return {'forward': forward, 'gradient': lambda: backward(torch, net, x)}


def zennit(lib, path, name, x, threads):
    torch, net = module(name, threads)
    from zennit import composites
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.torchvision import ResNetCanonizer, VGGCanonizer
    canonizer = ResNetCanonizer if 'resnet' in name else VGGCanonizer if 'vgg' in name else SequentialMergeBatchNorm
    box = {'low': torch.full(x.shape, LOW), 'high': torch.full(x.shape, HIGH)}
    makes = {'epsilon-plus': ('EpsilonPlus', {}), 'epsilon-alpha2-beta1': ('EpsilonAlpha2Beta1', {}),
             'epsilon-gamma-box': ('EpsilonGammaBox', box)}

    def call(composite, extra):
        with getattr(composites, composite)(canonizers=[canonizer()], **extra).context(net) as hooked:
            return backward(torch, hooked, x)

    return {k: lambda v=v: call(*v) for k, v in makes.items()}


def captum(lib, path, name, x, threads):
    torch, net = module(name, threads)
    import captum.attr
    from captum.attr._utils.lrp_rules import EpsilonRule
    for m in net.modules():
        if isinstance(m, torch.nn.ReLU):
            m.inplace = False
        if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)):
            m.rule = EpsilonRule()

    def call():
        t = torch.from_numpy(x).requires_grad_()
        return captum.attr.LRP(net).attribute(t, target=net(t).argmax(1))

    return {'lrp-epsilon': call}


def lxt(lib, path, name, x, threads):
    """AttnLRP as LXT's own example for vision transformers, every rule by its patches; input times gradient."""
    import torchvision.models.vision_transformer as vit
    from lxt.efficient import monkey_patch, monkey_patch_zennit
    monkey_patch(vit)
    torch, net = module(name, threads)
    import zennit.rules
    from zennit.composites import LayerMapComposite
    monkey_patch_zennit()
    for p in net.parameters():
        p.requires_grad_(False)

    def call():
        composite = LayerMapComposite([(torch.nn.Conv2d, zennit.rules.Gamma(0.25)),
                                       (torch.nn.Linear, zennit.rules.Gamma(0.05))])
        composite.register(net)
        R = x * backward(torch, net, x).numpy()
        composite.remove()
        return R

    return {'attn-lrp': call}


SIDES = {f.__name__: f for f in (libxai, onnxruntime, pytorch, zennit, captum, lxt)}


def peak():
    """The most memory that this process held, bytes."""
    with open('/proc/self/status') as f:
        return 1024 * next(int(line.split()[1]) for line in f if line.startswith('VmHWM'))


def main():
    side, lib, path, name, batch, threads = sys.argv[1:]
    x = batch_of(path, int(batch))
    answer, sys.stdout = sys.stdout, sys.stderr  # peers print
    start = time.perf_counter()
    calls = SIDES[side](lib, path, name, x, int(threads))
    print(json.dumps({'calls': sorted(calls)}), file=answer, flush=True)
    for line in sys.stdin:
        start = start or time.perf_counter()
        calls[line.strip()]()
        seconds = time.perf_counter() - start
        print(json.dumps({'seconds': seconds, 'peak': peak()}), file=answer, flush=True)
        start = 0


if __name__ == '__main__':
    main()
