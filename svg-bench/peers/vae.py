"""Times diffusers' AutoencoderKLWan in bf16 as a peer of `svg-bench vae`, and records a decode in fp32 to compare with.

Needs: PyTorch 2.4 or later with CUDA; the sources of diffusers (a clone, or its one file src/diffusers/models/autoencoders/
autoencoder_kl_wan.py), which need not be installed: what the file imports of the rest is replaced by a few lines here.
Usage: python3 vae.py DIFFUSERS [--config FILE] [--height N] [--width N] [--frames N] [--repeats N] [--passes decode,encode]
       [--benchmark] [--record DIR]
--benchmark lets cuDNN try its algorithms for each shape before the times are taken (torch.backends.cudnn.benchmark); the peer
is then "diffusers, cudnn.benchmark". `svg-bench vae --peers` takes the lines of a run with it and of one without in one file.
Weights are normal, scaled by the inputs of each output; latents are normal. --record writes DIR/vae (config and weights as a
checkpoint has them) and DIR/trace.safetensors (latents, and the video that fp32 without TF32 makes of them), for
`svg-bench vae --recorded DIR`, and prints the PSNR of its own bf16. Prints one JSON object a line, medians of events.
"""
import argparse
import ctypes
import functools
import importlib.util
import inspect
import json
import math
import os
import statistics
import struct
import sys
import types

import torch
from torch import nn

PEAK = 2.0  # of values from -1 to 1
TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def register_to_config(init):
    """Keeps a constructor's arguments as self.config."""

    @functools.wraps(init)
    def constructor(self, *arguments, **options):
        nn.Module.__init__(self)
        bound = inspect.signature(init).bind(self, *arguments, **options)
        bound.apply_defaults()
        self.config = types.SimpleNamespace(**{k: v for k, v in bound.arguments.items() if k != "self"})
        init(self, *arguments, **options)

    return constructor


def load_class(source):
    """AutoencoderKLWan of the sources, with stand-ins for what it imports."""
    if os.path.isdir(source):
        source = os.path.join(source, "src/diffusers/models/autoencoders/autoencoder_kl_wan.py")

    def empty(name):
        return type(name, (), {})

    modules = {
        "diffusers": {},
        "diffusers.configuration_utils": {"ConfigMixin": empty("ConfigMixin"), "register_to_config": register_to_config},
        "diffusers.loaders": {"FromOriginalModelMixin": empty("FromOriginalModelMixin")},
        "diffusers.utils": {"logging": types.SimpleNamespace(get_logger=lambda name: None)},
        "diffusers.utils.accelerate_utils": {"apply_forward_hook": lambda method: method},
        "diffusers.models": {},
        "diffusers.models.activations": {"get_activation": lambda name: {"silu": nn.SiLU}[name]()},
        "diffusers.models.modeling_outputs": {"AutoencoderKLOutput": empty("AutoencoderKLOutput")},
        "diffusers.models.modeling_utils": {"ModelMixin": type("ModelMixin", (nn.Module,), {})},
        "diffusers.models.autoencoders": {},
        "diffusers.models.autoencoders.vae": {
            name: empty(name) for name in ("AutoencoderMixin", "DecoderOutput", "DiagonalGaussianDistribution")
        },
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        module.__path__ = []
        module.__dict__.update(members)
        sys.modules[name] = module
    spec = importlib.util.spec_from_file_location("diffusers.models.autoencoders.autoencoder_kl_wan", source)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.AutoencoderKLWan


def draw_weights(model):
    """Kernels that keep the variance, small biases; the last convolution's halved, for few colours beyond -1 and 1."""
    generator = torch.Generator().manual_seed(11)
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            continue
        deviation = 0.02 if parameter.dim() == 1 else parameter[0].numel() ** -0.5
        if name == "decoder.conv_out.weight":
            deviation *= 0.5
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * deviation)


def save(path, tensors):
    """Writes a safetensors file."""
    header, offset = {}, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            tensor = tensor.detach().cpu().contiguous()
            file.write(ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.element_size()))


def record(folder, model, latents):
    """Keeps the weights, as bf16 holds them, the latents, and the fp32 video, whose fp16 is beyond 8-bit colours."""
    os.makedirs(os.path.join(folder, "vae"), exist_ok=True)
    config = {"_class_name": "AutoencoderKLWan", **vars(model.config)}
    with open(os.path.join(folder, "vae", "config.json"), "w") as file:
        json.dump(config, file, indent=2)
    save(os.path.join(folder, "vae", "diffusion_pytorch_model.safetensors"), dict(model.named_parameters()))
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    video = model.float()._decode(latents.float(), return_dict=False)[0]
    save(os.path.join(folder, "trace.safetensors"), {"vae.decode_input": latents, "vae.decode_output": video.half()})
    model.bfloat16()
    error = (model._decode(latents, return_dict=False)[0].float() - video).square().mean().item()
    deviation = video.std().item()
    print(f"# fp32 video: deviation {deviation:.2f}; PSNR of diffusers' bf16 {10 * math.log10(PEAK**2 / error):.1f} dB", flush=True)


def milliseconds(call):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("diffusers", help="a clone, or the file autoencoder_kl_wan.py")
    parser.add_argument("--config", help="vae/config.json of a checkpoint; default: Wan 2.1's")
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--passes", default="decode,encode")
    parser.add_argument("--benchmark", action="store_true", help="let cuDNN choose its algorithms by trial")
    parser.add_argument("--record", metavar="DIR")
    options = parser.parse_args()
    autoencoder = load_class(options.diffusers)
    config = {}
    if options.config:
        with open(options.config) as file:
            config = {k: v for k, v in json.load(file).items() if not k.startswith("_")}
    torch.set_grad_enabled(False)
    model = autoencoder(**config)
    draw_weights(model)
    model = model.cuda().bfloat16().eval()
    spatial, temporal = 2 ** (len(model.config.dim_mult) - 1), 2 ** sum(model.config.temperal_downsample)
    size = (1, model.config.z_dim, (options.frames - 1) // temporal + 1, options.height // spatial, options.width // spatial)
    generator = torch.Generator("cuda").manual_seed(7)
    latents = torch.randn(size, generator=generator, device="cuda").bfloat16()
    if options.record:
        record(options.record, model, latents)
    torch.backends.cudnn.benchmark = options.benchmark  # not of what is recorded
    video = torch.rand((1, 3, options.frames, options.height, options.width), generator=generator, device="cuda").bfloat16() * 2 - 1
    passes = {"decode": lambda: model._decode(latents, return_dict=False), "encode": lambda: model._encode(video)}
    for name in options.passes.split(","):
        milliseconds(passes[name])
        torch.cuda.reset_peak_memory_stats()
        time = statistics.median(milliseconds(passes[name]) for _ in range(options.repeats))
        shape = {"config": os.path.basename(options.config or "wan-2.1"), "height": options.height, "width": options.width}
        row = {
            "benchmark": "vae",
            "params": {**shape, "frames": options.frames, "pass": name},
            "peer": "diffusers, cudnn.benchmark" if options.benchmark else "diffusers",
            "peer_ms": round(time, 2),
            "device": torch.cuda.get_device_name(),
        }
        print(json.dumps(row), flush=True)
        print(f"# {name}: at most {1e-9 * torch.cuda.max_memory_allocated():.1f} GB", flush=True)


if __name__ == "__main__":
    main()
