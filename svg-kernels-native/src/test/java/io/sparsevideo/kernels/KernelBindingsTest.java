package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.KernelBindings.Function;
import io.sparsevideo.kernels.ffi.svg_activation_params;
import io.sparsevideo.kernels.ffi.svg_attention_band_params;
import io.sparsevideo.kernels.ffi.svg_attention_blocks_params;
import io.sparsevideo.kernels.ffi.svg_attention_dense_params;
import io.sparsevideo.kernels.ffi.svg_block_density_params;
import io.sparsevideo.kernels.ffi.svg_block_map_params;
import io.sparsevideo.kernels.ffi.svg_channel_norm_params;
import io.sparsevideo.kernels.ffi.svg_color_bytes_params;
import io.sparsevideo.kernels.ffi.svg_convolution_params;
import io.sparsevideo.kernels.ffi.svg_gated_residual_params;
import io.sparsevideo.kernels.ffi.svg_gather_rows_params;
import io.sparsevideo.kernels.ffi.svg_heads;
import io.sparsevideo.kernels.ffi.svg_kernels_h;
import io.sparsevideo.kernels.ffi.svg_kmeans_params;
import io.sparsevideo.kernels.ffi.svg_layer_norm_params;
import io.sparsevideo.kernels.ffi.svg_norm_rope_params;
import io.sparsevideo.kernels.ffi.svg_patchify_params;
import io.sparsevideo.kernels.ffi.svg_permute_rows_params;
import io.sparsevideo.kernels.ffi.svg_profile_heads_params;
import io.sparsevideo.kernels.ffi.svg_rms_norm_params;
import io.sparsevideo.kernels.ffi.svg_rope_params;
import io.sparsevideo.kernels.ffi.svg_softmax_params;
import io.sparsevideo.kernels.ffi.svg_sort_labels_params;
import io.sparsevideo.kernels.ffi.svg_timestep_embedding_params;
import io.sparsevideo.kernels.ffi.svg_video_layout_params;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * The C ABI's own checks: whoever calls it without the Java wrapper gets a message, not a crash.
 */
class KernelBindingsTest {

  private static final int HEADS = 2;
  private static final int ROWS = 6;
  private static final int DIM = 4;

  private final KernelBindings bindings = SvgKernels.host().library().bindings();
  private final Arena arena = Arena.ofConfined();
  private final MemorySegment memory = arena.allocate(4096, 64);

  @AfterEach
  void free() {
    arena.close();
  }

  @Test
  void reportsVersionAndBuild() {
    assertEquals(svg_kernels_h.SVG_ABI_VERSION(), bindings.abiVersion());
    assertTrue(bindings.buildInfo().startsWith("host, openmp, "), bindings.buildInfo());
  }

  @Test
  void denseRefusesBadParams() {
    Kernel dense = dense();
    dense.accepts(p -> {});
    refused(Function.ATTENTION_DENSE, MemorySegment.NULL, "params is null");
    dense.refuses("struct_size is 8", p -> svg_attention_dense_params.struct_size(p, 8));
    dense.refuses("dtype is 3", p -> svg_attention_dense_params.dtype(p, 3));
    dense.refuses("dtype is -1", p -> svg_attention_dense_params.dtype(p, -1));
    dense.refuses("heads is 0", p -> svg_attention_dense_params.heads(p, 0));
    dense.refuses("head_dim is 0", p -> svg_attention_dense_params.head_dim(p, 0));
    dense.refuses("head_dim is 65537", p -> svg_attention_dense_params.head_dim(p, 65537));
    dense.refuses("q_rows is -5", p -> svg_attention_dense_params.q_rows(p, -5));
    dense.refuses("k_rows is 0", p -> svg_attention_dense_params.k_rows(p, 0));
    dense.refuses("split is 7", p -> svg_attention_dense_params.split(p, 7));
    dense.refuses(
        "split is 2",
        p -> {
          svg_attention_dense_params.split(p, 2);
          svg_attention_dense_params.k_rows(p, 5);
        });
    dense.refuses("scale is nan", p -> svg_attention_dense_params.scale(p, Float.NaN));
    dense.refuses(
        "q.data is null", p -> svg_heads.data(svg_attention_dense_params.q(p), MemorySegment.NULL));
    dense.refuses(
        "k.data is", p -> svg_heads.data(svg_attention_dense_params.k(p), memory.asSlice(1)));
    dense.refuses(
        "v.row_stride is 3", p -> svg_heads.row_stride(svg_attention_dense_params.v(p), DIM - 1));
    dense.refuses(
        "k.head_stride is -1", p -> svg_heads.head_stride(svg_attention_dense_params.k(p), -1));
    dense.refuses(
        "exceeds the address space",
        p -> {
          svg_attention_dense_params.heads(p, 3);
          svg_heads.head_stride(svg_attention_dense_params.q(p), Long.MAX_VALUE / 2);
        });
    dense.refuses(
        "let 2 heads of 6 rows by 4 overlap",
        p -> svg_heads.head_stride(svg_attention_dense_params.out(p), 5));
    dense.refuses(
        "out at [",
        p -> svg_heads.data(svg_attention_dense_params.out(p), memory.asSlice(DIM * 4)));
    dense.refuses("lse at [", p -> svg_attention_dense_params.lse(p, memory.asSlice(16)));
  }

  @Test
  void sharedKeyHeadsAreFine() {
    // Strides of 0 between heads are for reading: every head sees the same keys.
    dense().accepts(p -> svg_heads.head_stride(svg_attention_dense_params.k(p), 0));
  }

