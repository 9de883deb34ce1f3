"""Times flash-kmeans (Triton) as a peer of svg_kmeans: two iterations from given centroids.

Needs: PyTorch with CUDA, Triton, and the package flash_kmeans (github.com/svg-project/flash-kmeans) on PYTHONPATH.
Prints one JSON object a line: benchmark, params, peer, peer_ms (median of events), and the card.
"""
import json

import torch
from flash_kmeans import batch_kmeans_Euclid
from triton.testing import do_bench

SHAPES = [(40, 75_600, 128, 300), (40, 75_600, 128, 1000), (24, 118_800, 128, 400), (24, 118_800, 128, 1000)]


def main():
    device = torch.cuda.get_device_name()
    copied = torch.empty(1 << 30, device="cuda", dtype=torch.bfloat16)
    target = torch.empty_like(copied)
    copy_ms = do_bench(lambda: target.copy_(copied), return_mode="median")
    print(json.dumps({"benchmark": "copy", "gb_per_s": round(4 * copied.numel() / copy_ms / 1e6), "device": device}))
    del copied, target
    for heads, tokens, dim, clusters in SHAPES:
        torch.manual_seed(0)
        x = torch.randn(heads, tokens, dim, device="cuda", dtype=torch.bfloat16)
        start = x[:, torch.randperm(tokens, device="cuda")[:clusters]].contiguous()
        run = lambda: batch_kmeans_Euclid(x, clusters, max_iters=2, init_centroids=start)
        run()
        ms = do_bench(run, return_mode="median")
        params = {"heads": heads, "tokens": tokens, "dim": dim, "clusters": clusters, "iterations": 2}
        print(json.dumps({"benchmark": "kmeans", "params": params, "peer": "flash-kmeans", "peer_ms": round(ms, 3), "device": device}))


if __name__ == "__main__":
    main()
