"""The library through ctypes, as little of it as a benchmark needs."""
import ctypes as c

import numpy as np


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
        self.lib, self.err, self.x = c.CDLL(lib), Error(), np.ascontiguousarray(x, np.float32)
        self.lib.xai_result_free.argtypes = [c.c_void_p]
        graph, self.session, tensor = c.c_void_p(), c.c_void_p(), c.c_void_p()
        options = Options(struct_size=c.sizeof(Options), threads=threads)
        self.check(self.lib.xai_graph_load(path.encode(), None, c.byref(graph), c.byref(self.err)))
        self.check(self.lib.xai_session_create(graph, c.byref(options), c.byref(self.session), c.byref(self.err)))
        shape = (c.c_int64 * x.ndim)(*x.shape)
        self.check(self.lib.xai_tensor_create(1, x.ndim, shape, self.x.ctypes.data_as(c.c_void_p), c.byref(tensor),
                                              c.byref(self.err)))
        self.input = Param(None, tensor, None, 0)

    def check(self, status):
        if status:
            raise RuntimeError('%s: %s' % (self.err.where.decode(), self.err.text.decode()))

    def call(self, method=None, **numbers):
        """Runs the network, or a method; the result is thrown away."""
        r, out = Request(struct_size=c.sizeof(Request), inputs=c.pointer(self.input), n_inputs=1), c.c_void_p()
        params = (Param * (len(numbers) + 1))(*[Param(k.encode(), None, None, v) for k, v in numbers.items()])
        if method:
            r.method, r.params, r.n_params = method.encode(), params, len(numbers)
        f = self.lib.xai_explain if method else self.lib.xai_run
        self.check(f(self.session, c.byref(r), c.byref(out), c.byref(self.err)))
        self.lib.xai_result_free(out)