  @Test
  void bandRefusesBadParams() {
    Kernel band = band();
    band.accepts(p -> {});
    band.refuses("rows is 0", p -> svg_attention_band_params.rows(p, 0));
    band.refuses("video_rows is 7", p -> svg_attention_band_params.video_rows(p, 7));
    band.refuses("video_rows is -1", p -> svg_attention_band_params.video_rows(p, -1));
    band.refuses("prompt_rows is 3", p -> svg_attention_band_params.prompt_rows(p, 3));
    band.refuses("sink_keys is -2", p -> svg_attention_band_params.sink_keys(p, -2));
    band.refuses("scale is inf", p -> svg_attention_band_params.scale(p, Float.POSITIVE_INFINITY));
  }

  @Test
  void blocksRefuseBadParams() {
    Kernel blocks = blocks();
    blocks.accepts(p -> {});
    blocks.refuses("q_clusters is 0", p -> svg_attention_blocks_params.q_clusters(p, 0));
    blocks.refuses("k_clusters is 0", p -> svg_attention_blocks_params.k_clusters(p, 0));
    blocks.refuses("map is null", p -> svg_attention_blocks_params.map(p, MemorySegment.NULL));
    blocks.refuses(
        "q_offsets[0][0] is 1, expected 0",
        p -> svg_attention_blocks_params.q_offsets(p, ints(1, 2, 6, 0, 2, 6)));
    blocks.refuses(
        "q_offsets[1][2] is 5, expected 6",
        p -> svg_attention_blocks_params.q_offsets(p, ints(0, 2, 6, 0, 2, 5)));
    blocks.refuses(
        "k_offsets[0][1] is 7, expected 0 to 6",
        p -> svg_attention_blocks_params.k_offsets(p, ints(0, 7, 6, 0, 2, 6)));
    blocks.refuses(
        "k_offsets[1][2] is 1, expected 3 to 6",
        p -> svg_attention_blocks_params.k_offsets(p, ints(0, 2, 6, 0, 3, 1)));
  }

  @Test
  void profileRefusesBadParams() {
    Kernel profile = profile();
    profile.accepts(p -> {});
    profile.refuses("rows is 6, expected", p -> svg_profile_heads_params.context_rows(p, 1));
    profile.refuses("frames is 0", p -> svg_profile_heads_params.frames(p, 0));
    profile.refuses("tokens_per_frame is 0", p -> svg_profile_heads_params.tokens_per_frame(p, 0));
    profile.refuses("context_rows is -1", p -> svg_profile_heads_params.context_rows(p, -1));
    profile.refuses("sink_keys is -1", p -> svg_profile_heads_params.sink_keys(p, -1));
    profile.refuses("band_blocks is -1", p -> svg_profile_heads_params.band_blocks(p, -1));
    profile.refuses("samples is 0", p -> svg_profile_heads_params.samples(p, 0));
    profile.refuses(
        "sampled_rows[1] is 6", p -> svg_profile_heads_params.sampled_rows(p, ints(0, 6)));
    profile.refuses(
        "sampled_rows[0] is -1", p -> svg_profile_heads_params.sampled_rows(p, ints(-1, 6)));
    profile.refuses("best is null", p -> svg_profile_heads_params.best(p, MemorySegment.NULL));
  }

  @Test
  void rowOrderRefusesBadParams() {
    Kernel layout = layout();
    layout.accepts(p -> {});
    layout.refuses("frames 7 * tokens_per_frame 3", p -> svg_video_layout_params.frames(p, 7));
    layout.refuses("frames is 0", p -> svg_video_layout_params.frames(p, 0));
    layout.refuses(
        "transform is null", p -> svg_video_layout_params.transform(p, MemorySegment.NULL));
    layout.refuses(
        "dst at [", p -> svg_heads.data(svg_video_layout_params.dst(p), memory.asSlice(64)));

    Kernel permute = permute();
    permute.accepts(p -> {});
    permute.refuses("permuted_rows is 7", p -> svg_permute_rows_params.permuted_rows(p, 7));
    permute.refuses(
        "order[1][2] is 3, expected 0 to 2",
        p -> svg_permute_rows_params.order(p, ints(0, 1, 2, 2, 1, 3)));
    permute.refuses(
        "order[1][2] is 2 for the second time",
        p -> svg_permute_rows_params.order(p, ints(0, 1, 2, 2, 1, 2)));

    Kernel sort = sort();
    sort.accepts(p -> {});
    sort.refuses("clusters is 0", p -> svg_sort_labels_params.clusters(p, 0));
    sort.refuses(
        "labels[1][0] is 2, expected 0 to 1",
        p -> svg_sort_labels_params.labels(p, ints(0, 1, 2, 0)));
  }

  @Test
  void kmeansRefusesBadParams() {
    Kernel kmeans = kmeans();
    kmeans.accepts(p -> {});
    kmeans.refuses("clusters is 7, expected 1 to 6", p -> svg_kmeans_params.clusters(p, 7));
    kmeans.refuses("iterations is 0", p -> svg_kmeans_params.iterations(p, 0));
    kmeans.refuses("tolerance is nan", p -> svg_kmeans_params.tolerance(p, Float.NaN));
    kmeans.refuses("tolerance is -1", p -> svg_kmeans_params.tolerance(p, -1));
    kmeans.refuses(
        "init_rows[1][0] is 6, expected 0 to 5",
        p -> svg_kmeans_params.init_rows(p, ints(0, 1, 6, 0)));
    kmeans.refuses("draw_rows is 1 and init_rows", p -> svg_kmeans_params.draw_rows(p, 1));
    kmeans.refuses("sizes is null", p -> svg_kmeans_params.sizes(p, MemorySegment.NULL));
  }

