"""What the peers say: functions of (subject, dtype) that give relevance as a flat array."""
import copy
import warnings

import captum.attr as captum
import torch
import torch.nn.functional as F
from torch import nn
from zennit import composites, rules
from zennit.composites import LayerMapComposite, layer_map_base
from zennit.types import Linear

from subjects import visible

warnings.filterwarnings('ignore')
LOW, HIGH = -5, 5


def flat(R):
    return R.detach().double().numpy().reshape(-1)


def backward(net, x, target):
    y = net(x)
    seed = torch.zeros_like(y)
    seed[0, target] = 1
    return flat(torch.autograd.grad(y, x, seed)[0])


def zennit(make, seen=False, canonizers=None):
    """`make` gives a composite; `seen`: on the network of modules alone; `canonizers`: not the subject's."""
    def run(subject, dtype):
        net = copy.deepcopy(subject.seen if seen else subject.net).to(dtype)
        used = subject.canonizers if canonizers is None else canonizers
        with make(canonizers=[copy.copy(c) for c in used]).context(net) as hooked:
            return backward(hooked, subject.x.to(dtype).requires_grad_(), subject.target)
    return run


def composite(name, seen=False, canonizers=None, **parameters):
    if name == 'EpsilonGammaBox':
        parameters.update(low=torch.tensor(float(LOW)), high=torch.tensor(float(HIGH)))
    return zennit(lambda canonizers: getattr(composites, name)(canonizers=canonizers, **parameters), seen, canonizers)


def everywhere(name, **parameters):
    """One rule on every linear layer."""
    def make(canonizers):
        rule = getattr(rules, name)(**parameters)
        return LayerMapComposite(layer_map_base() + [(Linear, rule)], canonizers=canonizers)
    return zennit(make)


def last_conv(net):
    return [m for m in net.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Conv3d))][-1]


def captums(name, copies=False, **parameters):
    def run(subject, dtype):
        net = visible(subject.net, copies).to(dtype)
        x = subject.x.to(dtype).requires_grad_()
        if name != 'LayerGradCam':
            return flat(getattr(captum, name)(net).attribute(x, target=subject.target, **parameters))
        R = captum.LayerGradCam(net, last_conv(net)).attribute(x, target=subject.target, relu_attributions=True)
        return flat(captum.LayerAttribution.interpolate(R, tuple(x.shape[2:]), 'bilinear'))
    return run


def unpool(x, indices, kernel, stride, padding, size):
    """What captum means by max_unpool, which keeps one share only where windows overlap."""
    return x.new_zeros(size).flatten(2).scatter_add_(2, indices.flatten(2), x.flatten(2)).reshape(size)


def deeplift(healed):
    """`healed`: with captum's two errors at max-pooling put right, and from a baseline that is not
    constant: pooling a constant map, rounding chooses the winner. See docs/PARITY.md."""
    def run(subject, dtype):
        stock = F.max_unpool1d, F.max_unpool2d
        if healed:
            F.max_unpool1d = F.max_unpool2d = unpool
        try:
            given = {'baselines': subject.x0.to(dtype)} if healed else {}
            return captums('DeepLift', copies=healed, **given)(subject, dtype)
        finally:
            F.max_unpool1d, F.max_unpool2d = stock
    return run


def occlusion(window, stride, channels):
    return captums('Occlusion', sliding_window_shapes=(channels, window, window),
                   strides=(channels, stride, stride), baselines=0, perturbations_per_eval=16)
