"""Times PyTorch's convolutions (cuDNN) as a peer of svg_convolution, at the shapes of the Wan VAE's decoder at 720 x 1280.

The peer convolves a clip in PyTorch's default layout and with its channels last, each with the algorithm that
cudnn.benchmark finds; where pixels are repeated it doubles the frames first. With --library also svg_convolution on the same
values, ours and the peers in turn: it reads the frames before a chunk from where they are, while the peers are given one clip
that holds them already.

Needs: PyTorch 2.4 or later with CUDA and cuDNN; for --library, libsvg_kernels_cuda.so (svg-kernels-native/lab/build.sh makes
one). Usage: python3 convolution.py [--library PATH] [--repeats N] [--only SUBSTRING]
Prints one JSON object a line, with --library in the form of svg-bench/results. A rate counts 2 operations for each product of
a full kernel; times are medians of events.
"""
import argparse
import json

import torch
import torch.nn.functional as F
from kernels import Library, medians

SHAPES = [  # frames, earlier frames, height, width, channels, outputs, kernel's frames and side, repeat
    (4, 2, 720, 1280, 96, 96, 3, 3, 1),
    (4, 2, 360, 640, 192, 192, 3, 3, 1),
    (2, 2, 180, 320, 384, 384, 3, 3, 1),
    (2, 2, 180, 320, 192, 384, 3, 3, 1),
    (1, 2, 90, 160, 384, 384, 3, 3, 1),
    (4, 2, 720, 1280, 96, 3, 3, 3, 1),
    (4, 0, 720, 1280, 192, 96, 1, 3, 1),
    (4, 0, 360, 640, 384, 192, 1, 3, 1),
    (2, 0, 180, 320, 384, 192, 1, 3, 1),
    (2, 2, 180, 320, 384, 768, 3, 1, 1),
    (2, 0, 180, 320, 192, 384, 1, 1, 1),
    (4, 0, 360, 640, 192, 96, 1, 3, 2),
    (4, 0, 180, 320, 384, 192, 1, 3, 2),
]


def convolve(library, clip, weight, bias, out, earlier, pad, repeat, path):
    """clip (T, Y, X, C), the first frames of which are given apart; weight (O, kt, ky, kx, C), out (T', Y, X, O)."""
    _, height, width, channels = clip.shape
    sizes = {"frames": len(clip) - earlier, "earlier_frames": earlier, "height": height, "width": width, "channels": channels}
    sizes |= dict(zip(("out_channels", "kernel_frames", "kernel_height", "kernel_width"), weight.shape))
    pads = {f"pad_{side}": pad for side in ("top", "bottom", "left", "right")}
    library.call("svg_convolution", path, dtype=clip.dtype, frame_stride=1, stride=1, repeat=repeat, **sizes, **pads,
                 earlier=clip[:earlier], x=clip[earlier:], weight=weight, bias=bias, out=out)


def compare(library, repeats, frames, earlier, height, width, channels, outputs, kernel_frames, side, repeat):
    all_frames, out_frames, pad = frames + earlier, frames + earlier - kernel_frames + 1, side // 2
    normal = lambda *shape: torch.randn(*shape, device="cuda", dtype=torch.bfloat16)
    clip, bias = normal(all_frames, height, width, channels), normal(outputs)
    terms = kernel_frames * side * side * channels
    weight = normal(outputs, kernel_frames, side, side, channels) / terms**0.5
    params = {"frames": frames, "earlier": earlier, "height": height, "width": width, "channels": channels, "outputs": outputs,
              "kernel": f"{kernel_frames}x{side}x{side}", **({"repeat": repeat} if repeat > 1 else {}), "dtype": "bf16"}
    operations = 2 * out_frames * height * width * repeat**2 * outputs * terms
    rate = lambda ms: round(operations / ms / 1e9, 1)

    # Views whose memory is channels-last, and copies in the default layout.
    if kernel_frames == 1:
        x, w = clip.permute(0, 3, 1, 2), weight[:, 0].permute(0, 3, 1, 2)
        doubled = lambda x: x if repeat == 1 else F.interpolate(x, scale_factor=repeat, mode="nearest-exact")
        theirs = lambda x, w: F.conv2d(doubled(x), w, bias, padding=pad)
    else:
        x, w = clip.permute(3, 0, 1, 2)[None], weight.permute(0, 4, 1, 2, 3)
        theirs = lambda x, w: F.conv3d(x, w, bias, padding=(0, pad, pad))
    peers = {"cuDNN, channels last": (x, w), "cuDNN": (x.contiguous(), w.contiguous())}
    calls = [lambda x=x, w=w: theirs(x, w) for x, w in peers.values()]
    ours = {}
    if library:
        out = torch.full((out_frames, height * repeat, width * repeat, outputs), float("nan"), device="cuda", dtype=torch.bfloat16)
        expected = calls[0]().float()
        expected = expected.permute(0, 2, 3, 1) if kernel_frames == 1 else expected[0].permute(1, 2, 3, 0)
        for path in (None, "sync"):
            call = lambda path=path: convolve(library, clip, weight, bias, out, earlier, pad, repeat, path)
            call()
            error = ((out.float() - expected).norm() / expected.norm()).item()
            if not error < 0.004:
                raise RuntimeError(f"{params}: {path or 'default'} path differs from cuDNN by {error:.2e}")
            ours[path] = call
        del expected
    times = medians(repeats, *ours.values(), *calls, warm_up=2)
    common = {"device": torch.cuda.get_device_name()}
    for peer, peer_ms in zip(peers, times[len(ours):]):
        if not ours:
            line = {"benchmark": "convolution", "params": params, "peer": peer, "peer_ms": round(peer_ms, 4), "rate": rate(peer_ms),
                    "unit": "TFLOP/s"}
            print(json.dumps(line | common), flush=True)
        for path, ms in zip(ours, times):
            line = {"benchmark": "convolution", "params": params | ({"path": "mma.sync"} if path else {}), "ms": round(ms, 4),
                    "rate": rate(ms), "unit": "TFLOP/s", "peer": peer, "peer_ms": round(peer_ms, 4), "ratio": round(peer_ms / ms, 3)}
            print(json.dumps(line | common), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", metavar="PATH", help="libsvg_kernels_cuda.so")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", default="", metavar="SUBSTRING", help='of the shape, such as "720, 1280, 96, 96"')
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    library = Library(options.library) if options.library else None
    for shape in SHAPES:
        if options.only in str(shape):
            compare(library, options.repeats, *shape)
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
