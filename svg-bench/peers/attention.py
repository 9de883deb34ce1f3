"""Times PyTorch's attention as a peer of svg_attention_*: cuDNN and FlashAttention-2 (dense), flex attention (SVG1's band).

SVG2 has no peer that does the same work here: it is held against the time that cuDNN's dense attention of as many heads
takes per allowed pair.

Needs: PyTorch 2.5 or later with CUDA and cuDNN; flex attention also Triton and a C++ compiler.
Usage: python3 attention.py [--quick] [cudnn] [flash] [flex]    (no names: all; --quick: one shape each)
Prints one JSON object a line: benchmark, params, peer, peer_ms (median of events), rate (4 D TFLOP/s per allowed pair),
and the card.
"""
import json
import statistics
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

DIM = 128
DENSE = [  # heads, queries, keys
    (40, 75_600, 75_600),
    (24, 119_056, 119_056),
    (32, 56_320, 56_320),
    (12, 32_760, 32_760),
    (40, 75_600, 512),
]
BLOCKS = [(40, 75_600, 300, 1000), (24, 118_800, 400, 1000)]  # heads, tokens, query clusters, key clusters
DENSITIES = [0.15, 0.25, 0.3, 0.5]
BAND = (40, 21, 3600, 12_416)  # heads, frames, tokens a frame, half width: Wan at 720p, density .30 requested, .340 achieved
BACKENDS = {"cudnn": ("cuDNN", SDPBackend.CUDNN_ATTENTION), "flash": ("FlashAttention-2", SDPBackend.FLASH_ATTENTION)}


def median_ms(run, repeats):
    run()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def report(benchmark, params, peer, ms, pairs):
    line = {"benchmark": benchmark, "params": params, "peer": peer, "peer_ms": round(ms, 3)}
    line |= {"rate": round(4 * DIM * pairs / ms / 1e9), "unit": "TFLOP/s", "device": torch.cuda.get_device_name()}
    print(json.dumps(line), flush=True)


def random_heads(heads, *rows):
    torch.manual_seed(0)
    return [torch.randn(1, heads, r, DIM, device="cuda", dtype=torch.bfloat16) for r in rows]


def dense(name, shapes):
    peer, backend = BACKENDS[name]
    for heads, queries, keys in shapes:
        q, k, v = random_heads(heads, queries, keys, keys)
        with sdpa_kernel(backend):
            ms = median_ms(lambda: scaled_dot_product_attention(q, k, v), 5 if keys > 4096 else 20)
        params = {"heads": heads, "queries": queries, "keys": keys, "dim": DIM, "dtype": "bf16"}
        report("dense", params, peer, ms, heads * queries * keys)
        if name == "cudnn" and queries == keys:
            blocks(heads, ms / (heads * queries * keys))


def blocks(dense_heads, ms_per_pair):
    for heads, tokens, queries, keys in BLOCKS:
        for density in DENSITIES if heads == dense_heads else []:
            params = {"heads": heads, "tokens": tokens, "dim": DIM, "query_clusters": queries, "key_clusters": keys}
            params |= {"density": density, "dtype": "bf16"}
            pairs = heads * tokens**2 * density
            report("svg2", params, "cuDNN dense, per allowed pair", pairs * ms_per_pair, pairs)


def flex():
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    heads, frames, frame_tokens, half_width = BAND
    tokens = frames * frame_tokens
    allowed = lambda b, h, q, k: (k < frame_tokens) | ((q - k).abs() <= half_width)
    row = torch.arange(tokens)
    first, last = (row - half_width).clamp(min=0), (row + half_width).clamp(max=tokens - 1)
    pairs = heads * int((last - first + 1 + first.clamp(max=frame_tokens)).sum())
    mask = create_block_mask(allowed, None, None, tokens, tokens, device="cuda", _compile=True)
    q, k, v = random_heads(heads, tokens, tokens, tokens)
    compiled = torch.compile(flex_attention)
    ms = median_ms(lambda: compiled(q, k, v, block_mask=mask), 5)
    params = {"heads": heads, "tokens": tokens, "dim": DIM, "half_width": half_width, "sink_keys": frame_tokens}
    params |= {"density": round(pairs / heads / tokens**2, 3), "dtype": "bf16"}
    report("svg1", params, "flex attention", ms, pairs)


def main():
    names = [name for name in sys.argv[1:] if name != "--quick"] or [*BACKENDS, "flex"]
    for name in names:
        if name == "flex":
            flex()
        elif name in BACKENDS:
            dense(name, DENSE[:1] if "--quick" in sys.argv else DENSE)
        else:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
