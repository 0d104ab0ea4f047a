"""Does relevance get lost? For each network and method, with bias=zero: the sum of R plus what the
ledger says was lost against the relevance that was put in, and the share of each loss.

    python conservation.py XAI DIR [NAME ...]      XAI: the tool; DIR: from networks.py
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

METHODS = ['epsilon-plus', 'epsilon-plus-flat', 'epsilon-alpha2-beta1', 'epsilon-gamma-box,low=-4,high=4',
           'deep-taylor,low=-4,high=4']
COLUMNS = ['bias', 'stabiliser', 'empty', 'constant', 'rule']


def explain(xai, model, method):
    with tempfile.TemporaryDirectory() as tmp:
        ledger = os.path.join(tmp, 'ledger.json')
        run = subprocess.run([xai, 'explain', model, model[:-5] + '.npy', '--method', method + ',bias=zero',
                              '--ledger', ledger, '-o', os.path.join(tmp, 'R.npy'), '--quiet'],
                             capture_output=True, text=True)
        if run.returncode:
            return None, run.stderr.strip()
        with open(ledger) as f:
            return json.load(f)['targets'][0], ''


def main():
    xai, folder = sys.argv[1:3]
    names = sys.argv[3:] or sorted(os.path.basename(p)[:-5] for p in glob.glob(folder + '/*.onnx'))
    bad = 0
    print('%-20s %-22s %10s %10s %9s  ' % ('network', 'method', 'f', 'sum R', 'gap') + ' '.join('%10s' % c for c in COLUMNS))
    for name in names:
        for method in METHODS:
            t, error = explain(xai, os.path.join(folder, name + '.onnx'), method)
            label = '%-20s %-22s' % (name, method.split(',')[0])
            if t is None:
                print(label, error)
                bad += 1
                continue
            lost = t['lost']
            gap = abs(t['f'] - t['sum'] - sum(lost.values())) / abs(t['f'])
            ok = gap < 1e-4
            bad += not ok
            print(label, '%10.4f %10.4f %9.1e  ' % (t['f'], t['sum'], gap) +
                  ' '.join('%10.4f' % lost[c] for c in COLUMNS), '' if ok else 'FAILED', flush=True)
    print('%d failed' % bad)
    return bad > 0


if __name__ == '__main__':
    sys.exit(main())
