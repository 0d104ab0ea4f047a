"""libxai against its peers, on the same weights and inputs: zennit and captum in float64.

    python parity.py XAI [--json FILE] [--keep DIR] [NETWORK ...]

A comparison passes where the largest difference is at most 1e-4 of the largest relevance, or at most 30
times what the peer's own float32 differs from its float64. docs/PARITY.md says what is compared, and why.
--json FILE keeps the numbers, --keep DIR the exported networks.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version

import numpy as np
import torch
from zennit.canonizers import SequentialMergeBatchNorm

import peers
import subjects
from peers import LOW, HIGH, captums, composite, everywhere, occlusion

LARGE = ['vgg11_bn', 'resnet18', 'resnet50', 'squeezenet1_1', 'googlenet']
BOX = 'epsilon-gamma-box,low=%d,high=%d' % (LOW, HIGH)
COMPOSITES = {'EpsilonPlus': 'epsilon-plus', 'EpsilonPlusFlat': 'epsilon-plus-flat',
              'EpsilonAlpha2Beta1': 'epsilon-alpha2-beta1', 'EpsilonAlpha2Beta1Flat': 'epsilon-alpha2-beta1-flat',
              'EpsilonGammaBox': BOX}


SECOND_FIRST = {'EpsilonPlusFlat': 'z-plus', 'EpsilonAlpha2Beta1Flat': 'alpha-beta,alpha=2', 'EpsilonGammaBox': 'gamma'}


def zennit_cases(s):
    """(peer, its method, run, our method and options, why they differ if they must)."""
    seen = s.name == 'googlenet'  # its forward calls relu as a function
    for name, mine in COMPOSITES.items():
        mine += ',seed=one'
        if s.name == 'loose-norm':
            mine += ',batchnorm=pass'
        if s.name == 'fork' and name in SECOND_FIRST:
            mine += ' --rule name:/b/Conv=' + SECOND_FIRST[name]
        yield 'zennit', name, composite(name, seen), mine, None
    mine = ' --rule op:BatchNormalization=gradient' if s.name == 'loose-norm' else ''
    yield 'zennit', 'ExcitationBackprop', composite('ExcitationBackprop', seen), 'excitation-backprop' + mine, None
    yield 'zennit', 'GuidedBackprop', composite('GuidedBackprop', seen), 'guided-backprop', None
    yield 'zennit', 'DeconvNet', composite('DeconvNet', seen), 'deconvnet', None


def rule_cases(s):
    loose = ',batchnorm=pass' if s.name == 'loose-norm' else ''
    for name, mine in COMPOSITES.items():
        if name == 'EpsilonGammaBox' or s.name == 'fork':
            continue
        yield ('zennit', name + ' zero_params=bias', composite(name, zero_params='bias'),
               mine + ',seed=one,bias=zero' + loose, None)
    yield ('zennit', 'EpsilonPlus epsilon=.1 stabilizer=.01', composite('EpsilonPlus', epsilon=.1, stabilizer=.01),
           'epsilon-plus,epsilon=0.1,stabilizer=0.01,seed=one' + loose, None)
    for name, mine in {'Epsilon': 'lrp-epsilon', 'Gamma': 'lrp-gamma', 'ZPlus': 'lrp-z-plus',
                       'AlphaBeta': 'lrp-alpha-beta', 'WSquare': 'lrp-w-square', 'Flat': 'lrp-flat'}.items():
        yield 'zennit', name + ' everywhere', everywhere(name), mine + ',seed=one' + loose, None


def special_cases(s):
    """What zennit says where nobody tells it what it cannot see, and how to say the same."""
    if s.name == 'normalised':
        yield ('zennit', 'EpsilonPlus, no canonizer', composite('EpsilonPlus', canonizers=[]),
               'epsilon-plus,seed=one,rewrite=off,batchnorm=pass', None)
    if s.name == 'signed':
        yield ('zennit', 'EpsilonGammaBox zero_params=bias', composite('EpsilonGammaBox', zero_params='bias'),
               BOX + ',seed=one,bias=zero', 'convention')
    if s.name == 'resnet18':
        yield ('zennit', 'EpsilonPlus zero_params=bias', composite('EpsilonPlus', zero_params='bias'),
               'epsilon-plus,seed=one,bias=zero', None)
        blind = composite('EpsilonPlus', canonizers=[SequentialMergeBatchNorm()])
        yield ('zennit', 'EpsilonPlus, sums unseen', blind, 'epsilon-plus,seed=one --rule op:Add=gradient', None)
    if s.name == 'googlenet':
        yield 'zennit', 'EpsilonPlus, relu unseen', composite('EpsilonPlus'), 'epsilon-plus,seed=one', None
        yield 'zennit', 'GuidedBackprop, relu unseen', composite('GuidedBackprop'), 'gradient', None


def captum_cases(s, deeplift):
    yield 'captum', 'Saliency', captums('Saliency'), 'saliency', None
    yield 'captum', 'InputXGradient', captums('InputXGradient'), 'gradient-x-input', None
    yield 'captum', 'GuidedBackprop', captums('GuidedBackprop'), 'guided-backprop', None
    yield 'captum', 'Deconvolution', captums('Deconvolution'), 'deconvnet', None
    yield ('captum', 'IntegratedGradients', captums('IntegratedGradients', n_steps=50, internal_batch_size=10),
           'integrated-gradients', None)
    if deeplift and s.max_pools:
        healed = peers.deeplift(healed=True)
        yield 'captum', 'DeepLift, max-pooling healed', healed, 'deeplift-rescale,baseline=@x0', None
    if deeplift:
        why = 'peer errs' if s.max_pools else 'convention' if s.name == 'gated' else None
        yield 'captum', 'DeepLift', peers.deeplift(healed=False), 'deeplift-rescale', why
    shape = s.x.shape
    if len(shape) != 4:
        return
    yield 'captum', 'LayerGradCam, interpolated', captums('LayerGradCam'), 'grad-cam', None
    if s.name in LARGE:
        yield 'captum', 'Occlusion', occlusion(16, 12, shape[1]), 'occlusion,window=16,stride=12', None
    else:
        yield 'captum', 'Occlusion', occlusion(5, 3, shape[1]), 'occlusion,window=5,stride=3', None
        yield ('captum', 'IntegratedGradients riemann_right', captums('IntegratedGradients', method='riemann_right'),
               'integrated-gradients,quadrature=riemann-right', None)


def cases(s, deeplift):
    yield from zennit_cases(s)
    if s.name not in LARGE:
        yield from rule_cases(s)
    yield from special_cases(s)
    yield from captum_cases(s, deeplift)


def compare(xai, s, case):
    peer, theirs, run, mine, why = case
    row = {'network': s.name, 'peer': peer, 'method': theirs, 'ours': mine}
    try:
        exact, rounded = run(s, torch.float64), run(s, torch.float32)
    except Exception as error:  # the peer cannot: its words are the result
        return dict(row, status='peer cannot', why=str(error).splitlines()[0] if str(error) else type(error).__name__)
    R = subjects.ours(xai, s, *mine.split(' '))
    if isinstance(R, str):
        return dict(row, status='FAILED', why=R)
    if R.shape != exact.shape:
        return dict(row, status='FAILED', why='%d numbers, not %d' % (R.size, exact.size))
    scale = float(np.abs(exact).max()) or 1.
    difference, own = float(np.abs(R - exact).max()), float(np.abs(rounded - exact).max())
    status = 'pass' if difference <= 1e-4 * scale else 'pass (30 x)' if difference <= 30 * own else 'FAILED'
    if status == 'FAILED' and why:
        status = why
    return dict(row, largest=scale, difference=difference / scale, own=own / scale, status=status)


def show(row):
    if 'why' in row:
        numbers = row['why']
    else:
        numbers = '%9.2e %9.1e %9.1e' % (row['largest'], row['difference'], row['own'])
    print('%-14s %-7s %-38s %-58s %s  %s' % (row['network'], row['peer'], row['method'], row['ours'], numbers,
                                            row['status']), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('xai')
    parser.add_argument('--json')
    parser.add_argument('--keep', help='folder for the exported networks')
    parser.add_argument('networks', nargs='*')
    a = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    deeplift = 'deeplift-rescale' in subprocess.run([a.xai, 'methods'], capture_output=True, text=True).stdout
    rows = []
    print('%-14s %-7s %-38s %-58s %9s %9s %9s' % ('network', 'peer', 'method', 'ours', 'largest', 'diff.', 'own f32'))
    with tempfile.TemporaryDirectory() as temporary:
        for name in a.networks or LARGE + list(subjects.small()):
            s = subjects.torchvision(name) if name in LARGE else subjects.hostile(name)
            s.export(a.keep or temporary)
            for case in cases(s, deeplift):
                rows.append(compare(a.xai, s, case))
                show(rows[-1])
    failed = sum(r['status'] == 'FAILED' for r in rows)
    passed = sum(r['status'].startswith('pass') for r in rows)
    print('%d passed, %d failed, %d cannot be compared' % (passed, failed, len(rows) - passed - failed))
    if a.json:
        with open(a.json, 'w') as f:
            json.dump({'versions': {p: version(p) for p in ('torch', 'torchvision', 'zennit', 'captum')}, 'rows': rows},
                      f, indent=1)
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
