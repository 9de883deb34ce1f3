"""svg_kernels.h's CUDA library on PyTorch's tensors and stream, and times of calls that take turns: what the scripts beside
this one share."""
import ctypes
import os
import statistics

import torch

CODES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}  # svg_dtype
RELEASE_THRESHOLD = 4  # of CUmemPool_attribute


class Heads(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("head_stride", ctypes.c_int64), ("row_stride", ctypes.c_int64)]


def struct(name, fields):
    """A params struct: names of int32 fields, of floats (name:f), of tensors (name:h) and of pointers (name:p)."""
    kinds = {"i": ctypes.c_int32, "f": ctypes.c_float, "h": Heads, "p": ctypes.c_void_p}
    pairs = [(field + ":i").split(":")[:2] for field in fields.split()]
    return type(name, (ctypes.Structure,), {"_fields_": [("struct_size", ctypes.c_uint32)] + [(f, kinds[k]) for f, k in pairs]})


STRUCTS = {
    name: struct(name, fields)
    for name, fields in {
        "svg_rms_norm": "dtype heads rows width weight_dtype epsilon:f x:h out:h weight:p",
        "svg_layer_norm": "dtype heads rows width weight_dtype modulation_dtype epsilon:f x:h out:h weight:p bias:p scale:h shift:h",
        "svg_gated_residual": "dtype heads rows width gate_dtype x:h y:h out:h gate:h",
        "svg_rope": "dtype heads rows head_dim pairs rotated_rows x:h out:h cos_table:p sin_table:p",
        "svg_norm_rope": "dtype heads rows head_dim across_heads weight_dtype pairs rotated_rows epsilon:f x:h out:h weight:p "
        "cos_table:p sin_table:p permuted_rows order:p",
        "svg_activation": "x_dtype out_dtype heads rows width kind bias_dtype x:h out:h bias:p",
        "svg_permute_rows": "dtype heads head_dim rows permuted_rows inverse src:h dst:h order:p",
        "svg_attention_dense": "dtype heads head_dim q_rows k_rows split scale:f q:h k:h v:h out:h k_lengths:p lse:p",
        "svg_attention_band": "dtype heads head_dim rows video_rows prompt_rows sink_keys half_width scale:f q:h k:h v:h out:h",
        "svg_attention_blocks": "dtype heads head_dim q_rows k_rows q_clusters k_clusters scale:f q:h k:h v:h out:h "
        "q_offsets:p k_offsets:p map:p",
        "svg_convolution": "dtype frames height width channels earlier_frames out_channels kernel_frames kernel_height "
        "kernel_width frame_stride stride repeat pad_top pad_bottom pad_left pad_right earlier:p x:p weight:p bias:p residual:p "
        "out:p",
    }.items()
}


class Library:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.svg_last_error.restype = ctypes.c_char_p
        keep_freed_memory()

    def call(self, name, path=None, **values):
        """Calls a function; tensors of heads are (heads, rows, channels), strides of 0 included, others are contiguous.

        path: what SVG_CUDA_MMA says; None leaves the choice to the library.
        """
        params = STRUCTS[name](ctypes.sizeof(STRUCTS[name]))
        for field, value in values.items():
            if isinstance(value, torch.Tensor):
                of_heads = dict(params._fields_)[field] is Heads
                value = Heads(value.data_ptr(), value.stride(0), value.stride(1)) if of_heads else value.data_ptr()
            setattr(params, field, CODES[value] if isinstance(value, torch.dtype) else value)
        os.environ["SVG_CUDA_MMA"] = path or ""
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        if getattr(self.library, name)(ctypes.byref(params), stream) != 0:
            raise RuntimeError(self.library.svg_last_error().decode())


def keep_freed_memory():
    """Lets the device's default pool keep what the kernels free, as callers do that call often: otherwise every wait gives
    their working memory back to the system, and the next call has to ask for it again."""
    torch.cuda.init()
    driver = ctypes.CDLL("libcuda.so.1")
    pool, everything = ctypes.c_void_p(), ctypes.c_uint64(2**64 - 1)
    if driver.cuDeviceGetDefaultMemPool(ctypes.byref(pool), torch.cuda.current_device()) != 0:
        raise RuntimeError("cuDeviceGetDefaultMemPool failed")
    if driver.cuMemPoolSetAttribute(pool, RELEASE_THRESHOLD, ctypes.byref(everything)) != 0:
        raise RuntimeError("cuMemPoolSetAttribute failed")


def medians(repeats, *calls, warm_up=1):
    """The times of calls that take turns, in milliseconds by events."""
    times = [[] for _ in calls]
    for i in range(warm_up + repeats):
        for call, series in zip(calls, times):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            call()
            end.record()
            end.synchronize()
            if i >= warm_up:
                series.append(start.elapsed_time(end))
    return [statistics.median(series) for series in times]
