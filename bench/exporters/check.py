"""Checks `xai` on what make.py exported: against onnxruntime, torch's own gradient, and the ledger.

    python check.py XAI DIR [NAME ...]         NAME is NETWORK or NETWORK.EXPORTER

For every file: outputs within 1e-4 of onnxruntime's (of the largest), at both sizes; the gradient
within 1e-4 of torch's in float64 (of the largest, or 30 times what its own float32 differs);
each method of relevance explains without a refused node, its account closes (what the sweep began
with = what arrived + what the ledger says was lost, to 1e-5 of the largest relevance of a node), and both
exporters' files get the same relevance, to 1e-2 of the largest (one merges BatchNormalization, and signed sums may nearly cancel). The last
columns are the relevance that arrived, as a share of f, by method.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
import torch

import networks

METHODS = ['epsilon-plus', 'attn-lrp', 'cp-lrp']


def call(xai, *args):
    """None, or what the tool says of its failure."""
    done = subprocess.run([xai, *args, '--quiet', '--threads', '1'], capture_output=True, text=True)
    return None if done.returncode == 0 else f'exit {done.returncode}: {done.stderr.strip()[:300]}'


def worst(ours, theirs):
    return float(np.abs(ours - theirs).max(initial=0) / max(np.abs(theirs).max(initial=0), 1e-30))


def forward(xai, model, given, folder):
    """The largest difference from onnxruntime, or a failure; None where onnxruntime itself fails."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model, options)
    arrays = np.load(given)
    taken = [i.name for i in session.get_inputs()]
    try:
        theirs = session.run(None, {k: arrays[k] for k in taken})
    except Exception:
        return None
    out = os.path.join(folder, 'out.npz')
    said = call(xai, 'run', model, given, '-o', out)
    if said:
        return said
    ours = np.load(out)
    return max(worst(ours['output/' + o.name], t) if t.size else 0 for o, t in zip(session.get_outputs(), theirs))


def torch_gradient(name, dtype):
    """Of output 0's maximum, with respect to the input, or to what its first embedding gives."""
    net, inputs, _, _ = networks.make(name)
    net, inputs = net.to(dtype), {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    at = []
    first = next(iter(inputs))
    if inputs[first].is_floating_point():
        at.append(inputs[first].requires_grad_())
    else:
        for m in net.modules():
            if isinstance(m, torch.nn.Embedding):
                m.register_forward_hook(lambda m, i, o: at.append(o) or o.retain_grad())
    y = net(*inputs.values())
    y = y[0] if isinstance(y, tuple) else y
    y.max().backward()
    return at[0].grad.double().numpy()


def gradient(xai, name, model, given, folder):
    out = os.path.join(folder, 'R.npz')
    said = call(xai, 'explain', model, given, '-m', 'gradient', '-o', out)
    if said:
        return said
    found = [v for k, v in np.load(out).items() if k.startswith('relevance/')]
    with torch.enable_grad():
        want, rough = torch_gradient(name, torch.float64), torch_gradient(name, torch.float32)
    found = [v for v in found if v.size == want.size]
    if not found:
        return 'no relevance of the shape of the input'
    error = min(worst(v.reshape(want.shape), want) for v in found)
    return error if error <= 1e-4 else f'gradient differs by {error:.1e}' if error > 30 * worst(rough, want) else error


def relevance(xai, method, model, given, folder, other):
    """(share that arrived, failure). `other`: what the first file of this network got, by method."""
    out, ledger = os.path.join(folder, 'R.npz'), os.path.join(folder, 'L.json')
    said = call(xai, 'explain', model, given, '-m', method, '-o', out, '--ledger', ledger)
    if said:
        return 0, said
    account = json.load(open(ledger))['targets'][0]
    found = [v.astype(np.float64) for k, v in np.load(out).items() if k.startswith('relevance/')]
    arrived = sum(v.sum() for v in found)
    if None in account['lost'].values():
        return 0, 'the account holds what is no number: ' + ', '.join(n['node'] for n in account['nodes'] if None in n.values())
    f, largest = account['f'], max([abs(n['in']) for n in account['nodes']] + [abs(account['begun'])])
    gap = account['begun'] - arrived - sum(account['lost'].values())
    if abs(gap) > 1e-5 * largest:
        return arrived / f, f'the account is open by {gap:.3g} of {largest:.3g}'
    first = found[0].ravel()
    if worst(first, other.setdefault(method, first)) > 1e-2:
        return arrived / f, f'the exporters differ by {worst(first, other[method]):.1e}'
    return arrived / f, None


def check(xai, folder, name, how, other):
    model = os.path.join(folder, f'{name}.{how}.onnx')
    given, second = (os.path.join(folder, name + end) for end in ('.npz', '.2.npz'))
    failures, line = [], f'{name}.{how}'.ljust(22)
    with tempfile.TemporaryDirectory() as t:
        for size, what in ((given, 'run'), (second, 'run at other sizes')):
            found = forward(xai, model, size, t)
            if isinstance(found, str) or (found or 0) > 1e-4:
                failures.append(f'{what}: {found}')
            line += f' {found:8.1e}' if isinstance(found, float) else '        -'
        said = found is not None and call(xai, 'explain', model, second, '-m', 'attn-lrp', '-o', os.path.join(t, 'R.npy'))
        if said:
            failures.append('attn-lrp at other sizes: ' + said)
        found = gradient(xai, name, model, given, t)
        if isinstance(found, str):
            failures.append('gradient: ' + found)
        line += f' {found:8.1e}' if isinstance(found, float) else '        -'
        for method in METHODS:
            share, said = relevance(xai, method, model, given, t, other)
            if said:
                failures.append(f'{method}: {said}')
            line += f' {share:9.3g}'
    print(line, flush=True)
    for f in failures:
        print('    ' + f, flush=True)
    return not failures


def main():
    xai, folder, wanted = sys.argv[1], sys.argv[2], sys.argv[3:] or list(networks.REGISTRY)
    print('network'.ljust(22) + '    run   other sizes gradient ' + ' '.join(METHODS))
    passed = total = 0
    for word in wanted:
        name, _, only = word.partition('.')
        other = {}
        for how in [only] if only else ['ts', 'dy']:
            if os.path.exists(os.path.join(folder, f'{name}.{how}.onnx')):
                total += 1
                passed += check(xai, folder, name, how, other)
    print(f'{passed} of {total} pass')
    return passed < total


if __name__ == '__main__':
    sys.exit(main())
