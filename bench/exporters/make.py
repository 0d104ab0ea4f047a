"""Exports the networks of networks.py with both of torch's exporters.

    python make.py DIR [NAME ...]     DIR/NAME.ts.onnx, DIR/NAME.dy.onnx, DIR/NAME.npz, DIR/NAME.2.npz

NAME is a network, or NETWORK.EXPORTER. What is there is kept. Opsets go round: 13 to 20 for the
exporter that traces (ts), 18 to 23 for the one that captures (dy). What an exporter cannot
export is said, and is no failure.
"""
import logging
import os
import sys
import warnings

import numpy as np
import torch

import networks

OPSETS = {'ts': range(13, 21), 'dy': (18, 20, 21, 23)}


def export(name, how, folder):
    path = os.path.join(folder, f'{name}.{how}.onnx')
    if os.path.exists(path):
        return
    net, inputs, dynamic, other = networks.make(name)
    for end, arrays in (('', inputs), ('.2', other)):
        np.savez(os.path.join(folder, name + end + '.npz'), **{k: v.numpy() for k, v in arrays.items()})
    place = list(networks.REGISTRY).index(name)
    opset = OPSETS[how][place % len(OPSETS[how])]
    common = dict(input_names=list(inputs), opset_version=opset, dynamo=how == 'dy')
    if how == 'ts':
        torch.onnx.export(net, tuple(inputs.values()), path, dynamic_axes=dynamic, **common)
    else:
        auto = torch.export.Dim.AUTO
        shapes = tuple({a: auto for a in dynamic[k]} for k in inputs)
        torch.onnx.export(net, tuple(other.values()), path, dynamic_shapes=shapes, external_data=False,
                          verbose=False, **common)  # a batch of 1 would be taken for a constant
    print(f'{name}.{how}: opset {opset}', flush=True)


def main():
    folder, wanted = sys.argv[1], sys.argv[2:] or list(networks.REGISTRY)
    os.makedirs(folder, exist_ok=True)
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    for word in wanted:
        name, _, how = word.partition('.')
        for h in [how] if how else OPSETS:
            try:
                export(name, h, folder)
            except Exception as e:
                why = str(e).strip().splitlines()[-1:] if h == 'dy' else str(e).strip().splitlines()[:1]
                print(f'{name}.{h}: not exported: {type(e).__name__}: {"".join(why)[:200]}', flush=True)


if __name__ == '__main__':
    main()
