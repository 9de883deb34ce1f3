"""Times linear layers in PyTorch (cuBLAS) as a peer of cuBLASLt through io.sparsevideo.cuda.blas: eager and compiled.

Needs: PyTorch with CUDA, Triton. Prints one JSON object a line: benchmark, params, peer, peer_ms (median of events), the
rate in TFLOP/s, and the card.
"""
import json

import torch
import torch.nn.functional as F
from triton.testing import do_bench

SHAPES = [(75_600, 5120, 5120, False), (75_600, 5120, 13_824, True), (75_600, 13_824, 5120, False)]


def main():
    device = torch.cuda.get_device_name()
    torch.manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, device="cuda", dtype=torch.bfloat16)
    for tokens, inputs, outputs, gelu in SHAPES:
        x, weight, bias = normal(tokens, inputs), normal(outputs, inputs), normal(outputs)

        def linear(x):
            y = F.linear(x, weight, bias)
            return F.gelu(y, approximate="tanh") if gelu else y

        torch.compiler.reset()
        for peer, function in (("PyTorch", linear), ("torch.compile", torch.compile(linear))):
            ms = do_bench(lambda: function(x), return_mode="median")
            params = {"tokens": tokens, "inputs": inputs, "outputs": outputs, **({"gelu": True} if gelu else {})}
            print(json.dumps({"benchmark": "linear", "params": params, "peer": peer, "peer_ms": round(ms, 3),
                              "tflop_per_s": round(2e-9 * tokens * inputs * outputs / ms), "device": device}))


if __name__ == "__main__":
    main()