  @Test
  void blockMapRefusesBadParams() {
    Kernel blockMap = blockMap();
    blockMap.accepts(p -> {});
    blockMap.refuses("context_clusters is 1", p -> svg_block_map_params.context_clusters(p, 1));
    blockMap.refuses("min_keep is 4, expected 0 to 3", p -> svg_block_map_params.min_keep(p, 4));
    blockMap.refuses("top_p is nan", p -> svg_block_map_params.top_p(p, Float.NaN));
    blockMap.refuses("top_p is -0.5", p -> svg_block_map_params.top_p(p, -0.5f));
    blockMap.refuses("k_sizes[0][2] is -1", p -> svg_block_map_params.k_sizes(p, ints(1, 1, -1)));
  }

  @Test
  void blockDensityRefusesBadParams() {
    Kernel blockDensity = blockDensity();
    blockDensity.accepts(p -> {});
    blockDensity.refuses("heads is 0", p -> svg_block_density_params.heads(p, 0));
    blockDensity.refuses(
        "counted_q is 3, expected 1 to 2", p -> svg_block_density_params.counted_q(p, 3));
    blockDensity.refuses(
        "counted_k is 0, expected 1 to 3", p -> svg_block_density_params.counted_k(p, 0));
    blockDensity.refuses(
        "the map's size exceeds 64 bits",
        p -> {
          svg_block_density_params.heads(p, Integer.MAX_VALUE);
          svg_block_density_params.q_clusters(p, Integer.MAX_VALUE);
          svg_block_density_params.k_clusters(p, Integer.MAX_VALUE);
        });
    blockDensity.refuses("map is null", p -> svg_block_density_params.map(p, MemorySegment.NULL));
  }

  @Test
  void patchesAndTimestepsRefuseBadParams() {
    Kernel patches = patches();
    patches.accepts(p -> {});
    patches.refuses("channels is 0", p -> svg_patchify_params.channels(p, 0));
    patches.refuses("patch_width is 0", p -> svg_patchify_params.patch_width(p, 0));
    patches.refuses(
        "height is 3, expected a multiple of patch_height 2",
        p -> svg_patchify_params.height(p, 3));
    patches.refuses("frames is -1", p -> svg_patchify_params.frames(p, -1));
    patches.refuses("order is 3, expected 0 to 2", p -> svg_patchify_params.order(p, 3));
    patches.refuses(
        "the elements of a token are at least 80000", p -> svg_patchify_params.channels(p, 20000));
    patches.refuses(
        "the tokens are at least", p -> svg_patchify_params.frames(p, Integer.MAX_VALUE));
    patches.refuses("video.data is null", p -> svg_patchify_params.video(p, MemorySegment.NULL));
    patches.refuses(
        "tokens.row_stride is 7", p -> svg_heads.row_stride(svg_patchify_params.tokens(p), 7));
    patches.refuses("tokens at [", p -> svg_heads.data(svg_patchify_params.tokens(p), memory));

    Kernel timesteps = timesteps();
    timesteps.accepts(p -> {});
    timesteps.refuses("rows is 0", p -> svg_timestep_embedding_params.rows(p, 0));
    timesteps.refuses("width is 1", p -> svg_timestep_embedding_params.width(p, 1));
    timesteps.refuses("dtype is 4", p -> svg_timestep_embedding_params.dtype(p, 4));
    timesteps.refuses(
        "timesteps is null", p -> svg_timestep_embedding_params.timesteps(p, MemorySegment.NULL));
    timesteps.refuses("max_period is -1", p -> svg_timestep_embedding_params.max_period(p, -1));
    timesteps.refuses(
        "downscale_freq_shift is nan",
        p -> svg_timestep_embedding_params.downscale_freq_shift(p, Float.NaN));
  }

  @Test
  void colorBytesRefuseBadParams() {
    Kernel bytes = colorBytes();
    bytes.accepts(p -> {});
    bytes.refuses(
        "frames is 65536, expected 1 to 65535", p -> svg_color_bytes_params.frames(p, 65536));
    bytes.refuses("frame_size is 0", p -> svg_color_bytes_params.frame_size(p, 0));
    bytes.refuses("dtype is 3", p -> svg_color_bytes_params.dtype(p, 3));
    bytes.refuses("x.data is null", p -> svg_color_bytes_params.x(p, MemorySegment.NULL));
    bytes.refuses("out is null", p -> svg_color_bytes_params.out(p, MemorySegment.NULL));
    bytes.refuses("overlaps", p -> svg_color_bytes_params.not_numbers(p, memory));
  }

