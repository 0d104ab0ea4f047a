"""Our times and memory against the peers', each in a process of its own, in turn.

    python speed.py LIBXAI.so [NETWORK ...] [--batch 1,8] [--threads 1,2] [--rounds N] [--peers a,b] [--json FILE]
                    [--networks DIR] [--cold]

Every round asks each side for each call, once to warm up and once timed: what else the machine does
falls on all alike. Before each side the machine rests until the threads of the one before sleep too:
onnxruntime's spin for 50 ms after a call, and would take a processor from whoever comes next. The table has medians in ms and theirs / ours: above 1 we are faster. With --cold
each call also gets a process of its own, for the time from loading to the first result, and for the
most memory that it held (for the torch sides, torch itself included). networks.py makes the networks.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

CONVOLUTIONAL = ['vgg16', 'resnet50', 'resnet18']
NETWORKS = CONVOLUTIONAL + ['densenet121', 'mobilenet_v2', 'efficientnet_b0', 'convnext_tiny', 'vit_b_16', 'bert_base']
PEERS = ['onnxruntime', 'pytorch', 'zennit', 'captum', 'lxt']
# What a peer can be asked on which networks; the others on all.
ONLY = {'zennit': CONVOLUTIONAL, 'captum': ['vgg16'], 'lxt': ['vit_b_16']}
REST = 0.1  # seconds
HERE = os.path.dirname(os.path.abspath(__file__))


class Side:
    def __init__(self, name, lib, path, network, batch, threads):
        self.name = name
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY='passive')
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, 'sides.py'), name, lib, path, network,
                                         str(batch), str(threads)], env=env, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.calls = self.answer()['calls']

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            error = self.process.communicate()[1].strip().splitlines()
            raise RuntimeError('%s: %s' % (self.name, error[-1] if error else 'gone'))
        return json.loads(line)

    def ask(self, call):
        self.process.stdin.write(call + '\n')
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def open_side(*args):
    try:
        return Side(*args)
    except RuntimeError as e:
        print('  ' + str(e), flush=True)
        return None


def warm(sides, calls, rounds):
    """Seconds of every side's every call, {call: {side: [s, ...]}}."""
    times = {c: {s.name: [] for s in sides if c in s.calls} for c in calls}
    for r in range(rounds):
        for call in calls:
            for s in sides:
                if s.name not in times[call]:
                    continue
                try:
                    time.sleep(REST)
                    s.ask(call)
                    times[call][s.name].append(s.ask(call)['seconds'])
                except RuntimeError as e:
                    print('  ' + str(e), flush=True)
                    times[call].pop(s.name)
                    s.calls = []
    return times


def cold(sides, calls, *args):
    """The first result of a process: {call: {side: {"seconds", "peak"}}}."""
    found = {c: {} for c in calls}
    for s in sides:
        for call in calls:
            if call not in s.calls:
                continue
            one = open_side(s.name, *args)
            if one:
                found[call][s.name] = one.ask(call)
                one.close()
    return found


def report(network, batch, threads, times, first):
    rows = []
    for call, by_side in times.items():
        if not by_side.get('libxai'):
            continue
        ours = statistics.median(by_side['libxai'])
        for side, seconds in by_side.items():
            if not seconds:
                continue
            row = {'network': network, 'batch': batch, 'threads': threads, 'call': call, 'side': side,
                   'ms': 1e3 * statistics.median(seconds), 'ratio': statistics.median(seconds) / ours,
                   'x_forward': ours / statistics.median(times['forward']['libxai'])}
            at = first.get(call, {}).get(side)
            if at:
                row.update(first_ms=1e3 * at['seconds'], peak_mb=at['peak'] / 1e6)
            rows.append(row)
            note = '%8.2f x forward' % row['x_forward'] if side == 'libxai' else '%8.2f x ours' % row['ratio']
            if at:
                note += '   first result %8.1f ms, peak %6.0f MB' % (row['first_ms'], row['peak_mb'])
            print('%-16s %2d %2d  %-22s %-12s %9.2f ms %s' % (network, batch, threads, call, side, row['ms'], note),
                  flush=True)
    return rows


def numbers(text):
    return [int(n) for n in text.split(',')]


def main():
    p = argparse.ArgumentParser()
    p.add_argument('lib'), p.add_argument('network', nargs='*')
    p.add_argument('--batch', type=numbers, default=[1, 8]), p.add_argument('--threads', type=numbers, default=[1, 2])
    p.add_argument('--rounds', type=int, default=7), p.add_argument('--json'), p.add_argument('--cold', action='store_true')
    p.add_argument('--peers', default=','.join(PEERS)), p.add_argument('--calls')
    p.add_argument('--networks', default='build/speed/networks', help='folder for the exported networks')
    a = p.parse_args()
    lib, rows = os.path.abspath(a.lib), []
    os.makedirs(a.networks, exist_ok=True)
    for network in a.network or NETWORKS:
        path = os.path.join(a.networks, network + '.onnx')
        if not os.path.exists(path):
            subprocess.run([sys.executable, os.path.join(HERE, '../networks.py'), a.networks, network], check=True)
        for batch in a.batch:
            for threads in a.threads:
                args = lib, path, network, batch, threads
                names = [n for n in a.peers.split(',') if n and network in ONLY.get(n, [network])]
                sides = [s for s in [open_side(n, *args) for n in ['libxai'] + names] if s]
                peers = {c for s in sides if s.name != 'libxai' for c in s.calls} | {'forward', 'gradient'}
                calls = [c for c in sides[0].calls if c in (a.calls.split(',') if a.calls else peers) or c == 'forward']
                times = warm(sides, calls, a.rounds)
                first = cold(sides, calls, *args) if a.cold else {}
                rows += report(network, batch, threads, times, first)
                for s in sides:
                    s.close()
    if a.json:
        with open(a.json, 'w') as f:
            json.dump(rows, f, indent=1)


if __name__ == '__main__':
    main()
