"""Our forward pass and explanations against onnxruntime's forward pass, in one process, paired.

    python speed.py LIBXAI.so DIR [NAME ...] [--threads N] [--rounds N]

DIR holds NAME.onnx and NAME.npy (bench/parity/networks.py writes them). Needs numpy and onnxruntime.
Every round times each side once, in turn; the table has medians in ms and ratios of medians.
"""
import argparse
import ctypes as c
import glob
import os
import time

import numpy as np
import onnxruntime as ort

METHODS = ['gradient', 'epsilon-plus', 'epsilon-alpha2-beta1', 'epsilon-gamma-box']


class Error(c.Structure):
    _fields_ = [('status', c.c_int32), ('node', c.c_int32), ('where', c.c_char * 120), ('text', c.c_char * 384)]


class Param(c.Structure):
    _fields_ = [('name', c.c_char_p), ('tensor', c.c_void_p), ('text', c.c_char_p), ('number', c.c_double)]


class Options(c.Structure):
    _fields_ = [('struct_size', c.c_size_t), ('threads', c.c_int32), ('max_isa', c.c_int32)] + \
               [('rest%d' % i, c.c_int64) for i in range(8)]


class Request(c.Structure):
    _fields_ = [('struct_size', c.c_size_t), ('method', c.c_char_p), ('params', c.POINTER(Param)),
                ('n_params', c.c_size_t), ('inputs', c.POINTER(Param)), ('n_inputs', c.c_size_t)]


class Network:
    def __init__(self, lib, path, x, threads):
        self.lib, self.err, self.x = lib, Error(), np.ascontiguousarray(x, np.float32)
        graph, self.session, tensor = c.c_void_p(), c.c_void_p(), c.c_void_p()
        options = Options(struct_size=c.sizeof(Options), threads=threads)
        self.check(lib.xai_graph_load(path.encode(), None, c.byref(graph), c.byref(self.err)))
        self.check(lib.xai_session_create(graph, c.byref(options), c.byref(self.session), c.byref(self.err)))
        shape = (c.c_int64 * x.ndim)(*x.shape)
        self.check(lib.xai_tensor_create(1, x.ndim, shape, self.x.ctypes.data_as(c.c_void_p), c.byref(tensor),
                                         c.byref(self.err)))
        self.input = Param(None, tensor, None, 0)
        self.bounds = (Param * 2)(Param(b'low', None, None, -4), Param(b'high', None, None, 4))

    def check(self, status):
        if status:
            raise RuntimeError('%s: %s' % (self.err.where.decode(), self.err.text.decode()))

    def call(self, method=None):
        r, out = Request(struct_size=c.sizeof(Request), inputs=c.pointer(self.input), n_inputs=1), c.c_void_p()
        if method:
            r.method = method.encode()
            if 'box' in method:
                r.params, r.n_params = self.bounds, 2
        f = self.lib.xai_explain if method else self.lib.xai_run
        self.check(f(self.session, c.byref(r), c.byref(out), c.byref(self.err)))
        self.lib.xai_result_free(out)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('lib'), p.add_argument('dir'), p.add_argument('names', nargs='*')
    p.add_argument('--threads', type=int, default=2), p.add_argument('--rounds', type=int, default=11)
    a = p.parse_args()
    lib = c.CDLL(a.lib)
    lib.xai_result_free.argtypes = [c.c_void_p]
    print('%-18s %9s %9s %7s   ' % ('network', 'ort ms', 'ours ms', 'ratio') +
          ' '.join('%22s' % m for m in METHODS) + '   (ms, x our forward)')
    for name in a.names or sorted(os.path.basename(q)[:-5] for q in glob.glob(a.dir + '/*.onnx')):
        path = os.path.join(a.dir, name + '.onnx')
        x = np.load(path[:-5] + '.npy').astype(np.float32)
        o = ort.SessionOptions()
        o.intra_op_num_threads = a.threads
        peer = ort.InferenceSession(path, o, providers=['CPUExecutionProvider'])
        feed, ours = {peer.get_inputs()[0].name: x}, Network(lib, path, x, a.threads)
        sides = [lambda: peer.run(None, feed), ours.call] + [lambda m=m: ours.call(m) for m in METHODS]
        times = [[] for _ in sides]
        for r in range(a.rounds + 2):
            for i, side in enumerate(sides):
                side()  # each side's own caches and plans are warm
                t = time.perf_counter()
                side()
                if r >= 2:
                    times[i].append(1000 * (time.perf_counter() - t))
        m = [float(np.median(t)) for t in times]
        print('%-18s %9.1f %9.1f %7.2f   ' % (name, m[0], m[1], m[1] / m[0]) +
              ' '.join('%14.1f (%4.1fx)' % (t, t / m[1]) for t in m[2:]), flush=True)


if __name__ == '__main__':
    main()
