"""Times a block of Wan's transformer in PyTorch as a peer of `svg-bench step`: eager and compiled, attention by cuDNN.

Needs: PyTorch 2.5 or later with CUDA and cuDNN; for torch.compile also Triton and a C++ compiler.
Usage: python3 step.py [--config wan-1.3b|wan-14b] [--height N] [--width N] [--frames N] [--repeats N]
Prints one JSON object a line: a block in one pass, and the step that 2 x layers of them make (what a step has besides is
less than 1 % of it). bf16 with random weights; what the public implementation computes in fp32 is in fp32 here: norms of
the token stream, modulation, gates and the rotation. Times are medians of events, the two taking turns.
"""
import argparse
import json
import statistics

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

CONFIGS = {"wan-1.3b": (12, 30, 8_960), "wan-14b": (40, 40, 13_824)}  # heads, layers, hidden channels
DIM = 128
PROMPT = 512
EPS = 1e-6


class Attention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(channels, channels) for _ in range(4))
        self.norm_q, self.norm_k = (nn.RMSNorm(channels, eps=EPS) for _ in range(2))

    def forward(self, x, context, rotary=None):
        q, k, v = self.norm_q(self.to_q(x)), self.norm_k(self.to_k(context)), self.to_v(context)
        q, k, v = (t.unflatten(2, (self.heads, -1)) for t in (q, k, v))  # (1, S, H, D)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        out = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)))
        return self.to_out(out.transpose(1, 2).flatten(2))


def rotate(x, cos, sin):
    """Interleaved pairs; cos and sin: (1, S, 1, D / 2), fp32."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    out = torch.empty_like(x)
    out[..., 0::2] = even * cos - odd * sin
    out[..., 1::2] = even * sin + odd * cos
    return out


class Block(nn.Module):
    def __init__(self, channels, heads, hidden):
        super().__init__()
        self.attn1, self.attn2 = Attention(channels, heads), Attention(channels, heads)
        self.up, self.down = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.norm2 = nn.LayerNorm(channels, eps=EPS)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, channels) / channels**0.5)

    def norm(self, x, scale, shift):
        return (F.layer_norm(x.float(), x.shape[-1:], eps=EPS) * (1 + scale) + shift).type_as(x)

    def forward(self, x, text, time, cos, sin):
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = (self.scale_shift_table + time.float()).chunk(6, dim=1)
        h = self.norm(x, scale, shift)
        x = (x.float() + self.attn1(h, h, (cos, sin)) * gate).type_as(x)
        x = x + self.attn2(self.norm2(x.float()).type_as(x), text)
        h = self.down(F.gelu(self.up(self.norm(x, ffn_scale, ffn_shift)), approximate="tanh"))
        return (x.float() + h.float() * ffn_gate).type_as(x)


def milliseconds(call):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=CONFIGS, default="wan-14b")
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    heads, layers, hidden = CONFIGS[options.config]
    channels = heads * DIM
    tokens = ((options.frames - 1) // 4 + 1) * (options.height // 16) * (options.width // 16)

    torch.manual_seed(0)
    torch.set_default_device("cuda")
    block = Block(channels, heads, hidden).requires_grad_(False)
    table = block.scale_shift_table.data
    block.to(torch.bfloat16)
    block.scale_shift_table.data = table  # these stay in fp32
    block.norm2.float()
    normal = lambda *shape: torch.randn(*shape, dtype=torch.bfloat16)
    angles = torch.rand(1, tokens, 1, DIM // 2) * 100
    inputs = (normal(1, tokens, channels), normal(1, PROMPT, channels), normal(1, 6, channels), angles.cos(), angles.sin())

    peers = {"PyTorch": block, "torch.compile": torch.compile(block)}
    times = {peer: [] for peer in peers}
    with torch.no_grad(), sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
        for i in range(options.repeats + 1):
            for peer, function in peers.items():
                ms = milliseconds(lambda: function(*inputs))
                if i > 0:
                    times[peer].append(ms)
    for peer, series in times.items():
        ms = statistics.median(series)
        for part, part_ms in (("layer", ms), ("step", 2 * layers * ms)):
            params = {"config": options.config, "height": options.height, "width": options.width, "frames": options.frames}
            print(json.dumps({"benchmark": "step", "params": params | {"part": part}, "peer": peer, "peer_ms": round(part_ms, 3),
                              "device": torch.cuda.get_device_name()}))


if __name__ == "__main__":
    main()
