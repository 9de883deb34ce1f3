"""Times norms, rotary embedding, gated residual, activations and permutations in PyTorch: compiled, its own kernels, and
eager code as diffusers has it. With --library also svg_kernels.h's functions on the same tensors in the same run.

Needs: PyTorch 2.4 or later with CUDA; for --library, libsvg_kernels_cuda.so (svg-kernels-native/lab/build.sh makes one).
All calls are timed by replays of a CUDA graph that holds a call once for each of several sets of tensors, past the L2 cache
in total: medians, launches and Python left out. (The device-to-device copy is timed by events around copies of 1 GiB: in a graph
it would run on the copy engines, which are slower.) Prints one JSON object a line, in the form of svg-bench/results with
--library; a rate counts every input and output once.
"""
import argparse
import json
import math

import torch
import torch.nn.functional as F
from kernels import Library, medians

BF16 = torch.bfloat16


def milliseconds(calls):
    """The time of one of these calls, which do the same with different tensors."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        calls[0]()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [call() for call in calls]  # so that no result takes the place of another
    ms = medians(15, graph.replay, warm_up=3)[0] / len(calls)
    del kept, graph
    return ms


def normal(*shape, dtype=BF16):
    return torch.randn(*shape, device="cuda", dtype=dtype)


class Bench:
    def __init__(self, library, only):
        self.library = library
        self.only = only
        self.device = torch.cuda.get_device_name()
        source, target = normal(1 << 29), normal(1 << 29)
        self.copy = 2 * 2 * source.numel() / medians(15, lambda: target.copy_(source), warm_up=3)[0] / 1e6
        print(json.dumps({"benchmark": "copy", "gb_per_s": round(self.copy), "device": self.device}))

    def compare(self, benchmark, params, size, inputs, ours, peers):
        """size: bytes of a call. inputs() makes a set of tensors, ours(*set) and the peers' functions take one."""
        if self.only and benchmark not in self.only:
            return
        params = dict(params, dtype="bf16")
        sets = [inputs() for _ in range(max(2, min(32, math.ceil(4e8 / size))))]
        row = {"benchmark": benchmark, "params": params}
        rate = None
        if self.library:
            ms = milliseconds([lambda s=s: ours(self.library, *s) for s in sets])
            rate = size / ms / 1e6
            row.update(ms=round(ms, 4), rate=round(rate), unit="GB/s")
            print(json.dumps(dict(row, peer="device-to-device copy", ratio=round(rate / self.copy, 3), device=self.device)), flush=True)
        for peer, function in peers.items():
            peer_ms = milliseconds([lambda s=s: function(*s) for s in sets])
            more = {"ratio": round(peer_ms / row["ms"], 3)} if self.library else {}
            print(json.dumps(dict(row, peer=peer, peer_ms=round(peer_ms, 4), **more, device=self.device)), flush=True)
        torch._dynamo.reset()
        torch.cuda.empty_cache()


def compiled(function):
    return torch.compile(function, dynamic=False, fullgraph=True)


def rms_norm(x, weight, epsilon=1e-6):
    factor = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + epsilon)
    return (x * factor).to(weight.dtype) * weight


def modulated(x, scale, shift):
    return (F.layer_norm(x.float(), x.shape[-1:], None, None, 1e-6) * (1 + scale) + shift).to(x.dtype)


def rotated(x, cos, sin):
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


NORM_SHAPES = [(2097152, 32), (1048576, 64), (524288, 128), (262144, 256), (75600, 5120)]
ROPE_SHAPES = [(b, 32, rows, 64) for b in (1, 4) for rows in (1024, 4096, 16384)] + [(1, 40, 75600, 128)]


def norms(bench):
    for rows, width in NORM_SHAPES:
        size = 4 * rows * width
        params = {"tokens": rows, "width": width}
        common = dict(dtype=BF16, heads=1, rows=rows, width=width, epsilon=1e-6)
        weight, bias = normal(width), normal(width)
        scale, shift = normal(1, 1, width, dtype=torch.float32), normal(1, 1, width, dtype=torch.float32)
        constant = lambda t: t.expand(1, rows, width)
        inputs = lambda: (normal(1, rows, width), torch.empty(1, rows, width, device="cuda", dtype=BF16))
        bench.compare(
            "rmsnorm", params, size, inputs,
            lambda library, x, out: library.call("svg_rms_norm", **common, x=x, out=out, weight=weight, weight_dtype=BF16),
            {"torch.compile": lambda x, _, f=compiled(rms_norm): f(x, weight),
             "PyTorch": lambda x, _: F.rms_norm(x, (width,), weight, 1e-6),
             "diffusers, eager": lambda x, _: rms_norm(x, weight)})
        plain = lambda x: F.layer_norm(x, (width,), None, None, 1e-6)
        bench.compare(
            "layernorm", params, size, inputs,
            lambda library, x, out: library.call("svg_layer_norm", **common, x=x, out=out),
            {"torch.compile": lambda x, _, f=compiled(plain): f(x), "PyTorch": lambda x, _: plain(x)})
        affine = lambda x: F.layer_norm(x, (width,), weight, bias, 1e-6)
        if width > 1024:
            bench.compare(
                "layernorm", dict(params, affine=True), size, inputs,
                lambda library, x, out: library.call("svg_layer_norm", **common, x=x, out=out, weight=weight, bias=bias, weight_dtype=BF16),
                {"torch.compile": lambda x, _, f=compiled(affine): f(x), "PyTorch": lambda x, _: affine(x)})
        bench.compare(
            "layernorm", dict(params, modulated=True), size, inputs,
            lambda library, x, out: library.call(
                "svg_layer_norm", **common, x=x, out=out, scale=constant(scale), shift=constant(shift), modulation_dtype=torch.float32),
            {"torch.compile": lambda x, _, f=compiled(modulated): f(x, scale, shift),
             "diffusers, eager": lambda x, _: modulated(x, scale, shift)})