  @Test
  void normsRefuseBadParams() {
    Kernel rms = rmsNorm();
    rms.accepts(p -> {});
    rms.refuses("struct_size is 8", p -> svg_rms_norm_params.struct_size(p, 8));
    rms.refuses("heads is 0", p -> svg_rms_norm_params.heads(p, 0));
    rms.refuses("rows is 0", p -> svg_rms_norm_params.rows(p, 0));
    rms.refuses("width is 0, expected 1 to 16384", p -> svg_rms_norm_params.width(p, 0));
    rms.refuses("weight_dtype is 3", p -> svg_rms_norm_params.weight_dtype(p, 3));
    rms.refuses("epsilon is inf", p -> svg_rms_norm_params.epsilon(p, Float.POSITIVE_INFINITY));
    rms.refuses("weight.data is", p -> svg_rms_norm_params.weight(p, memory.asSlice(2)));
    rms.accepts(
        p -> { // without a weight its type does not matter
          svg_rms_norm_params.weight(p, MemorySegment.NULL);
          svg_rms_norm_params.weight_dtype(p, 3);
        });

    Kernel channels = channelNorm();
    channels.accepts(p -> {});
    channels.refuses("dtype is 3", p -> svg_channel_norm_params.dtype(p, 3));
    channels.refuses("heads is 0", p -> svg_channel_norm_params.heads(p, 0));
    channels.refuses("rows is 0", p -> svg_channel_norm_params.rows(p, 0));
    channels.refuses(
        "width is 16385, expected 1 to 16384", p -> svg_channel_norm_params.width(p, 16385));
    channels.refuses("weight_dtype is 3", p -> svg_channel_norm_params.weight_dtype(p, 3));
    channels.refuses("weight.data is", p -> svg_channel_norm_params.weight(p, memory.asSlice(2)));
    channels.refuses(
        "x.data is null", p -> svg_heads.data(svg_channel_norm_params.x(p), MemorySegment.NULL));
    channels.refuses(
        "out at [", p -> svg_heads.data(svg_channel_norm_params.out(p), memory.asSlice(DIM * 4)));

    Kernel layer = layerNorm();
    layer.accepts(p -> {});
    layer.refuses("modulation_dtype is -1", p -> svg_layer_norm_params.modulation_dtype(p, -1));
    layer.refuses(
        "scale.row_stride is 3",
        p -> svg_heads.row_stride(svg_layer_norm_params.scale(p), DIM - 1));
    layer.refuses(
        "shift.head_stride is -1", p -> svg_heads.head_stride(svg_layer_norm_params.shift(p), -1));

    Kernel gated = gatedResidual();
    gated.accepts(p -> {});
    gated.refuses("width is 0", p -> svg_gated_residual_params.width(p, 0));
    gated.refuses("gate_dtype is 3", p -> svg_gated_residual_params.gate_dtype(p, 3));
    gated.refuses(
        "y.data is null", p -> svg_heads.data(svg_gated_residual_params.y(p), MemorySegment.NULL));
  }

  @Test
  void convolutionRefusesBadParams() {
    Kernel convolution = convolution();
    convolution.accepts(p -> {});
    convolution.refuses("dtype is 3", p -> svg_convolution_params.dtype(p, 3));
    convolution.refuses("frames is 0", p -> svg_convolution_params.frames(p, 0));
    convolution.refuses("earlier_frames is -1", p -> svg_convolution_params.earlier_frames(p, -1));
    convolution.refuses("channels is 0", p -> svg_convolution_params.channels(p, 0));
    convolution.refuses("out_channels is 0", p -> svg_convolution_params.out_channels(p, 0));
    convolution.refuses(
        "frames with earlier_frames is 3, expected at least the kernel's 4",
        p -> svg_convolution_params.kernel_frames(p, 4));
    convolution.refuses(
        "width with padding is 4, expected at least the kernel's 5",
        p -> svg_convolution_params.kernel_width(p, 5));
    convolution.refuses("frame_stride is 0", p -> svg_convolution_params.frame_stride(p, 0));
    convolution.refuses("stride is 0", p -> svg_convolution_params.stride(p, 0));
    convolution.refuses("repeat is 0", p -> svg_convolution_params.repeat(p, 0));
    convolution.refuses("repeat is 1073741824", p -> svg_convolution_params.repeat(p, 1 << 30));
    convolution.refuses("pad_top is -1", p -> svg_convolution_params.pad_top(p, -1));
    convolution.refuses(
        "pad_right is 65536, expected 0 to 65535", p -> svg_convolution_params.pad_right(p, 65536));
    convolution.refuses(
        "the pixels of the clip are at least 3221225478",
        p -> svg_convolution_params.frames(p, 1 << 29));
    convolution.refuses(
        "the pixels of out are at least",
        p -> {
          svg_convolution_params.pad_top(p, 65535);
          svg_convolution_params.pad_left(p, 65535);
        });
    convolution.refuses(
        "the terms of a sum are at least", p -> svg_convolution_params.channels(p, 1 << 29));
    convolution.refuses(
        "earlier.data is null", p -> svg_convolution_params.earlier(p, MemorySegment.NULL));
    convolution.refuses("x.data is null", p -> svg_convolution_params.x(p, MemorySegment.NULL));
    convolution.refuses("weight.data is", p -> svg_convolution_params.weight(p, memory.asSlice(2)));
    convolution.refuses("overlaps", p -> svg_convolution_params.out(p, memory));
    convolution.refuses(
        "overlaps", p -> svg_convolution_params.residual(p, svg_convolution_params.out(p)));
  }

  @Test
  void ropeRefusesBadParams() {
    Kernel rope = rope();
    rope.accepts(p -> {});
    rope.refuses("pairs is 2", p -> svg_rope_params.pairs(p, 2));
    rope.refuses("rotated_rows is 7, expected 0 to 6", p -> svg_rope_params.rotated_rows(p, 7));
    rope.refuses("head_dim is 3", p -> svg_rope_params.head_dim(p, DIM - 1));
    rope.refuses("cos_table is null", p -> svg_rope_params.cos_table(p, MemorySegment.NULL));
    rope.refuses(
        "out at [",
        p -> { // over x, but by another stride
          svg_rope_params.out(p).copyFrom(svg_rope_params.x(p));
          svg_heads.head_stride(svg_rope_params.out(p), (ROWS + 1) * DIM);
        });
    rope.refuses(
        "sin_table at [",
        p -> svg_rope_params.sin_table(p, svg_heads.data(svg_rope_params.out(p))));

    Kernel both = normRope();
    both.accepts(p -> {});
    both.refuses("epsilon is nan", p -> svg_norm_rope_params.epsilon(p, Float.NaN));
    both.refuses("weight_dtype is 9", p -> svg_norm_rope_params.weight_dtype(p, 9));
    both.refuses("pairs is -1", p -> svg_norm_rope_params.pairs(p, -1));
    both.refuses(
        "permuted_rows is 7, expected 0 to 6", p -> svg_norm_rope_params.permuted_rows(p, 7));
    both.refuses("order is null", p -> svg_norm_rope_params.permuted_rows(p, ROWS));
  }

