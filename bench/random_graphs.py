"""Random small graphs: `xai run` against onnxruntime, gradients against differences.

    python random_graphs.py XAI [--count 2000] [--seed 0] [--only K] [--keep DIR]

A graph is a dozen operators with random attributes, opset 13 to 21, whose operands are drawn from what the
graph has so far; every float result is an output. All outputs must agree to 1e-4 (of the largest
element that led to it). Of every fourth graph the gradient of a random sum of an output is compared
with differences of onnxruntime's own outputs; of every fourth the ledger of a random method of relevance
must close. What onnxruntime does not take is drawn anew. --only K makes graph K alone; --keep writes the
graphs that fail.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

F = TensorProto.FLOAT


class Graph:
    """A graph in the making: values by name with their shapes, and the random numbers it is made of."""

    def __init__(self, rng):
        self.rng, self.nodes, self.consts, self.inputs, self.shapes = rng, [], [], {}, {}
        self.opset = int(rng.integers(13, 22))

    def ints(self, low, high, n=None):
        """low..high, both included."""
        got = self.rng.integers(low, high + 1, n)
        return int(got) if n is None else [int(i) for i in got]

    def chance(self, p=.5):
        return self.rng.random() < p

    def one_of(self, *choices):
        return choices[self.ints(0, len(choices) - 1)]

    def input(self, shape):
        name = f'x{len(self.inputs)}'
        self.inputs[name] = self.rng.standard_normal(shape).astype(np.float32)
        self.shapes[name] = tuple(shape)

    def const(self, array):
        name = f'c{len(self.consts)}'
        self.consts.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def floats(self, *shape):
        return self.const(self.rng.standard_normal(shape).astype(np.float32))

    def longs(self, values):
        return self.const(np.array(values, np.int64))

    def pick(self, low=0, high=5):
        """A float value of a rank in low..high that is not empty; of an added axis if there is none."""
        fits = [k for k, s in self.shapes.items() if low <= len(s) <= high and 0 < np.prod(s) <= 20000]
        if fits:
            weights = np.arange(1, len(fits) + 1) ** 2.  # late ones: graphs that are deep
            return fits[self.rng.choice(len(fits), p=weights / weights.sum())]
        name = self.pick()
        shape = list(self.shapes[name])
        while len(shape) < low:
            shape.insert(0, 1)
        while len(shape) > high:
            shape[:2] = [shape[0] * shape[1]]
        return self.node('Reshape', [name, self.longs(shape)])

    def node(self, kind, operands, outs=1, **attributes):
        names = [f'{kind.lower()}{len(self.nodes)}_{i}' for i in range(outs)]
        self.nodes.append(helper.make_node(kind, operands, names, **attributes))
        self.infer(names)
        return names[0]

    def infer(self, names):
        """Shapes, from the node alone; a value that is not float has none."""
        node = self.nodes[-1]
        known = {c.name: c for c in self.consts}
        given = [helper.make_tensor_value_info(n, F, self.shapes[n]) for n in set(node.input) if n in self.shapes]
        given += [helper.make_tensor_value_info(n, self.kinds[n][0], self.kinds[n][1])
                  for n in set(node.input) if n in self.kinds]
        graph = helper.make_graph([node], 'g', given, [helper.make_empty_tensor_value_info(n) for n in names],
                                  [known[n] for n in node.input if n in known])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', self.opset)])
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        for v in model.graph.output:
            t = v.type.tensor_type
            shape = tuple(d.dim_value for d in t.shape.dim)
            if t.elem_type == F:
                self.shapes[v.name] = shape
            else:
                self.kinds[v.name] = (t.elem_type, shape)

    kinds = property(lambda self: self.__dict__.setdefault('_kinds', {}))

    def axis(self, rank):
        return self.ints(-rank, rank - 1)

    def positive(self, name, plus=.5):
        return self.node('Add', [self.node('Abs', [name]), self.const(np.float32(plus))])

    def model(self):
        made = [o for n in self.nodes for o in n.output if o in self.shapes]
        graph = helper.make_graph(
            self.nodes, 'g', [helper.make_tensor_value_info(k, F, v.shape) for k, v in self.inputs.items()],
            [helper.make_tensor_value_info(o, F, None) for o in made], self.consts)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', self.opset)])
        model.ir_version = 9
        return model


OPERATORS = []


def operator(since=13):
    def add(make):
        OPERATORS.append((since, make))
        return make
    return add


# ---- of one element ----

PLAIN = ['Abs', 'Neg', 'Sigmoid', 'Tanh', 'Relu', 'LeakyRelu', 'Elu', 'Selu', 'Celu', 'Softplus', 'Softsign',
         'HardSigmoid', 'ThresholdedRelu', 'Erf', 'Sin', 'Cos', 'Atan', 'Asinh', 'Floor', 'Ceil', 'Round', 'Sign', 'Identity']


@operator()
def plain(g):
    names = PLAIN + ['HardSwish'] * (g.opset >= 14) + ['Mish'] * (g.opset >= 18) + ['Gelu'] * (g.opset >= 20)
    kind = g.one_of(*names)
    alpha = {'alpha': float(g.rng.uniform(.05, 2))}
    with_alpha = kind in ('LeakyRelu', 'Elu', 'Celu', 'ThresholdedRelu', 'HardSigmoid') and g.chance()
    g.node(kind, [g.pick()], **(alpha if with_alpha else {}))


@operator()
def bounded(g):
    kind = g.one_of('Exp', 'Sqrt', 'Log', 'Reciprocal', 'Clip')
    x = g.pick()
    if kind == 'Exp':
        x = g.node('Clip', [x, g.const(np.float32(-4)), g.const(np.float32(3))])
    if kind == 'Clip':
        low, high = ('' if g.chance(.3) else g.const(np.float32(b)) for b in (-.5, .7))
        return g.node('Clip', [x, low, high])
    g.node(kind, [x if kind == 'Exp' else g.positive(x)])


# ---- of several operands ----

def partner(g, x):
    """Something that broadcasts with x: another value, or a constant with axes left out or of size 1."""
    shape = g.shapes[x]
    fits = []
    for k, s in g.shapes.items():
        try:
            if np.prod(np.broadcast_shapes(s, shape)) <= 20000:
                fits.append(k)
        except ValueError:
            pass
    if g.chance(.6):
        return g.one_of(*fits)
    shape = [1 if g.chance(.3) else n for n in shape][g.ints(0, len(shape)):]
    return g.floats(*shape)


@operator()
def binary(g):
    kind, x = g.one_of('Add', 'Sub', 'Mul', 'Div', 'Pow', 'Max', 'Min', 'Mean', 'Sum', 'PRelu', 'Mod'), g.pick()
    y = partner(g, x)
    if kind == 'PRelu':
        n = len(g.shapes[x])
        return g.node(kind, [x, g.floats(*[1 if g.chance() else s for s in g.shapes[x]][g.ints(0, n):])])
    if kind == 'Pow':
        return g.node(kind, [g.positive(x), g.const(np.float32(g.rng.uniform(-2, 2)))])
    if kind in ('Div', 'Mod') and y in g.shapes:
        y = g.positive(y)
    elif kind in ('Div', 'Mod'):
        y = g.node('Abs', [y]) if g.chance() else y
    operands = [x, y] if g.chance() or kind in ('Div', 'Mod') else [y, x]
    if kind in ('Max', 'Min', 'Mean', 'Sum') and g.chance():
        operands.append(partner(g, x))
    g.node(kind, operands, **({'fmod': 1} if kind == 'Mod' else {}))


@operator()
def choice(g):
    x = g.pick()
    y = partner(g, x)
    test = g.node(g.one_of('Less', 'Greater', 'LessOrEqual', 'GreaterOrEqual'), [x, y])
    if g.chance(.3):
        test = g.node('Not', [test])
    if g.chance(.3):
        other = g.node('Greater', [x, g.const(np.float32(0))])
        test = g.node(g.one_of('And', 'Or', 'Xor'), [test, other])
    g.node('Where', [test, *g.rng.permutation([x, y])]) if g.chance(.7) else g.node('Cast', [test], to=F)


# ---- moving elements ----

@operator()
def transpose(g):
    x = g.pick(1)
    g.node('Transpose', [x], perm=[int(i) for i in g.rng.permutation(len(g.shapes[x]))])


@operator()
def reshape(g):
    x = g.pick()
    left, shape = int(np.prod(g.shapes[x])), []
    for _ in range(g.ints(0, 3)):
        shape.append(g.one_of(*[d for d in range(1, left + 1) if left % d == 0]))
        left //= shape[-1]
    shape.append(left if g.chance() else -1)
    if g.chance(.3) and g.shapes[x]:
        return g.node('Flatten', [x], axis=g.ints(-len(g.shapes[x]), len(g.shapes[x])))
    g.node('Reshape', [x, g.longs(shape)])


@operator()
def axes(g):
    x = g.pick(0, 4)
    n = len(g.shapes[x])
    ones = [i for i, s in enumerate(g.shapes[x]) if s == 1]
    if ones and g.chance():
        return g.node('Squeeze', [x] if g.chance(.3) else [x, g.longs([g.one_of(*ones)])])
    g.node('Unsqueeze', [x, g.longs([g.ints(-n - 1, n)])])


@operator()
def joined(g):
    x = g.pick(1)
    a = g.axis(len(g.shapes[x]))
    shape = list(g.shapes[x])
    shape[a] = g.ints(1, 3)
    g.node('Concat', [x, x if g.chance(.3) else g.floats(*shape)][::g.one_of(1, -1)], axis=a)


@operator()
def split(g):
    x = g.pick(1)
    a = g.axis(len(g.shapes[x]))
    n = g.shapes[x][a]
    if n < 2:
        return
    first = g.ints(1, n - 1)
    g.node('Split', [x, g.longs([first, n - first])], 2, axis=a)


@operator()
def sliced(g):
    x = g.pick(1)
    n = len(g.shapes[x])
    chosen = [int(a) for a in g.rng.permutation(n)[:g.ints(1, n)]]
    starts, ends, steps = [], [], []
    for a in chosen:
        size, back = g.shapes[x][a], g.chance(.3)
        low = g.ints(0, size - 1)
        high = g.ints(low + 1, size)
        step = g.ints(1, 2)
        starts.append(high - 1 if back else low - g.one_of(0, size))
        ends.append(low - 1 - size if back else g.one_of(high, 10 ** 9 if high == size else high))
        steps.append(-step if back else step)
    g.node('Slice', [x, g.longs(starts), g.longs(ends), g.longs(chosen), g.longs(steps)])


@operator()
def gathered(g):
    x = g.pick(1, 3)
    shape = g.shapes[x]
    a = g.axis(len(shape))
    n = shape[a]
    kind = g.one_of('Gather', 'GatherElements', 'GatherND')
    if kind == 'Gather':
        at = g.rng.integers(-n, n, [g.ints(1, 3) for _ in range(g.ints(0, 2))])
        return g.node(kind, [x, g.const(np.array(at, np.int64))], axis=a)
    if kind == 'GatherElements':
        size = list(shape)
        size[a] = g.ints(1, 4)
        return g.node(kind, [x, g.longs(g.rng.integers(-n, n, size))], axis=a)
    depth = g.ints(1, len(shape))
    at = np.stack([g.rng.integers(-shape[i], shape[i], 3) for i in range(depth)], -1)
    g.node(kind, [x, g.longs(at)])


@operator()
def scattered(g):
    x = g.pick(1, 3)
    shape = g.shapes[x]
    a = g.axis(len(shape))
    n = shape[a]
    how = {'reduction': g.one_of('none', 'add', 'mul')} if g.opset >= 16 else {}
    if g.chance():
        size = list(shape)
        size[a] = g.ints(1, n)
        at = np.argsort(g.rng.random(shape), a)  # each place once
        at = np.take(at, range(size[a]), a)
        return g.node('ScatterElements', [x, g.longs(at), g.floats(*size)], axis=a, **how)
    rows = g.rng.permutation(shape[0])[:g.ints(1, shape[0])]
    g.node('ScatterND', [x, g.longs(rows[:, None]), g.floats(len(rows), *shape[1:])], **how)


@operator()
def padded(g):
    x = g.pick(1, 4)
    shape = g.shapes[x]
    mode = g.one_of('constant', 'reflect', 'edge', *['wrap'] * (g.opset >= 19))
    most = [2 if mode in ('constant', 'edge') else min(2, s - 1) for s in shape]
    before, after = ([g.ints(-1 if mode == 'constant' and s > 2 else 0, m) for m, s in zip(most, shape)] for _ in (0, 1))
    value = [g.const(np.float32(1.5))] if mode == 'constant' and g.chance() else []
    g.node('Pad', [x, g.longs(before + after), *value], mode=mode)


@operator()
def repeated(g):
    x = g.pick(1, 3)
    n = len(g.shapes[x])
    if g.chance():
        return g.node('Tile', [x, g.longs(g.ints(1, 2, n))])
    shape = [s if s > 1 else g.ints(1, 3) for s in g.shapes[x]]
    g.node('Expand', [x, g.longs([2] * g.chance(.3) + shape)])


@operator(14)
def triangle(g):
    g.node('Trilu', [g.pick(2), g.longs(g.ints(-1, 1))], upper=g.ints(0, 1))


@operator()
def summed_up(g):
    x = g.pick(1)
    g.node('CumSum', [x, g.longs(g.axis(len(g.shapes[x])))], exclusive=g.ints(0, 1), reverse=g.ints(0, 1))


@operator()
def largest(g):
    x = g.pick(1)
    a = g.axis(len(g.shapes[x]))
    if g.chance():
        return g.node('TopK', [x, g.longs([g.ints(1, g.shapes[x][a])])], 2, axis=a, largest=g.ints(0, 1))
    y = g.node(g.one_of('ArgMax', 'ArgMin'), [x], axis=a, keepdims=g.ints(0, 1), select_last_index=g.ints(0, 1))
    g.node('Cast', [y], to=F)


@operator()
def blocks(g):
    x = g.pick(4, 4)
    n, c, h, w = g.shapes[x]
    if c % 4 == 0 and g.chance():
        g.node('DepthToSpace', [x], blocksize=2, mode=g.one_of('DCR', 'CRD'))
    elif h % 2 == 0 and w % 2 == 0:
        g.node('SpaceToDepth', [x], blocksize=2)


@operator()
def resized(g):
    x = g.pick(4, 4)
    if np.prod(g.shapes[x]) > 4000:
        return
    mode = g.one_of('nearest', 'linear', 'cubic')
    scales = [1, 1, *(float(g.one_of(.5, .75, 1, 1.5, 2, 3)) for _ in (0, 1))]
    more = {'nearest_mode': g.one_of('round_prefer_floor', 'floor', 'ceil', 'round_prefer_ceil')} if mode == 'nearest' else {}
    where = g.one_of('half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel')
    sizes = [s * f for s, f in zip(g.shapes[x], scales)]
    if min(sizes) < 1:
        return
    if any(s % 1 for s in sizes) and where == 'align_corners':
        where = 'half_pixel'  # ONNX aligns the corners of s, onnxruntime those of what is left of it
    g.node('Resize', [x, '', g.const(np.array(scales, np.float32))], mode=mode,
           coordinate_transformation_mode=where, **more)


# ---- reductions ----

@operator()
def reduced(g):
    x = g.pick()
    n = len(g.shapes[x])
    kind = g.one_of('Sum', 'Mean', 'Max', 'Min', 'Prod', 'L1', 'L2', 'SumSquare', 'LogSumExp', 'LogSum')
    if kind == 'LogSum':
        x = g.positive(x)
    if kind == 'Prod':
        x = g.node('Tanh', [x])
    chosen = [int(a) for a in g.rng.permutation(n)[:g.ints(0, n)]]
    operands, attributes = [x], {'keepdims': g.ints(0, 1)}
    if chosen and (kind == 'Sum' or g.opset >= 18):
        operands.append(g.longs(chosen))
    elif chosen:
        attributes['axes'] = chosen
    g.node('Reduce' + kind, operands, **attributes)


# ---- layers ----

@operator()
def matrix(g):
    x = g.pick(1, 4)
    k = g.shapes[x][-1]
    if g.chance(.3) and len(g.shapes[x]) >= 2:  # with itself
        order = list(range(len(g.shapes[x])))
        order[-2:] = order[:-3:-1]
        return g.node('MatMul', [x, g.node('Transpose', [x], perm=order)])
    if g.chance(.2):
        n = g.shapes[x][-2] if len(g.shapes[x]) > 1 else k
        return g.node('MatMul', [g.floats(g.ints(1, 4), n), x])
    g.node('MatMul', [x, g.floats(k, g.ints(1, 5)) if g.chance(.8) else g.floats(k)])


@operator()
def gemm(g):
    x = g.pick(2, 2)
    a, b, n = g.ints(0, 1), g.ints(0, 1), g.ints(1, 5)
    m, k = g.shapes[x][::-1] if a else g.shapes[x]
    operands = [x, g.floats(n, k) if b else g.floats(k, n)]
    if g.chance():
        operands.append(g.floats(*g.one_of((n,), (1, n), (m, 1), (m, n), ())))
    g.node('Gemm', operands, transA=a, transB=b, alpha=g.one_of(1., .5), beta=g.one_of(1., 2.))


@operator()
def einsum(g):
    x = g.pick(2, 3)
    letters = 'abc'[:len(g.shapes[x])]
    if g.chance():
        return g.node('Einsum', [x, g.floats(g.shapes[x][-1], 3)], equation=f'{letters},{letters[-1]}z->{letters[:-1]}z')
    g.node('Einsum', [x, x], equation=f'{letters},{letters}->{letters[g.ints(0, len(letters) - 1)]}')


def window(g, x):
    """(kernel, attributes) over the axes behind the first two of x, padded so that something is left."""
    sizes = g.shapes[x][2:]
    kernel = [g.ints(1, min(3, s)) for s in sizes]
    attributes = {'strides': g.ints(1, 2, len(sizes))}
    if g.chance(.2):
        attributes['auto_pad'] = g.one_of('SAME_UPPER', 'SAME_LOWER', 'VALID')
    elif g.chance():
        attributes['pads'] = [g.ints(0, k - 1) for k in kernel * 2]
    return kernel, attributes


def field(g):
    x = g.pick(3, 5)
    if min(g.shapes[x][2:]) >= 2:
        return x
    return g.node('Reshape', [g.floats(2, 4, 6, 5) if g.chance(.1) else (lambda y: g.node('Expand', [y, g.longs([1, 1, 3, 4])]))(
        g.node('Reshape', [x, g.longs([-1, 1, 1, 1])])), g.longs([1, -1, 3, 4])])


@operator()
def conv(g):
    x = field(g)
    kernel, attributes = window(g, x)
    c = g.shapes[x][1]
    group = g.one_of(*[d for d in (1, 1, 2, 3, c) if c % d == 0])
    m = group * g.ints(1, 2)
    if np.prod(g.shapes[x]) * m > 20000:
        return
    if all(s > 2 * k for s, k in zip(g.shapes[x][2:], kernel)) and 'auto_pad' not in attributes and g.chance(.3):
        attributes['dilations'] = [2] * len(kernel)
    bias = [g.floats(m)] if g.chance() else []
    g.node('Conv', [x, g.floats(m, c // group, *kernel), *bias], group=group, **attributes)


@operator()
def conv_transpose(g):
    x = field(g)
    kernel, attributes = window(g, x)
    c = g.shapes[x][1]
    group = g.one_of(*[d for d in (1, 1, 2, c) if c % d == 0])
    if np.prod(g.shapes[x]) > 2000 or 'auto_pad' in attributes:
        return
    if g.chance(.3):
        attributes['output_padding'] = [s - 1 for s in attributes['strides']]
    bias = [g.floats(2 * group)] if g.chance() else []
    g.node('ConvTranspose', [x, g.floats(c, 2, *kernel), *bias], group=group, **attributes)


@operator()
def pool(g):
    x = field(g)
    kind = g.one_of('MaxPool', 'AveragePool', 'LpPool', 'GlobalAveragePool', 'GlobalMaxPool')
    if kind.startswith('Global'):
        return g.node(kind, [x])
    kernel, attributes = window(g, x)
    if kind == 'LpPool':
        attributes['p'] = g.ints(1, 3)
    elif g.chance(.3) and 'auto_pad' not in attributes:  # VALID has its own formula, unlike onnxruntime's
        attributes['ceil_mode'] = 1
    if kind == 'AveragePool' and g.chance():
        attributes['count_include_pad'] = 1
    if kind == 'MaxPool' and 'auto_pad' not in attributes and all(s > 2 * k for s, k in zip(g.shapes[x][2:], kernel)):
        attributes['dilations'] = g.ints(1, 2, len(kernel))
    g.node(kind, [x], kernel_shape=kernel, **attributes)


# ---- normalisations ----

@operator()
def normalised(g):
    kind = g.one_of('BatchNormalization', 'InstanceNormalization', 'LRN', 'LpNormalization', 'MeanVarianceNormalization',
                    *['LayerNormalization'] * (g.opset >= 17), *['GroupNormalization'] * (g.opset >= 21))
    if kind == 'LayerNormalization':
        x = g.pick(1)
        a = g.axis(len(g.shapes[x]))
        shape = g.shapes[x][a:]
        bias = [g.floats(*shape)] if g.chance() else []
        return g.node(kind, [x, g.floats(*shape), *bias], axis=a)
    if kind == 'LpNormalization':
        x = g.pick(1)
        return g.node(kind, [x], axis=g.axis(len(g.shapes[x])), p=g.ints(1, 2))
    x = field(g)
    c = g.shapes[x][1]
    scale, shift = g.floats(c), g.floats(c)
    if kind == 'BatchNormalization':
        return g.node(kind, [x, scale, shift, g.floats(c), g.const(g.rng.random(c).astype(np.float32) + .5)])
    if kind == 'InstanceNormalization':
        return g.node(kind, [x, scale, shift])
    if kind == 'GroupNormalization':
        return g.node(kind, [x, scale, shift], num_groups=g.one_of(*[d for d in range(1, c + 1) if c % d == 0]))
    if kind == 'LRN':
        return g.node(kind, [x], size=g.one_of(1, 3, 5), alpha=.1, beta=.7, bias=1.)
    g.node(kind, [x], axes=[0, *range(2, len(g.shapes[x]))]) if len(g.shapes[x]) == 4 else None


@operator()
def soft(g):
    x = g.pick(1)
    g.node(g.one_of('Softmax', 'LogSoftmax', 'Hardmax'), [x], axis=g.axis(len(g.shapes[x])))


@operator()
def recurrent(g):
    x = g.pick(3, 3)
    s, n, i = g.shapes[x]
    kind, h, way = g.one_of('LSTM', 'GRU', 'RNN'), g.ints(1, 4), g.one_of('forward', 'reverse', 'bidirectional')
    d, gates = 1 + (way == 'bidirectional'), {'LSTM': 4, 'GRU': 3, 'RNN': 1}[kind]
    if s * n * h > 2000:
        return
    operands = [x, g.floats(d, gates * h, i), g.floats(d, gates * h, h)]
    if g.chance():
        operands.append(g.floats(d, 2 * gates * h))
    more = {'linear_before_reset': g.ints(0, 1)} if kind == 'GRU' else {}
    g.node(kind, operands, 2, hidden_size=h, direction=way, **more)


# ---- running ----

def make(rng):
    g = Graph(rng)
    for _ in range(g.ints(1, 2)):
        g.input(g.one_of((2, 4), (5,), (1, 3, 6, 5), (2, 4, 4, 4), (3, 2, 5), (2, 3, 7), (1, 2, 3, 4, 4)))
    usable = [make for since, make in OPERATORS if since <= g.opset]
    while len(g.nodes) < 12:
        before = len(g.nodes), len(g.consts), dict(g.shapes), dict(g.kinds)
        try:
            g.one_of(*usable)(g)
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError, IndexError):
            del g.nodes[before[0]:], g.consts[before[1]:]
            g.shapes, g.__dict__['_kinds'] = before[2], before[3]
    return g


def session_of(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def call(xai, *arguments):
    done = subprocess.run([xai, *arguments, '--quiet', '--threads', '1'], capture_output=True, text=True)
    return None if done.returncode == 0 else f'exit {done.returncode}: {done.stderr.strip()[:250]}'


def sizes(g, values):
    """Per value: the largest element that it or what led to it has, as rounding is of that size."""
    size = {k: float(np.abs(v).max(initial=0)) for k, v in g.inputs.items()}
    for node in g.nodes:
        before = max([size.get(i, 0) for i in node.input], default=0)
        for o in node.output:
            own = float(np.abs(values[o]).max(initial=0)) if o in values else 0
            size[o] = max(own, before) if np.isfinite(own) else before
    return size


def differ(ours, theirs, room):
    if ours.shape != theirs.shape:
        return f'shape {ours.shape}, not {theirs.shape}'
    same = (np.isnan(ours) & np.isnan(theirs)) | (ours == theirs)
    bad = ~same & ~(np.abs(ours - theirs) <= room)
    return f'{int(bad.sum())} of {bad.size} elements differ, by {np.abs(ours - theirs)[bad].max():.3g}' if bad.any() else None


STEPS = {'Floor', 'Ceil', 'Round', 'Sign', 'ArgMax', 'ArgMin', 'Hardmax', 'Less', 'Greater', 'LessOrEqual',
         'GreaterOrEqual', 'Mod', 'TopK'}


DECISIONS = STEPS - {'TopK', 'Mod', 'Floor', 'Ceil', 'Round'}


def behind(g, kinds):
    """The values that depend on a node of these kinds."""
    found = set()
    for node in g.nodes:
        if node.op_type in kinds or found & set(node.input):
            found |= set(node.output)
    return found


def run_forward(xai, g, path, given, values, folder):
    out = os.path.join(folder, 'out.npz')
    said = call(xai, 'run', path, given, '-o', out)
    if said:
        return said
    found = np.load(out)
    size = sizes(g, values)
    shaky = behind(g, STEPS)  # rounding may decide
    for node in g.nodes:
        if node.op_type == 'MeanVarianceNormalization':  # of a constant: 0 / 0 but for rounding
            x = values.get(node.input[0], g.inputs.get(node.input[0]))
            if x.std((0, 2, 3)).min() <= 1e-5 * np.abs(x).max():
                shaky |= {node.output[0]}
        if shaky & set(node.input):
            shaky |= set(node.output)
        for o in node.output:
            if o not in values or not np.isfinite(values[o]).all():
                continue
            said = differ(found['output/' + o], values[o], 1e-4 * max(size[o], 1e-3))
            if said and not (o in shaky and 'elements' in said):
                return f'{node.op_type} {o}: {said}'
    return None


RELEVANCE = ['lrp-0', 'epsilon-plus', 'attn-lrp', 'cp-lrp', 'lrp-gamma', 'lrp-alpha-beta', 'excitation-backprop', 'deep-taylor']
OPTIONS = ['bias=zero', 'mul=uniform', 'mul=value', 'softmax=gradient', 'matmul=value', 'activation=gradient',
           'maxpool=proportional', 'maxpool=average', 'rewrite=off', 'batchnorm=pass']


def run_relevance(xai, g, path, given, values, folder):
    """The account of a random method, from the largest element of the last output."""
    decided = behind(g, DECISIONS)
    names = [o for o in values if values[o].size and np.isfinite(values[o]).all() and o not in decided]
    if not names:
        return None
    ledger, out = os.path.join(folder, 'L.json'), os.path.join(folder, 'R.npz')
    method = g.one_of(*RELEVANCE) + (',' + g.one_of(*OPTIONS) if g.chance() else '')
    said = call(xai, 'explain', path, given, '-m', method, '--output', 'final', '--target', f'{names[-1]}/max',
                '--ledger', ledger, '-o', out)
    if said:
        return None if 'does not depend' in said or 'would not be finite' in said else f'{method}: {said}'
    account = json.load(open(ledger))['targets'][0]
    if abs(account['f']) <= 1e-5 * sizes(g, values)[names[-1]]:
        return None  # rounding
    largest = max([abs(account['begun'])] + [abs(n['in']) for n in account['nodes']])
    arrived = [v for k, v in np.load(out).items() if k.startswith('relevance/')]
    largest = max([largest] + [float(np.abs(v).max(initial=0)) for v in arrived])
    gap = account['begun'] - sum(v.sum(dtype=float) for v in arrived) - sum(account['lost'].values())
    return f'{method}: the account is open by {gap:.3g} of {largest:.3g}' if abs(gap) > 1e-4 * largest else None


def run_gradient(xai, g, path, given, session, values, folder):
    """The slope along a random direction, of a random sum of the last output."""
    names = [o.name for o in session.get_outputs() if values[o.name].size and np.isfinite(values[o.name]).all()]
    if not names:
        return None
    name = names[-1]
    weights = g.rng.standard_normal(values[name].shape).astype(np.float32)
    np.save(os.path.join(folder, 'w.npy'), weights)
    out = os.path.join(folder, 'R.npz')
    said = call(xai, 'explain', path, given, '-m', 'gradient', '--output', 'final', '--target',
                f'{name}/@{folder}/w.npy', '-o', out)
    if said:
        return None if 'does not depend' in said or 'axis for its' in said or 'mask' in said else said
    found = np.load(out)
    way = {k: g.rng.standard_normal(v.shape).astype(np.float32) for k, v in g.inputs.items()}
    slope = sum(float((found['relevance/' + k].reshape(v.shape).astype(float) * v).sum()) for k, v in way.items()
                if 'relevance/' + k in found)
    room = sum(float(np.abs(found['relevance/' + k].reshape(v.shape).astype(float) * v).sum()) for k, v in way.items()
               if 'relevance/' + k in found)
    tried = []
    for h in (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4):
        ends = [session.run([name], {k: v + s * h * way[k] for k, v in g.inputs.items()})[0] for s in (1, -1)]
        found = float((weights.astype(float) * (ends[0].astype(float) - ends[1])).sum()) / (2 * h)
        noise = 3e-7 * float(np.abs(weights * values[name]).sum()) / h
        if abs(found - slope) <= .02 * max(room, abs(slope)) + noise:
            return None
        tried.append(found)
    return f'gradient of {name}: slope {slope:.6g}, differences {", ".join("%.6g" % t for t in tried)}'


def main():
    p = argparse.ArgumentParser()
    p.add_argument('xai')
    p.add_argument('--count', type=int, default=2000)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--only', type=int)
    p.add_argument('--keep')
    o = p.parse_args()
    passed, failed, redrawn, gradients, accounts = 0, 0, 0, 0, 0
    np.seterr(all='ignore')
    with tempfile.TemporaryDirectory() as folder:
        path, given = os.path.join(folder, 'model.onnx'), os.path.join(folder, 'x.npz')
        for k in range(o.count) if o.only is None else [o.only]:
            for again in range(100):
                rng = np.random.default_rng([o.seed, k, again])
                g = make(rng)
                model = g.model()
                try:
                    session = session_of(model)
                    outputs = [v.name for v in session.get_outputs()]
                    values = dict(zip(outputs, session.run(None, g.inputs)))
                    break
                except Exception:
                    redrawn += 1
            onnx.save(model, path)
            np.savez(given, **g.inputs)
            said = run_forward(o.xai, g, path, given, values, folder)
            if not said and k % 4 == 0 and not any(n.op_type in STEPS for n in g.nodes):
                gradients += 1
                said = run_gradient(o.xai, g, path, given, session, values, folder)
            if not said and k % 4 == 2:
                accounts += 1
                said = run_relevance(o.xai, g, path, given, values, folder)
            passed, failed = passed + (not said), failed + bool(said)
            if said:
                print(f'graph {k}, opset {g.opset}: {said}', flush=True)
                if o.keep:
                    os.makedirs(o.keep, exist_ok=True)
                    onnx.save(model, os.path.join(o.keep, f'{k}.onnx'))
                    np.savez(os.path.join(o.keep, f'{k}.npz'), **g.inputs)
    print(f'{passed} of {passed + failed} graphs pass, {gradients} of them with their gradient, {accounts} with an account of relevance; {redrawn} drawn anew')
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
