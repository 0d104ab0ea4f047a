"""attn-lrp and cp-lrp of the decoder of networks.py against torch in float64, to 1e-5 of the largest.

    python rules.py XAI DIR

Where no bias and no stabiliser takes a share, both are input times a gradient in which some factors are
held: AttnLRP halves what comes back through a product of two activations, and holds the scale of
RMSNorm and the sigmoid of SiLU; CP-LRP holds the attention weights and the second factor too.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

import networks


def half(y):
    return y / 2 + (y / 2).detach()


def norm(m, x):
    return m.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5).detach())


def relevance(net, ids, cp):
    x = table = net.table(ids)
    table.retain_grad()
    s = ids.shape[1]
    future = torch.full((s, s), float('-inf'), dtype=x.dtype).triu(1)
    for l in net.layers:
        y = norm(l['n1'], x)
        q, k, v = (net.split(l[n](y), h) for n, h in (('q', net.heads), ('k', net.groups), ('v', net.groups)))
        k, v = (t.repeat_interleave(net.heads // net.groups, 1) for t in (net.turned(k), v))
        p = (half(net.turned(q) @ k.transpose(2, 3)) / net.size ** .5 + future).softmax(-1)
        o = p.detach() @ v if cp else half(p @ v)
        x = x + l['o'](o.transpose(1, 2).flatten(2))
        y = norm(l['n2'], x)
        gate, up = l['gate'](y), l['up'](y)
        gate = gate * gate.sigmoid().detach()
        x = x + l['down'](gate * up.detach() if cp else half(gate * up))
    net.head(norm(net.norm, x)[:, -1]).max().backward()
    return (table * table.grad).detach().numpy()


def main():
    xai, folder = sys.argv[1:]
    net, inputs, _, _ = networks.make('decoder')
    failed = False
    with tempfile.TemporaryDirectory() as t:
        for how in ('ts', 'dy'):
            for cp, method in enumerate(['attn-lrp', 'cp-lrp']):
                out = os.path.join(t, 'R.npy')
                subprocess.run([xai, 'explain', f'{folder}/decoder.{how}.onnx', f'{folder}/decoder.npz', '-q', '-m',
                                method + ',epsilon=1e-9,stabilizer=1e-9', '-o', out], check=True)
                want = relevance(net.double(), inputs['input_ids'], cp)
                found = np.abs(np.load(out).reshape(want.shape) - want).max() / np.abs(want).max()
                print(f'decoder.{how} {method}: {found:.1e}')
                failed |= not found <= 1e-5
    return failed


if __name__ == '__main__':
    sys.exit(main())