  @Test
  void activationRefusesBadParams() {
    Kernel activation = activation();
    activation.accepts(p -> {});
    activation.refuses("kind is 3", p -> svg_activation_params.kind(p, 3));
    activation.refuses("x_dtype is 3", p -> svg_activation_params.x_dtype(p, 3));
    activation.refuses("out_dtype is -1", p -> svg_activation_params.out_dtype(p, -1));
    activation.refuses("bias_dtype is 3", p -> svg_activation_params.bias_dtype(p, 3));
    activation.refuses("width is -1", p -> svg_activation_params.width(p, -1));
  }

  @Test
  void softmaxRefusesBadParams() {
    Kernel softmax = softmax();
    softmax.accepts(p -> {});
    softmax.refuses("dtype is 3", p -> svg_softmax_params.dtype(p, 3));
    softmax.refuses("bias_dtype is -1", p -> svg_softmax_params.bias_dtype(p, -1));
    softmax.refuses("rows is 0", p -> svg_softmax_params.rows(p, 0));
    softmax.refuses("width is -1", p -> svg_softmax_params.width(p, -1));
    softmax.refuses("scale is inf", p -> svg_softmax_params.scale(p, Float.POSITIVE_INFINITY));
    softmax.refuses(
        "exceeds the address space", p -> svg_softmax_params.bias_strides(p, 0, Long.MIN_VALUE));
    softmax.refuses(
        "exceeds the address space", // below it
        p -> svg_softmax_params.bias_strides(p, 1, -(memory.address() / 4)));
    softmax.refuses(
        "expected a multiple of 4 bytes", p -> svg_softmax_params.bias(p, memory.asSlice(1)));
    softmax.refuses(
        "and out is written",
        p -> svg_softmax_params.bias(p, svg_heads.data(svg_softmax_params.out(p))));
  }

  @Test
  void gatherRowsRefusesBadParams() {
    Kernel gather = gatherRows();
    gather.accepts(p -> {});
    gather.refuses("dtype is 3", p -> svg_gather_rows_params.dtype(p, 3));
    gather.refuses("table_rows is 0", p -> svg_gather_rows_params.table_rows(p, 0));
    gather.refuses("rows is -1", p -> svg_gather_rows_params.rows(p, -1));
    gather.refuses("width is 0", p -> svg_gather_rows_params.width(p, 0));
    gather.refuses("index_bytes is 2", p -> svg_gather_rows_params.index_bytes(p, 2));
    gather.refuses("indices is null", p -> svg_gather_rows_params.indices(p, MemorySegment.NULL));
  }

  @Test
  void theMessageBelongsToTheThreadThatFailed() throws InterruptedException {
    dense().refuses("heads is 0", p -> svg_attention_dense_params.heads(p, 0));
    String[] other = new String[1];
    Thread thread = new Thread(() -> other[0] = bindings.lastError());
    thread.start();
    thread.join();
    assertEquals("", other[0]);
    assertTrue(bindings.lastError().contains("heads is 0"));
  }

  /** A kernel with valid parameters, which tests then spoil one at a time. */
  private final class Kernel {
    private final Function function;
    private final Supplier<MemorySegment> valid;

    Kernel(Function function, Supplier<MemorySegment> valid) {
      this.function = function;
      this.valid = valid;
    }

    void accepts(Consumer<MemorySegment> change) {
      MemorySegment params = valid.get();
      change.accept(params);
      assertEquals(0, bindings.call(function, params, MemorySegment.NULL), bindings::lastError);
    }

    void refuses(String message, Consumer<MemorySegment> change) {
      MemorySegment params = valid.get();
      change.accept(params);
      refused(function, params, message);
    }
  }

  private void refused(Function function, MemorySegment params, String message) {
    int status = bindings.call(function, params, MemorySegment.NULL);
    assertEquals(svg_kernels_h.SVG_INVALID_ARGUMENT(), status, message);
    String text = bindings.lastError();
    assertTrue(text.startsWith(function.symbol() + ": ") && text.contains(message), text);
  }

  private Kernel dense() {
    return new Kernel(
        Function.ATTENTION_DENSE,
        () -> {
          MemorySegment p = svg_attention_dense_params.allocate(arena);
          svg_attention_dense_params.struct_size(p, (int) p.byteSize());
          svg_attention_dense_params.heads(p, HEADS);
          svg_attention_dense_params.head_dim(p, DIM);
          svg_attention_dense_params.q_rows(p, ROWS);
          svg_attention_dense_params.k_rows(p, ROWS);
          svg_attention_dense_params.scale(p, 1);
          tensor(svg_attention_dense_params.q(p), memory);
          tensor(svg_attention_dense_params.k(p), memory);
          tensor(svg_attention_dense_params.v(p), memory);
          tensor(svg_attention_dense_params.out(p), output());
          return p;
        });
  }

  private Kernel band() {
    return new Kernel(
        Function.ATTENTION_BAND,
        () -> {
          MemorySegment p = svg_attention_band_params.allocate(arena);
          svg_attention_band_params.struct_size(p, (int) p.byteSize());
          svg_attention_band_params.heads(p, HEADS);
          svg_attention_band_params.head_dim(p, DIM);
          svg_attention_band_params.rows(p, ROWS);
          svg_attention_band_params.video_rows(p, 4);
          svg_attention_band_params.prompt_rows(p, 1);
          svg_attention_band_params.scale(p, 1);
          tensor(svg_attention_band_params.q(p), memory);
          tensor(svg_attention_band_params.k(p), memory);
          tensor(svg_attention_band_params.v(p), memory);
          tensor(svg_attention_band_params.out(p), output());
          return p;
        });
  }

