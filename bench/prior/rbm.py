#!/usr/bin/env python3
"""One epoch of CD-1 on the 60,000 pictures of Fashion-MNIST (Debian: dataset-fashion-mnist): ours against
scikit-learn's BernoulliRBM and the same steps in torch, in turn, each in a process of its own.

    rbm.py --library build/release/libxai.so [--hidden 500] [--batch 100] [--threads 2] [--rounds 3]

Ours has Gaussian visible units, which are drawn; scikit-learn's are Bernoulli, and drawn too (its epoch is
persistent CD). torch does what ours does."""
import argparse, ctypes as c, gzip, json, os, statistics, subprocess, sys, time
import numpy as np

DATA = "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"


def pictures():
    with gzip.open(DATA) as f:
        return np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255


class Param(c.Structure):
    _fields_ = [("name", c.c_char_p), ("tensor", c.c_void_p), ("text", c.c_char_p), ("number", c.c_double)]


class Options(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("threads", c.c_int32), ("max_isa", c.c_int32)]


class Request(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("method", c.c_char_p), ("params", c.POINTER(Param)),
                ("n_params", c.c_size_t), ("inputs", c.POINTER(Param)), ("n_inputs", c.c_size_t)]


def ours(x, a):
    """The time between the first and the last report of progress, which come before every batch."""
    xai = c.CDLL(os.path.abspath(a.library))
    shape = (c.c_int64 * 2)(*x.shape)
    data = c.c_void_p()
    error = (c.c_char * 512)()
    assert not xai.xai_tensor_create(1, 2, shape, x.ctypes.data_as(c.c_void_p), c.byref(data), error)
    given = {b"hidden": a.hidden, b"batch": a.batch, b"epochs": 1, b"betas": 0}
    params = (Param * len(given))(*[Param(k, None, None, v) for k, v in given.items()])
    inputs = (Param * 1)(Param(b"data", data))
    options = Options(c.sizeof(Options), a.threads)
    request = Request(c.sizeof(Request), b"rbm", params, len(given), inputs, 1)
    result = c.c_void_p()
    start = time.perf_counter()
    status = xai.xai_fit(c.byref(request), c.byref(options), c.byref(result), error)
    assert not status, error.raw[128:].split(b"\0")[0]
    return time.perf_counter() - start


def sklearn(x, a):
    from sklearn.neural_network import BernoulliRBM
    machine = BernoulliRBM(a.hidden, batch_size=a.batch, n_iter=1, learning_rate=0.01, random_state=0)
    start = time.perf_counter()
    machine.fit(x)
    return time.perf_counter() - start


def torch(x, a):
    import torch as t
    t.set_num_threads(a.threads)
    x, generator = t.from_numpy(x), t.Generator().manual_seed(0)
    n, m, rate, momentum, decay = x.shape[1], a.hidden, 0.01, 0.9, 1e-4
    start = time.perf_counter()
    with t.no_grad():
        mean = x.mean(0)
        s = (x - mean).pow(2).mean().sqrt()
        w, bias, b = 0.01 * t.randn(n, m, generator=generator), mean.clone(), t.zeros(m)
        speed = [t.zeros_like(v) for v in (w, bias, b)]
        order = t.randperm(len(x), generator=generator)
        for k in range(0, len(x), a.batch):
            v0 = x[order[k:k + a.batch]]
            p0 = t.sigmoid(t.addmm(b, v0 / s**2, w))
            h0 = t.bernoulli(p0, generator=generator)
            v1 = t.addmm(bias, h0, w.T)
            v1 += s * t.randn(v1.shape, generator=generator)
            p1 = t.sigmoid(t.addmm(b, v1 / s**2, w))
            steps = (v0.T @ p0 - v1.T @ p1, (v0 - v1).sum(0), (p0 - p1).sum(0))
            for value, moving, step in zip((w, bias, b), speed, steps):
                moving.mul_(momentum).add_(step, alpha=rate / len(v0))
                if value is w:
                    moving.sub_(w, alpha=rate * decay)
                value += moving
    return time.perf_counter() - start


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--library", default="build/release/libxai.so")
    p.add_argument("--hidden", type=int, default=500)
    p.add_argument("--batch", type=int, default=100)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--only", choices=("ours", "sklearn", "torch"))
    a = p.parse_args()
    if a.only:
        print(json.dumps(globals()[a.only](pictures(), a)))
        return
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    environment |= {k: str(a.threads) for k in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    names, seconds = ("ours", "sklearn", "torch"), {}
    for _ in range(a.rounds):
        for name in names:
            run = [sys.executable, __file__, "--only", name, *sys.argv[1:]]
            out = subprocess.run(run, env=environment, check=True, capture_output=True, text=True).stdout
            seconds.setdefault(name, []).append(json.loads(out))
    for name in names:
        ratio = statistics.median(t / o for t, o in zip(seconds[name], seconds["ours"]))
        print(f"{name:8} {statistics.median(seconds[name]):7.2f} s   {ratio:5.2f} of ours   {seconds[name]}")


if __name__ == "__main__":
    main()
