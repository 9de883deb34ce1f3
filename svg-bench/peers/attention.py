"""Times PyTorch's attention as a peer of svg_attention_*: cuDNN and FlashAttention-2 (dense), flex attention (SVG1's band).

With --library also svg_kernels.h's functions, on the same tensors, ours and the peer in turn: a card at its power limit
changes its clock from second to second, and attention is what takes it there. FlashAttention-2 is held against the mma.sync
path (SVG_CUDA_MMA=sync). SVG2 has no peer that does the same work here: it is held against cuDNN's dense attention of as many
heads, per allowed pair; its clusters have sizes from Dirichlet(2), none empty, or equal ones, or one holds half of the rows;
its blocks are from Bernoulli(density), at least one a row.

Needs: PyTorch 2.5 or later with CUDA and cuDNN; flex attention also Triton and a C++ compiler; for --library,
libsvg_kernels_cuda.so (svg-kernels-native/lab/build.sh makes one).
Usage: python3 attention.py [--library PATH] [--quick] [cudnn] [flash] [flex]   (no names: all; --quick: few shapes)
Prints one JSON object a line; with --library in the form of svg-bench/results. Rates are 4 D TFLOP/s per allowed pair, times
medians of events; planning is part of SVG2's.
"""
import argparse
import json
import math

import torch
from kernels import Library, medians
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

DENSE = [  # heads, queries, keys, head dimension
    (40, 75_600, 75_600, 128),
    (24, 119_056, 119_056, 128),
    (32, 56_320, 56_320, 128),
    (12, 32_760, 32_760, 128),
    (40, 75_600, 512, 128),
    (40, 75_600, 769, 128),
    (40, 75_600, 256, 128),
    (40, 4_096, 4_096, 128),
    (12, 32_760, 32_760, 64),
]
BLOCKS = [(40, 75_600, 300, 1000), (24, 118_800, 400, 1000)]  # heads, tokens, query clusters, key clusters
DENSITIES = [0.15, 0.25, 0.3, 0.5]
BAND = (40, 75_600, 3600, 12_416)  # heads, tokens, sink, half width: Wan at 720p, density .30 requested, .340 achieved
BACKENDS = {"cudnn": ("cuDNN", SDPBackend.CUDNN_ATTENTION), "flash": ("FlashAttention-2", SDPBackend.FLASH_ATTENTION)}


def attend(library, function, q, k, v, out, path, **values):
    """q, k, v and out: (1, heads, rows, dim)."""
    _, heads, _, dim = q.shape
    common = {"dtype": q.dtype, "heads": heads, "head_dim": dim, "scale": 1 / math.sqrt(dim)}
    library.call(function, path, **common, q=q[0], k=k[0], v=v[0], out=out[0], **values)


def report(benchmark, params, dim, pairs, peer, peer_ms, ms=None):
    rate = lambda time: round(4 * dim * pairs / time / 1e9, 1)
    line = {"benchmark": benchmark, "params": params | {"dtype": "bf16"}}
    if ms is None:
        line |= {"peer": peer, "peer_ms": round(peer_ms, 3), "rate": rate(peer_ms), "unit": "TFLOP/s"}
    else:
        line |= {"ms": round(ms, 3), "rate": rate(ms), "unit": "TFLOP/s", "peer": peer, "peer_ms": round(peer_ms, 3)}
        line |= {"ratio": round(peer_ms / ms, 3)}
    print(json.dumps(line | {"device": torch.cuda.get_device_name()}), flush=True)


def random_heads(heads, dim, *rows):
    torch.manual_seed(0)
    return [torch.randn(1, heads, r, dim, device="cuda", dtype=torch.bfloat16) for r in rows]


def compare(library, benchmark, params, tensors, pairs, peer, call, function, repeats, path=None, tolerance=0.01, **values):
    """Checks ours against the peer, times both in turn, or the peer alone without a library; returns the peer's time."""
    dim = tensors[0].shape[3]
    if library is None:
        [peer_ms] = medians(repeats, call)
        report(benchmark, params, dim, pairs, peer, peer_ms)
        return peer_ms
    out = torch.full_like(tensors[0], float("nan"))
    ours = lambda: attend(library, function, *tensors, out, path, **values)
    ours()
    expected = call().float()
    error = ((out.float() - expected).norm() / expected.norm()).item()
    del expected
    if not error < tolerance:
        raise RuntimeError(f"{benchmark} {params}: differs from {peer} by {error:.2e}")
    ms, peer_ms = medians(repeats, ours, call)
    report(benchmark, params | ({"path": "mma.sync"} if path else {}), dim, pairs, peer, peer_ms, ms)
    return peer_ms