  private Kernel blocks() {
    return new Kernel(
        Function.ATTENTION_BLOCKS,
        () -> {
          MemorySegment p = svg_attention_blocks_params.allocate(arena);
          svg_attention_blocks_params.struct_size(p, (int) p.byteSize());
          svg_attention_blocks_params.heads(p, HEADS);
          svg_attention_blocks_params.head_dim(p, DIM);
          svg_attention_blocks_params.q_rows(p, ROWS);
          svg_attention_blocks_params.k_rows(p, ROWS);
          svg_attention_blocks_params.q_clusters(p, 2);
          svg_attention_blocks_params.k_clusters(p, 2);
          svg_attention_blocks_params.scale(p, 1);
          tensor(svg_attention_blocks_params.q(p), memory);
          tensor(svg_attention_blocks_params.k(p), memory);
          tensor(svg_attention_blocks_params.v(p), memory);
          tensor(svg_attention_blocks_params.out(p), output());
          svg_attention_blocks_params.q_offsets(p, ints(0, 2, 6, 0, 2, 6));
          svg_attention_blocks_params.k_offsets(p, ints(0, 2, 6, 0, 2, 6));
          svg_attention_blocks_params.map(p, memory);
          return p;
        });
  }

  private Kernel profile() {
    return new Kernel(
        Function.PROFILE_HEADS,
        () -> {
          MemorySegment p = svg_profile_heads_params.allocate(arena);
          svg_profile_heads_params.struct_size(p, (int) p.byteSize());
          svg_profile_heads_params.heads(p, HEADS);
          svg_profile_heads_params.head_dim(p, DIM);
          svg_profile_heads_params.rows(p, ROWS);
          svg_profile_heads_params.frames(p, 2);
          svg_profile_heads_params.tokens_per_frame(p, 3);
          svg_profile_heads_params.samples(p, 2);
          svg_profile_heads_params.scale(p, 1);
          tensor(svg_profile_heads_params.q(p), memory);
          tensor(svg_profile_heads_params.k(p), memory);
          tensor(svg_profile_heads_params.v(p), memory);
          svg_profile_heads_params.sampled_rows(p, ints(0, 5));
          svg_profile_heads_params.mse(p, output());
          svg_profile_heads_params.best(p, output());
          return p;
        });
  }

  private Kernel layout() {
    return new Kernel(
        Function.VIDEO_LAYOUT,
        () -> {
          MemorySegment p = svg_video_layout_params.allocate(arena);
          svg_video_layout_params.struct_size(p, (int) p.byteSize());
          svg_video_layout_params.heads(p, HEADS);
          svg_video_layout_params.head_dim(p, DIM);
          svg_video_layout_params.rows(p, ROWS);
          svg_video_layout_params.frames(p, 2);
          svg_video_layout_params.tokens_per_frame(p, 3);
          tensor(svg_video_layout_params.src(p), memory);
          tensor(svg_video_layout_params.dst(p), output());
          svg_video_layout_params.transform(p, ints(1, 0));
          return p;
        });
  }

  private Kernel permute() {
    return new Kernel(
        Function.PERMUTE_ROWS,
        () -> {
          MemorySegment p = svg_permute_rows_params.allocate(arena);
          svg_permute_rows_params.struct_size(p, (int) p.byteSize());
          svg_permute_rows_params.heads(p, HEADS);
          svg_permute_rows_params.head_dim(p, DIM);
          svg_permute_rows_params.rows(p, ROWS);
          svg_permute_rows_params.permuted_rows(p, 3);
          tensor(svg_permute_rows_params.src(p), memory);
          tensor(svg_permute_rows_params.dst(p), output());
          svg_permute_rows_params.order(p, ints(0, 1, 2, 2, 1, 0));
          return p;
        });
  }

  private Kernel sort() {
    return new Kernel(
        Function.SORT_LABELS,
        () -> {
          MemorySegment p = svg_sort_labels_params.allocate(arena);
          svg_sort_labels_params.struct_size(p, (int) p.byteSize());
          svg_sort_labels_params.heads(p, HEADS);
          svg_sort_labels_params.rows(p, 2);
          svg_sort_labels_params.clusters(p, 2);
          svg_sort_labels_params.labels(p, ints(0, 1, 1, 0));
          svg_sort_labels_params.order(p, output());
          svg_sort_labels_params.offsets(p, output());
          return p;
        });
  }

  private Kernel kmeans() {
    return new Kernel(
        Function.KMEANS,
        () -> {
          MemorySegment p = svg_kmeans_params.allocate(arena);
          svg_kmeans_params.struct_size(p, (int) p.byteSize());
          svg_kmeans_params.heads(p, HEADS);
          svg_kmeans_params.rows(p, ROWS);
          svg_kmeans_params.head_dim(p, DIM);
          svg_kmeans_params.clusters(p, 2);
          svg_kmeans_params.iterations(p, 1);
          tensor(svg_kmeans_params.x(p), memory);
          svg_kmeans_params.init_rows(p, ints(0, 1, 5, 0));
          svg_kmeans_params.centroids(p, output());
          svg_kmeans_params.labels(p, output());
          svg_kmeans_params.sizes(p, output());
          return p;
        });
  }