def elementwise(bench):
    rows, width = 75600, 5120
    gate = normal(1, 1, width, dtype=torch.float32)
    gated = lambda x, y: (x.float() + y * gate).to(x.dtype)
    new = lambda: torch.empty(1, rows, width, device="cuda", dtype=BF16)
    bench.compare(
        "gated_residual", {"tokens": rows, "width": width}, 6 * rows * width, lambda: (normal(1, rows, width), normal(1, rows, width), new()),
        lambda library, x, y, out: library.call(
            "svg_gated_residual", dtype=BF16, heads=1, rows=rows, width=width, gate_dtype=torch.float32, x=x, y=y, out=out,
            gate=gate.expand(1, rows, width)),
        {"torch.compile": lambda x, y, _, f=compiled(gated): f(x, y), "diffusers, eager": lambda x, y, _: gated(x, y)})
    bias = normal(width)
    for kind, name, function in ((1, "gelu", lambda x: F.gelu(x, approximate="tanh")), (2, "silu", F.silu)):
        biased = lambda x: function(x + bias)
        bench.compare(
            name, {"tokens": rows, "width": width, "bias": True}, 4 * rows * width, lambda: (normal(1, rows, width), new()),
            lambda library, x, out: library.call(
                "svg_activation", x_dtype=BF16, out_dtype=BF16, heads=1, rows=rows, width=width, kind=kind, bias_dtype=BF16, x=x, out=out, bias=bias),
            {"torch.compile": lambda x, _, f=compiled(biased): f(x), "PyTorch": lambda x, _: biased(x)})


def tables(rows, dim):
    angle = torch.rand(rows, dim // 2, device="cuda") * 2 * math.pi
    return angle.cos(), angle.sin()


def rope(bench):
    """Queries and keys, one call each, as a model has them."""
    for batch, count, rows, dim in ROPE_SHAPES:
        h = batch * count
        cos, sin = tables(rows, dim)
        both = lambda q, k: (rotated(q, cos, sin), rotated(k, cos, sin))

        def ours(library, q, k, q_out, k_out):
            for x, out in ((q, q_out), (k, k_out)):
                library.call("svg_rope", dtype=BF16, heads=h, rows=rows, head_dim=dim, rotated_rows=rows, x=x, out=out, cos_table=cos, sin_table=sin)

        bench.compare(
            "rope", {"batch": batch, "heads": count, "tokens": rows, "dim": dim}, 8 * h * rows * dim + 4 * rows * dim,
            lambda: tuple(normal(h, rows, dim) for _ in range(4)), ours,
            {"torch.compile": lambda q, k, *_, f=compiled(both): f(q, k), "diffusers, eager": lambda q, k, *_: both(q, k)})


def norm_rope(bench):
    """Token-major rows of a projection to head-major queries."""
    h, rows, dim = 40, 75600, 128
    cos, sin = tables(rows, dim)
    order = torch.stack([torch.randperm(rows, device="cuda") for _ in range(h)])
    order32 = order.to(torch.int32)
    for across in (False, True):
        weight = normal(h * dim if across else dim)

        def eager(x):
            y = rms_norm(x, weight).unflatten(-1, (h, dim)) if across else rms_norm(x.unflatten(-1, (h, dim)), weight)
            return rotated(y.transpose(0, 1), cos, sin)

        permuted = lambda x: torch.gather(eager(x), 1, order[..., None].expand(-1, -1, dim))
        for by, function in ((0, lambda x: eager(x).contiguous()), (rows, permuted)):
            bench.compare(
                "norm_rope", {"heads": h, "tokens": rows, "dim": dim, "across_heads": across, "permuted": by > 0},
                4 * h * rows * dim + 4 * rows * dim + 4 * h * by, lambda: (normal(rows, h * dim), normal(h, rows, dim)),
                lambda library, x, out: library.call(
                    "svg_norm_rope", dtype=BF16, heads=h, rows=rows, head_dim=dim, across_heads=int(across), weight_dtype=BF16, rotated_rows=rows,
                    epsilon=1e-6, x=x.unflatten(-1, (h, dim)).transpose(0, 1), out=out, weight=weight, cos_table=cos, sin_table=sin,
                    permuted_rows=by, order=order32),
                {"torch.compile": lambda x, _, f=compiled(function): f(x), "diffusers, eager": lambda x, _: function(x)})


def permute_rows(bench):
    h, rows, dim = 40, 75600, 128
    order = torch.stack([torch.randperm(rows, device="cuda") for _ in range(h)])
    order32 = order.to(torch.int32)
    gathered = lambda x: torch.gather(x, 1, order[..., None].expand(-1, -1, dim))
    bench.compare(
        "permute_rows", {"heads": h, "tokens": rows, "dim": dim}, 4 * h * rows * dim + 4 * h * rows, lambda: (normal(h, rows, dim), normal(h, rows, dim)),
        lambda library, x, out: library.call(
            "svg_permute_rows", dtype=BF16, heads=h, head_dim=dim, rows=rows, permuted_rows=rows, src=x, dst=out, order=order32),
        {"torch.compile": lambda x, _, f=compiled(gathered): f(x), "PyTorch": lambda x, _: gathered(x)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", metavar="PATH", help="libsvg_kernels_cuda.so")
    parser.add_argument("--only", nargs="+", metavar="BENCHMARK", help="rmsnorm, layernorm, …")
    options = parser.parse_args()
    torch.manual_seed(0)
    bench = Bench(Library(options.library) if options.library else None, options.only)
    for part in (norms, elementwise, rope, norm_rope, permute_rows):
        part(bench)


if __name__ == "__main__":
    main()