def dense(library, name, shapes):
    peer, backend = BACKENDS[name]
    path = "sync" if name == "flash" else None
    for heads, queries, keys, dim in shapes:
        tensors = random_heads(heads, dim, queries, keys, keys)
        params = {"heads": heads, "queries": queries, "keys": keys, "dim": dim}

        def call():
            with sdpa_kernel(backend):
                return scaled_dot_product_attention(*tensors)

        compare(library, "dense", params, tensors, heads * queries * keys, peer, call, "svg_attention_dense",
                3 if keys > 8192 else 20, path, q_rows=queries, k_rows=keys)


def offsets(sizes, heads, rows, clusters):
    share = torch.ones(heads, clusters)
    if sizes != "equal":
        share = torch._standard_gamma(2 * share)
    if sizes == "one giant":  # holds half of the rows
        share[:, clusters // 3] += share.sum(1)
    ends = (share.cumsum(1) / share.sum(1, keepdim=True) * (rows - clusters)).round().int() + torch.arange(1, clusters + 1)
    ends[:, -1] = rows
    return torch.cat([torch.zeros(heads, 1), ends], 1).int()


def blocks(library, name, shapes, densities):
    """SVG2 beside the dense attention of as many heads."""
    peer, backend = BACKENDS[name]
    path = "sync" if name == "flash" else None
    for heads, tokens, q_clusters, k_clusters in shapes:
        q, k, v = random_heads(heads, 128, tokens, tokens, tokens)
        out = torch.full_like(q, float("nan"))

        def call():
            with sdpa_kernel(backend):
                scaled_dot_product_attention(q, k, v)

        for sizes, density in [("Dirichlet(2)", d) for d in densities] + [("equal", 0.25), ("one giant", 0.25)]:
            torch.manual_seed(1)
            q_offsets, k_offsets = offsets(sizes, heads, tokens, q_clusters), offsets(sizes, heads, tokens, k_clusters)
            kept = torch.rand(heads, q_clusters, k_clusters) < density
            kept[:, :, 0] |= ~kept.any(2)
            seen = kept.double() @ k_offsets.diff(dim=1).double()[:, :, None]
            pairs = (seen[:, :, 0] * q_offsets.diff(dim=1)).sum().item()
            values = {"q_offsets": q_offsets.cuda(), "k_offsets": k_offsets.cuda(), "map": kept.to(torch.uint8).cuda()}
            ours = lambda: attend(library, "svg_attention_blocks", q, k, v, out, path, q_rows=tokens, k_rows=tokens,
                                  q_clusters=q_clusters, k_clusters=k_clusters, **values)
            ms, dense_ms = medians(3, ours, call)
            if out.isnan().any():
                raise RuntimeError("svg2 leaves rows unwritten")
            params = {"heads": heads, "tokens": tokens, "dim": 128, "query_clusters": q_clusters, "key_clusters": k_clusters}
            params |= {"sizes": sizes, "density": density} | ({"path": "mma.sync"} if path else {})
            report("svg2", params, 128, pairs, f"{peer}, dense, per allowed pair", dense_ms * pairs / (heads * tokens**2), ms)


def flex(library, shapes):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    for heads, tokens, sink, half_width in shapes:
        allowed = lambda b, h, q, k: (k < sink) | ((q - k).abs() <= half_width)
        row = torch.arange(tokens)
        first, last = (row - half_width).clamp(min=0), (row + half_width).clamp(max=tokens - 1)
        pairs = heads * int((last - first + 1 + first.clamp(max=sink)).sum())
        mask = create_block_mask(allowed, None, None, tokens, tokens, device="cuda", _compile=True)
        tensors = random_heads(heads, 128, tokens, tokens, tokens)
        compiled = torch.compile(flex_attention)
        params = {"heads": heads, "tokens": tokens, "dim": 128, "half_width": half_width, "sink_keys": sink}
        params |= {"density": round(pairs / heads / tokens**2, 3)}
        compare(library, "svg1", params, tensors, pairs, "flex attention", lambda: compiled(*tensors, block_mask=mask),
                "svg_attention_band", 3, rows=tokens, video_rows=tokens, sink_keys=sink, half_width=half_width)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], "cudnn", "flash", "flex"], metavar="PEER", help="cudnn, flash, flex")
    parser.add_argument("--library", metavar="PATH", help="libsvg_kernels_cuda.so")
    parser.add_argument("--quick", action="store_true", help="few shapes")
    options = parser.parse_args()
    library = Library(options.library) if options.library else None
    few = 1 if options.quick else None
    for name in options.names or ["cudnn", "flash", "flex"]:
        if name == "flex":
            flex(library, [BAND])
            continue
        dense(library, name, DENSE[:1] if options.quick or name == "flash" else DENSE)
        if library:
            blocks(library, name, BLOCKS[:1] if name == "flash" else BLOCKS[:few],
                   [0.25] if options.quick or name == "flash" else DENSITIES)


if __name__ == "__main__":
    main()