  private Kernel blockMap() {
    return new Kernel(
        Function.BLOCK_MAP,
        () -> {
          MemorySegment p = svg_block_map_params.allocate(arena);
          svg_block_map_params.struct_size(p, (int) p.byteSize());
          svg_block_map_params.heads(p, 1);
          svg_block_map_params.head_dim(p, DIM);
          svg_block_map_params.q_clusters(p, 2);
          svg_block_map_params.k_clusters(p, 3);
          svg_block_map_params.top_p(p, 0.5f);
          svg_block_map_params.q_centroids(p, memory);
          svg_block_map_params.k_centroids(p, memory);
          svg_block_map_params.k_sizes(p, ints(1, 1, 1));
          svg_block_map_params.map(p, output());
          return p;
        });
  }

  private Kernel blockDensity() {
    return new Kernel(
        Function.BLOCK_DENSITY,
        () -> {
          MemorySegment p = svg_block_density_params.allocate(arena);
          svg_block_density_params.struct_size(p, (int) p.byteSize());
          svg_block_density_params.heads(p, 1);
          svg_block_density_params.q_clusters(p, 2);
          svg_block_density_params.k_clusters(p, 3);
          svg_block_density_params.counted_q(p, 2);
          svg_block_density_params.counted_k(p, 2);
          svg_block_density_params.q_offsets(p, ints(0, 2, 6));
          svg_block_density_params.k_offsets(p, ints(0, 1, 4, 6));
          svg_block_density_params.map(p, memory);
          svg_block_density_params.density(p, output());
          return p;
        });
  }

  private Kernel rmsNorm() {
    return new Kernel(
        Function.RMS_NORM,
        () -> {
          MemorySegment p = svg_rms_norm_params.allocate(arena);
          svg_rms_norm_params.struct_size(p, (int) p.byteSize());
          svg_rms_norm_params.heads(p, HEADS);
          svg_rms_norm_params.rows(p, ROWS);
          svg_rms_norm_params.width(p, DIM);
          svg_rms_norm_params.weight(p, memory);
          tensor(svg_rms_norm_params.x(p), memory);
          tensor(svg_rms_norm_params.out(p), output());
          return p;
        });
  }

  private Kernel channelNorm() {
    return new Kernel(
        Function.CHANNEL_NORM,
        () -> {
          MemorySegment p = svg_channel_norm_params.allocate(arena);
          svg_channel_norm_params.struct_size(p, (int) p.byteSize());
          svg_channel_norm_params.heads(p, HEADS);
          svg_channel_norm_params.rows(p, ROWS);
          svg_channel_norm_params.width(p, DIM);
          svg_channel_norm_params.weight(p, memory);
          tensor(svg_channel_norm_params.x(p), memory);
          tensor(svg_channel_norm_params.out(p), output());
          return p;
        });
  }

  /** 2 × 2 × 2 taps of 3 frames of 3 × 2 pixels in a border of 1. */
  private Kernel convolution() {
    return new Kernel(
        Function.CONVOLUTION,
        () -> {
          MemorySegment p = svg_convolution_params.allocate(arena);
          svg_convolution_params.struct_size(p, (int) p.byteSize());
          svg_convolution_params.frames(p, 2);
          svg_convolution_params.earlier_frames(p, 1);
          svg_convolution_params.height(p, 3);
          svg_convolution_params.width(p, 2);
          svg_convolution_params.channels(p, 2);
          svg_convolution_params.out_channels(p, 2);
          svg_convolution_params.kernel_frames(p, 2);
          svg_convolution_params.kernel_height(p, 2);
          svg_convolution_params.kernel_width(p, 2);
          svg_convolution_params.frame_stride(p, 1);
          svg_convolution_params.stride(p, 1);
          svg_convolution_params.repeat(p, 1);
          svg_convolution_params.pad_top(p, 1);
          svg_convolution_params.pad_bottom(p, 1);
          svg_convolution_params.pad_left(p, 1);
          svg_convolution_params.pad_right(p, 1);
          svg_convolution_params.earlier(p, memory);
          svg_convolution_params.x(p, memory);
          svg_convolution_params.weight(p, memory);
          svg_convolution_params.out(p, output());
          return p;
        });
  }

  private Kernel layerNorm() {
    return new Kernel(
        Function.LAYER_NORM,
        () -> {
          MemorySegment p = svg_layer_norm_params.allocate(arena);
          svg_layer_norm_params.struct_size(p, (int) p.byteSize());
          svg_layer_norm_params.heads(p, HEADS);
          svg_layer_norm_params.rows(p, ROWS);
          svg_layer_norm_params.width(p, DIM);
          tensor(svg_layer_norm_params.x(p), memory);
          tensor(svg_layer_norm_params.scale(p), memory);
          tensor(svg_layer_norm_params.shift(p), memory);
          tensor(svg_layer_norm_params.out(p), output());
          return p;
        });
  }

  private Kernel gatedResidual() {
    return new Kernel(
        Function.GATED_RESIDUAL,
        () -> {
          MemorySegment p = svg_gated_residual_params.allocate(arena);
          svg_gated_residual_params.struct_size(p, (int) p.byteSize());
          svg_gated_residual_params.heads(p, HEADS);
          svg_gated_residual_params.rows(p, ROWS);
          svg_gated_residual_params.width(p, DIM);
          tensor(svg_gated_residual_params.x(p), memory);
          tensor(svg_gated_residual_params.y(p), memory);
          tensor(svg_gated_residual_params.gate(p), memory);
          tensor(svg_gated_residual_params.out(p), output());
          return p;
        });
  }

