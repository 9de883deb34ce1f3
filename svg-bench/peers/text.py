"""Times Wan's text encoder, UMT5-XXL, in PyTorch with random weights: the peer of svg-bench text.

The encoder is written as transformers has it (eager: scores, bias and softmax as operations of their own), with scaled dot
product attention and the bias as its mask (SDPA), and that compiled. Needs: PyTorch with CUDA, Triton. Prints one JSON
object a line: benchmark, params, peer, peer_ms (median of events, weights and inputs on the device) and the card.
"""
import json

import torch
import torch.nn.functional as F
from triton.testing import do_bench

LAYERS, WIDTH, HEADS, DIM, HIDDEN, BUCKETS = 24, 4096, 64, 64, 10_240, 32
TOKENS = (512, 226, 64, 23)


def random(*shape):
    return (torch.rand(*shape, device="cuda", dtype=torch.bfloat16) - 0.5) * 0.06


def layer():
    shapes = {
        "q": (HEADS * DIM, WIDTH), "k": (HEADS * DIM, WIDTH), "v": (HEADS * DIM, WIDTH), "o": (WIDTH, HEADS * DIM),
        "gate": (HIDDEN, WIDTH), "up": (HIDDEN, WIDTH), "down": (WIDTH, HIDDEN),
        "norm1": (WIDTH,), "norm2": (WIDTH,), "positions": (BUCKETS, HEADS),
    }
    return {name: random(*shape) for name, shape in shapes.items()}


def norm(x, weight):
    variance = x.float().pow(2).mean(-1, keepdim=True)
    return weight * (x.float() * torch.rsqrt(variance + 1e-6)).to(x.dtype)


def encode(layers, x, buckets, fused):
    tokens = x.shape[0]
    for w in layers:
        h = norm(x, w["norm1"])
        q, k, v = (F.linear(h, w[n]).view(1, tokens, HEADS, DIM).transpose(1, 2) for n in "qkv")
        bias = F.embedding(buckets, w["positions"]).permute(2, 0, 1)[None]
        if fused:
            h = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.contiguous(), scale=1.0)
        else:
            scores = torch.matmul(q, k.transpose(-1, -2)) + bias
            h = torch.matmul(F.softmax(scores.float(), dim=-1).type_as(scores), v)
        x = x + F.linear(h.transpose(1, 2).reshape(tokens, -1), w["o"])
        h = norm(x, w["norm2"])
        h = F.gelu(F.linear(h, w["gate"]), approximate="tanh") * F.linear(h, w["up"])
        x = x + F.linear(h, w["down"])
    return x


def report(params, peer, function):
    ms = do_bench(function, return_mode="median")
    print(json.dumps({"benchmark": "text", "params": params, "peer": peer, "peer_ms": round(ms, 3),
                      "device": torch.cuda.get_device_name()}), flush=True)


@torch.no_grad()
def main():
    torch.manual_seed(0)
    layers = [layer() for _ in range(LAYERS)]
    compiled = torch.compile(encode)
    for tokens in TOKENS:
        x = random(tokens, WIDTH)
        buckets = torch.randint(0, BUCKETS, (tokens, tokens), device="cuda")
        params = {"config": "umt5-xxl", "tokens": tokens}
        report(params, "eager", lambda: encode(layers, x, buckets, False))
        report(params, "SDPA", lambda: encode(layers, x, buckets, True))
        if tokens == TOKENS[0]:
            report(params, "SDPA compiled", lambda: compiled(layers, x, buckets, True))


if __name__ == "__main__":
    main()