  private Kernel rope() {
    return new Kernel(
        Function.ROPE,
        () -> {
          MemorySegment p = svg_rope_params.allocate(arena);
          svg_rope_params.struct_size(p, (int) p.byteSize());
          svg_rope_params.heads(p, HEADS);
          svg_rope_params.rows(p, ROWS);
          svg_rope_params.head_dim(p, DIM);
          svg_rope_params.rotated_rows(p, ROWS);
          svg_rope_params.cos_table(p, memory);
          svg_rope_params.sin_table(p, memory);
          tensor(svg_rope_params.x(p), memory);
          tensor(svg_rope_params.out(p), output());
          return p;
        });
  }

  private Kernel normRope() {
    return new Kernel(
        Function.NORM_ROPE,
        () -> {
          MemorySegment p = svg_norm_rope_params.allocate(arena);
          svg_norm_rope_params.struct_size(p, (int) p.byteSize());
          svg_norm_rope_params.heads(p, HEADS);
          svg_norm_rope_params.rows(p, ROWS);
          svg_norm_rope_params.head_dim(p, DIM);
          svg_norm_rope_params.rotated_rows(p, ROWS);
          svg_norm_rope_params.cos_table(p, memory);
          svg_norm_rope_params.sin_table(p, memory);
          svg_norm_rope_params.weight(p, memory);
          tensor(svg_norm_rope_params.x(p), memory);
          tensor(svg_norm_rope_params.out(p), output());
          return p;
        });
  }

  private Kernel activation() {
    return new Kernel(
        Function.ACTIVATION,
        () -> {
          MemorySegment p = svg_activation_params.allocate(arena);
          svg_activation_params.struct_size(p, (int) p.byteSize());
          svg_activation_params.heads(p, HEADS);
          svg_activation_params.rows(p, ROWS);
          svg_activation_params.width(p, DIM);
          svg_activation_params.bias(p, memory);
          tensor(svg_activation_params.x(p), memory);
          tensor(svg_activation_params.out(p), output());
          return p;
        });
  }

  private Kernel softmax() {
    return new Kernel(
        Function.SOFTMAX,
        () -> {
          MemorySegment p = svg_softmax_params.allocate(arena);
          svg_softmax_params.struct_size(p, (int) p.byteSize());
          svg_softmax_params.heads(p, HEADS);
          svg_softmax_params.rows(p, ROWS);
          svg_softmax_params.width(p, DIM);
          svg_softmax_params.bias(p, memory);
          svg_softmax_params.bias_strides(p, 2, 1);
          tensor(svg_softmax_params.scores(p), memory);
          tensor(svg_softmax_params.out(p), output());
          return p;
        });
  }

  private Kernel gatherRows() {
    return new Kernel(
        Function.GATHER_ROWS,
        () -> {
          MemorySegment p = svg_gather_rows_params.allocate(arena);
          svg_gather_rows_params.struct_size(p, (int) p.byteSize());
          svg_gather_rows_params.table_rows(p, ROWS);
          svg_gather_rows_params.rows(p, ROWS);
          svg_gather_rows_params.width(p, DIM);
          svg_gather_rows_params.index_bytes(p, 8);
          svg_gather_rows_params.indices(p, memory);
          tensor(svg_gather_rows_params.table(p), memory);
          tensor(svg_gather_rows_params.out(p), output());
          return p;
        });
  }

  private Kernel patches() {
    return new Kernel(
        Function.PATCHIFY,
        () -> {
          MemorySegment p = svg_patchify_params.allocate(arena);
          svg_patchify_params.struct_size(p, (int) p.byteSize());
          svg_patchify_params.channels(p, 2);
          svg_patchify_params.frames(p, 1);
          svg_patchify_params.height(p, 4);
          svg_patchify_params.width(p, 4);
          svg_patchify_params.patch_frames(p, 1);
          svg_patchify_params.patch_height(p, 2);
          svg_patchify_params.patch_width(p, 2);
          svg_patchify_params.video(p, memory);
          svg_heads.data(svg_patchify_params.tokens(p), output());
          svg_heads.row_stride(svg_patchify_params.tokens(p), 8);
          return p;
        });
  }

  private Kernel colorBytes() {
    return new Kernel(
        Function.COLOR_BYTES,
        () -> {
          MemorySegment p = svg_color_bytes_params.allocate(arena);
          svg_color_bytes_params.struct_size(p, (int) p.byteSize());
          svg_color_bytes_params.frames(p, 2);
          svg_color_bytes_params.frame_size(p, 4);
          svg_color_bytes_params.x(p, memory);
          svg_color_bytes_params.out(p, output());
          svg_color_bytes_params.not_numbers(p, output());
          return p;
        });
  }

  private Kernel timesteps() {
    return new Kernel(
        Function.TIMESTEP_EMBEDDING,
        () -> {
          MemorySegment p = svg_timestep_embedding_params.allocate(arena);
          svg_timestep_embedding_params.struct_size(p, (int) p.byteSize());
          svg_timestep_embedding_params.rows(p, ROWS);
          svg_timestep_embedding_params.width(p, DIM);
          svg_timestep_embedding_params.scale(p, 1);
          svg_timestep_embedding_params.max_period(p, 10000);
          svg_timestep_embedding_params.timesteps(p, memory);
          tensor(svg_timestep_embedding_params.out(p), output());
          return p;
        });
  }

  private static void tensor(MemorySegment struct, MemorySegment data) {
    svg_heads.data(struct, data);
    svg_heads.head_stride(struct, ROWS * DIM);
    svg_heads.row_stride(struct, DIM);
  }

  private MemorySegment output() {
    return arena.allocate(1024, 64);
  }

  private MemorySegment ints(int... values) {
    return Tensors.ints(arena, values);
  }
}
