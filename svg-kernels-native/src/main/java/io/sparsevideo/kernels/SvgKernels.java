package io.sparsevideo.kernels;

import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaStream;
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
import io.sparsevideo.kernels.ffi.svg_copy_params;
import io.sparsevideo.kernels.ffi.svg_elementwise_params;
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
import io.sparsevideo.kernels.ffi.svg_view;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.ref.Reference;
import java.util.Arrays;
import java.util.Objects;

/**
 * Typed calls into one library of svg_kernels.h, on one stream. Thread-safe; on the host library a
 * call returns when its work is done.
 *
 * <p>Arguments that are arrays are contiguous native memory: indices, labels, sizes and flags are
 * 32-bit integers, maps are bytes, centroids and statistics 32-bit floats. Memory must stay open
 * during the call, and outputs must not overlap inputs, but for what a method says of working in
 * place.
 *
 * <p>Every call throws {@link KernelException} when shapes disagree, a segment is too small, not
 * native or of a closed arena (device memory has none: that it is freed is not noticed), or the
 * library refuses a value; the message names the function, the argument and the values. Outputs are
 * unspecified after that.
 */
public final class SvgKernels {

  private static SvgKernels host;

  private final KernelLibrary library;
  private final Launcher launcher;

  SvgKernels(KernelLibrary library, Launcher launcher) {
    this.library = Objects.requireNonNull(library, "library");
    this.launcher = launcher;
  }

  /**
   * The host library's kernels, shared by the process and loaded on first use.
   *
   * @throws KernelLoadException when the library cannot be loaded
   */
  public static synchronized SvgKernels host() {
    if (host == null) {
      host = on(KernelLibrary.load(KernelLibrary.Kind.HOST), MemorySegment.NULL);
    }
    return host;
  }

  /**
   * The CUDA library's kernels on a stream. Calls may come from any thread: the stream's context is
   * made current for each.
   *
   * @throws IllegalArgumentException when the library is not {@link KernelLibrary.Kind#CUDA}
   */
  public static SvgKernels on(KernelLibrary library, CudaStream stream) {
    Objects.requireNonNull(stream, "stream");
    if (library.kind() != KernelLibrary.Kind.CUDA) {
      throw new IllegalArgumentException("a CUDA stream needs the CUDA library, not " + library);
    }
    return new SvgKernels(
        library,
        (function, params) -> {
          MemorySegment address = MemorySegment.ofAddress(stream.address());
          try (CudaContext.Scope current = stream.context().enter()) {
            return library.bindings().call(function, params, address);
          }
        });
  }

  /**
   * A library's kernels on a stream that belongs to someone else, for example to another binding of
   * CUDA. For the CUDA library the stream's context must be current on every thread that calls.
   *
   * @param stream a {@code CUstream}, which is also a {@code cudaStream_t}, for the CUDA library;
   *     {@link MemorySegment#NULL} for the host library or CUDA's default stream
   */
  public static SvgKernels on(KernelLibrary library, MemorySegment stream) {
    Objects.requireNonNull(stream, "stream");
    return new SvgKernels(
        library, (function, params) -> library.bindings().call(function, params, stream));
  }

  /** Is there when kernels are called, to measure them for example. */
  @FunctionalInterface
  public interface CallObserver {
    /**
     * @param function the C function, {@code svg_kmeans} for example
     * @param call calls it; to be run once
     */
    void observe(String function, Runnable call);
  }

  /** The same kernels on the same stream, with an observer of every call. */
  public SvgKernels observedBy(CallObserver observer) {
    Objects.requireNonNull(observer, "observer");
    return new SvgKernels(
        library,
        (function, params) -> {
          Integer[] status = new Integer[1];
          observer.observe(function.symbol(), () -> status[0] = launcher.launch(function, params));
          if (status[0] == null) {
            throw new IllegalStateException(function.symbol() + " was observed, but not called");
          }
          return status[0];
        });
  }

  /** What can be done where a kernel's working memory has no room. */
  public interface MemoryRecovery {
    /** Frees what can be freed; the call is then repeated once. */
    void makeRoom();

    /**
     * @param use what had no room also then
     * @return the exception to throw
     */
    RuntimeException outOfMemory(String use, KernelException cause);
  }

  /** The same kernels on the same stream, with a second attempt where memory ran out. */
  public SvgKernels recoveringBy(MemoryRecovery recovery) {
    Objects.requireNonNull(recovery, "recovery");
    int outOfMemory = svg_kernels_h.SVG_OUT_OF_MEMORY();
    return new SvgKernels(
        library,
        (function, params) -> {
          int status = launcher.launch(function, params);
          if (status != outOfMemory) {
            return status;
          }
          recovery.makeRoom();
          status = launcher.launch(function, params);
          if (status == outOfMemory) {
            KernelException cause =
                new KernelException(
                    KernelException.Status.OUT_OF_MEMORY, library.bindings().lastError());
            throw recovery.outOfMemory("the working memory of " + function.symbol(), cause);
          }
          return status;
        });
  }

  public KernelLibrary library() {
    return library;
  }

  /**
   * Dense attention: out = softmax(scale · q kᵀ) v.
   *
   * @param q (H, Sq, D)
   * @param k (H, Sk, D)
   * @param v (H, Sk, D)
   * @param out (H, Sq, D), written
   * @param split 0, or the first row of a second group: rows and keys below it see only each other,
   *     and so do those from it on (Sq = Sk)
   * @param lse (H, Sq) floats, written: log-sum-exp of the scaled scores; or null
   */
  public void attentionDense(
      Heads q, Heads k, Heads v, Heads out, float scale, int split, MemorySegment lse) {
    attentionDense(q, k, v, out, scale, split, null, lse);
  }

  /**
   * The same with a length of the keys for every head, so that the rest may hold anything.
   *
   * @param kLengths (H), each 0 to Sk: no row of head h sees the keys from kLengths[h] on; or null
   *     for all keys. A row that sees no key becomes zeros, its log-sum-exp -infinity
   */
  public void attentionDense(
      Heads q,
      Heads k,
      Heads v,
      Heads out,
      float scale,
      int split,
      MemorySegment kLengths,
      MemorySegment lse) {
    Call call = new Call(Function.ATTENTION_DENSE);
    call.attention(q, k, v, out);
    if (kLengths != null) {
      call.input("kLengths", kLengths, 4, q.heads());
    }
    if (lse != null) {
      call.output("lse", lse, 4, q.heads(), q.rows());
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_attention_dense_params.allocate(arena);
      svg_attention_dense_params.struct_size(p, (int) svg_attention_dense_params.sizeof());
      svg_attention_dense_params.dtype(p, q.type().code());
      svg_attention_dense_params.heads(p, q.heads());
      svg_attention_dense_params.head_dim(p, q.headDim());
      svg_attention_dense_params.q_rows(p, q.rows());
      svg_attention_dense_params.k_rows(p, k.rows());
      svg_attention_dense_params.split(p, split);
      svg_attention_dense_params.scale(p, scale);
      set(svg_attention_dense_params.q(p), q);
      set(svg_attention_dense_params.k(p), k);
      set(svg_attention_dense_params.v(p), v);
      set(svg_attention_dense_params.out(p), out);
      svg_attention_dense_params.k_lengths(p, orNull(kLengths));
      svg_attention_dense_params.lse(p, orNull(lse));
      call.run(p, q, k, v, out, kLengths, lse);
    }
  }

  /**
   * SVG1's sparse call: attention under one band mask for all heads, see {@link BandMask}. Keys
   * that the mask rules out for a tile are never read.
   *
   * @param q (H, S, D); rows are video, then prompt, then padding tokens
   * @param k (H, S, D)
   * @param v (H, S, D)
   * @param out (H, S, D), written; a row that sees no key becomes zeros
   */
  public void attentionBand(Heads q, Heads k, Heads v, Heads out, float scale, BandMask mask) {
    Call call = new Call(Function.ATTENTION_BAND);
    call.attention(q, k, v, out);
    call.equal("k.rows", k.rows(), "q.rows", q.rows());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_attention_band_params.allocate(arena);
      svg_attention_band_params.struct_size(p, (int) svg_attention_band_params.sizeof());
      svg_attention_band_params.dtype(p, q.type().code());
      svg_attention_band_params.heads(p, q.heads());
      svg_attention_band_params.head_dim(p, q.headDim());
      svg_attention_band_params.rows(p, q.rows());
      svg_attention_band_params.video_rows(p, mask.videoRows());
      svg_attention_band_params.prompt_rows(p, mask.promptRows());
      svg_attention_band_params.sink_keys(p, mask.sinkKeys());
      svg_attention_band_params.half_width(p, mask.halfWidth());
      svg_attention_band_params.scale(p, scale);
      set(svg_attention_band_params.q(p), q);
      set(svg_attention_band_params.k(p), k);
      set(svg_attention_band_params.v(p), v);
      set(svg_attention_band_params.out(p), out);
      call.run(p, q, k, v, out);
    }
  }

  /**
   * SVG2's sparse call: variable-block attention over permuted rows. Query cluster i of head h is
   * rows [qOffsets[h][i], qOffsets[h][i + 1]), key clusters likewise. Clusters may be empty; key
   * clusters that the map drops are never read.
   *
   * @param q (H, Sq, D)
   * @param k (H, Sk, D)
   * @param v (H, Sk, D)
   * @param out (H, Sq, D), written; a row that sees no key becomes zeros
   * @param qOffsets (H, qClusters + 1) ints, ascending from 0 to Sq
   * @param kOffsets (H, kClusters + 1) ints, ascending from 0 to Sk
   * @param map (H, qClusters, kClusters) bytes: not 0 where the query cluster sees the key cluster
   */
  public void attentionBlocks(
      Heads q,
      Heads k,
      Heads v,
      Heads out,
      float scale,
      int qClusters,
      int kClusters,
      MemorySegment qOffsets,
      MemorySegment kOffsets,
      MemorySegment map) {
    Call call = new Call(Function.ATTENTION_BLOCKS);
    call.attention(q, k, v, out);
    call.positive("qClusters", qClusters);
    call.positive("kClusters", kClusters);
    call.input("qOffsets", qOffsets, 4, q.heads(), qClusters + 1L);
    call.input("kOffsets", kOffsets, 4, q.heads(), kClusters + 1L);
    call.input("map", map, 1, q.heads(), qClusters, kClusters);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_attention_blocks_params.allocate(arena);
      svg_attention_blocks_params.struct_size(p, (int) svg_attention_blocks_params.sizeof());
      svg_attention_blocks_params.dtype(p, q.type().code());
      svg_attention_blocks_params.heads(p, q.heads());
      svg_attention_blocks_params.head_dim(p, q.headDim());
      svg_attention_blocks_params.q_rows(p, q.rows());
      svg_attention_blocks_params.k_rows(p, k.rows());
      svg_attention_blocks_params.q_clusters(p, qClusters);
      svg_attention_blocks_params.k_clusters(p, kClusters);
      svg_attention_blocks_params.scale(p, scale);
      set(svg_attention_blocks_params.q(p), q);
      set(svg_attention_blocks_params.k(p), k);
      set(svg_attention_blocks_params.v(p), v);
      set(svg_attention_blocks_params.out(p), out);
      svg_attention_blocks_params.q_offsets(p, qOffsets);
      svg_attention_blocks_params.k_offsets(p, kOffsets);
      svg_attention_blocks_params.map(p, map);
      call.run(p, q, k, v, out, qOffsets, kOffsets, map);
    }
  }

  /**
   * SVG1's online profiling. For the sampled rows the exact output over all keys is compared with
   * the output under the spatial and under the temporal mask; per head the mask with the smaller
   * mean squared error wins (equal: spatial).
   *
   * <p>With b(i) = i div 128, spatial allows |b(q) − b(k)| &lt; {@code bandBlocks} between video
   * tokens, temporal is the same rule on indices p · F + f. Both allow the first {@code sinkKeys}
   * keys (the temporal mask in its own index space) and all context rows and columns.
   *
   * @param q (H, S, D)
   * @param k (H, S, D)
   * @param v (H, S, D)
   * @param layout of the S rows
   * @param samples number of sampled rows
   * @param sampledRows (samples) ints, each in [0, S), repeats allowed
   * @param mse (2, H) floats, written: spatial, then temporal
   * @param best (H) ints, written: 0 spatial, 1 temporal
   */
  public void profileHeads(
      Heads q,
      Heads k,
      Heads v,
      float scale,
      VideoLayout layout,
      int sinkKeys,
      int bandBlocks,
      int samples,
      MemorySegment sampledRows,
      MemorySegment mse,
      MemorySegment best) {
    Call call = new Call(Function.PROFILE_HEADS);
    call.sameHeads("k", k, q);
    call.sameHeads("v", v, q);
    call.open("q", q.data());
    call.open("k", k.data());
    call.open("v", v.data());
    call.equal("q.rows", q.rows(), "layout.rows", layout.rows());
    call.equal("k.rows", k.rows(), "layout.rows", layout.rows());
    call.equal("v.rows", v.rows(), "layout.rows", layout.rows());
    call.positive("samples", samples);
    call.input("sampledRows", sampledRows, 4, samples);
    call.output("mse", mse, 4, 2, q.heads());
    call.output("best", best, 4, q.heads());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_profile_heads_params.allocate(arena);
      svg_profile_heads_params.struct_size(p, (int) svg_profile_heads_params.sizeof());
      svg_profile_heads_params.dtype(p, q.type().code());
      svg_profile_heads_params.heads(p, q.heads());
      svg_profile_heads_params.head_dim(p, q.headDim());
      svg_profile_heads_params.rows(p, q.rows());
      svg_profile_heads_params.frames(p, layout.frames());
      svg_profile_heads_params.tokens_per_frame(p, layout.tokensPerFrame());
      svg_profile_heads_params.context_rows(p, layout.contextRows());
      svg_profile_heads_params.sink_keys(p, sinkKeys);
      svg_profile_heads_params.band_blocks(p, bandBlocks);
      svg_profile_heads_params.samples(p, samples);
      svg_profile_heads_params.scale(p, scale);
      set(svg_profile_heads_params.q(p), q);
      set(svg_profile_heads_params.k(p), k);
      set(svg_profile_heads_params.v(p), v);
      svg_profile_heads_params.sampled_rows(p, sampledRows);
      svg_profile_heads_params.mse(p, mse);
      svg_profile_heads_params.best(p, best);
      call.run(p, q, k, v, sampledRows, mse, best);
    }
  }

  /**
   * SVG1's layout transform. Heads whose flag is not 0 have their video rows reordered from
   * frame-major (f · P + p) to token-major (p · F + f), or back; other heads and all context rows
   * are copied.
   *
   * @param src (H, S, D)
   * @param dst (H, S, D), written; must not overlap {@code src}
   * @param layout of the S rows
   * @param transform (H) ints
   * @param inverse from token-major back to frame-major
   */
  public void videoLayout(
      Heads src, Heads dst, VideoLayout layout, MemorySegment transform, boolean inverse) {
    Call call = new Call(Function.VIDEO_LAYOUT);
    call.rows("src", src, "dst", dst);
    call.equal("src.rows", src.rows(), "layout.rows", layout.rows());
    call.input("transform", transform, 4, src.heads());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_video_layout_params.allocate(arena);
      svg_video_layout_params.struct_size(p, (int) svg_video_layout_params.sizeof());
      svg_video_layout_params.dtype(p, src.type().code());
      svg_video_layout_params.heads(p, src.heads());
      svg_video_layout_params.head_dim(p, src.headDim());
      svg_video_layout_params.rows(p, src.rows());
      svg_video_layout_params.frames(p, layout.frames());
      svg_video_layout_params.tokens_per_frame(p, layout.tokensPerFrame());
      svg_video_layout_params.inverse(p, inverse ? 1 : 0);
      set(svg_video_layout_params.src(p), src);
      set(svg_video_layout_params.dst(p), dst);
      svg_video_layout_params.transform(p, transform);
      call.run(p, src, dst, transform);
    }
  }

  /**
   * k-means, one problem per head (Euclidean). One iteration: every row gets its nearest centroid
   * (equal: lowest index), then every centroid becomes the mean of its rows; an empty cluster keeps
   * its centroid. Stops early when the largest centroid move over all clusters and heads is below
   * {@code tolerance}. Labels and sizes are those of the last assignment, centroids are after the
   * last update. Deterministic for a fixed input.
   *
   * @param x (H, S, D)
   * @param clusters K, at most S
   * @param iterations at least 1
   * @param tolerance Euclidean; 0 never stops early
   * @param initRows (H, K) ints, rows that become the initial centroids; or null to start from
   *     {@code centroids}
   * @param centroids (H, K, D) floats, read when {@code initRows} is null, written
   * @param labels (H, S) ints, written
   * @param sizes (H, K) ints, written
   * @param iterationsDone one int, written; or null
   */
  public void kmeans(
      Heads x,
      int clusters,
      int iterations,
      float tolerance,
      MemorySegment initRows,
      MemorySegment centroids,
      MemorySegment labels,
      MemorySegment sizes,
      MemorySegment iterationsDone) {
    kmeans(
        x,
        clusters,
        iterations,
        tolerance,
        initRows,
        0,
        false,
        centroids,
        labels,
        sizes,
        iterationsDone);
  }

  /**
   * k-means from distinct rows of each head that are drawn from a seed, otherwise like {@link
   * #kmeans(Heads, int, int, float, MemorySegment, MemorySegment, MemorySegment, MemorySegment,
   * MemorySegment)}. The draw runs where the kernels run; every library draws the same rows, which
   * {@code svg_kernels.h} defines.
   *
   * @param seed all 64 bits count
   * @param centroids (H, K, D) floats, written
   */
  public void kmeans(
      Heads x,
      int clusters,
      int iterations,
      float tolerance,
      long seed,
      MemorySegment centroids,
      MemorySegment labels,
      MemorySegment sizes,
      MemorySegment iterationsDone) {
    kmeans(
        x,
        clusters,
        iterations,
        tolerance,
        null,
        seed,
        true,
        centroids,
        labels,
        sizes,
        iterationsDone);
  }

  private void kmeans(
      Heads x,
      int clusters,
      int iterations,
      float tolerance,
      MemorySegment initRows,
      long seed,
      boolean drawRows,
      MemorySegment centroids,
      MemorySegment labels,
      MemorySegment sizes,
      MemorySegment iterationsDone) {
    Call call = new Call(Function.KMEANS);
    call.open("x", x.data());
    call.positive("clusters", clusters);
    if (initRows != null) {
      call.input("initRows", initRows, 4, x.heads(), clusters);
    }
    call.output("centroids", centroids, 4, x.heads(), clusters, x.headDim());
    call.output("labels", labels, 4, x.heads(), x.rows());
    call.output("sizes", sizes, 4, x.heads(), clusters);
    if (iterationsDone != null) {
      call.output("iterationsDone", iterationsDone, 4, 1);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_kmeans_params.allocate(arena);
      svg_kmeans_params.struct_size(p, (int) svg_kmeans_params.sizeof());
      svg_kmeans_params.dtype(p, x.type().code());
      svg_kmeans_params.heads(p, x.heads());
      svg_kmeans_params.rows(p, x.rows());
      svg_kmeans_params.head_dim(p, x.headDim());
      svg_kmeans_params.clusters(p, clusters);
      svg_kmeans_params.iterations(p, iterations);
      svg_kmeans_params.tolerance(p, tolerance);
      set(svg_kmeans_params.x(p), x);
      svg_kmeans_params.init_rows(p, orNull(initRows));
      svg_kmeans_params.seed(p, seed);
      svg_kmeans_params.draw_rows(p, drawRows ? 1 : 0);
      svg_kmeans_params.centroids(p, centroids);
      svg_kmeans_params.labels(p, labels);
      svg_kmeans_params.sizes(p, sizes);
      svg_kmeans_params.iterations_done(p, orNull(iterationsDone));
      call.run(p, x, initRows, centroids, labels, sizes, iterationsDone);
    }
  }

  /**
   * SVG2's block map. Per query cluster, softmax over key clusters of scale · q̄ · k̄, weighted by
   * key cluster size; clusters are kept in descending probability (equal: lowest index) while the
   * cumulative probability before them is at most {@code topP}, and at least {@code minKeep} of
   * them.
   *
   * @param heads H
   * @param headDim D
   * @param qClusters Q, without context clusters
   * @param kClusters K, without context clusters
   * @param contextClusters 0, or 2: a prompt cluster (index Q, resp. K) that sees and is seen by
   *     all but padding, and a padding cluster (index Q + 1, resp. K + 1) that sees only itself
   * @param minKeep least number of kept clusters, at most K
   * @param topP at least 0; 1 or more keeps every cluster
   * @param qCentroids (H, Q, D) floats
   * @param kCentroids (H, K, D) floats
   * @param kSizes (H, K) ints
   * @param map (H, Q + contextClusters, K + contextClusters) bytes, written: 0 or 1
   */
  public void blockMap(
      int heads,
      int headDim,
      int qClusters,
      int kClusters,
      int contextClusters,
      int minKeep,
      float topP,
      float scale,
      MemorySegment qCentroids,
      MemorySegment kCentroids,
      MemorySegment kSizes,
      MemorySegment map) {
    Call call = new Call(Function.BLOCK_MAP);
    call.positive("heads", heads);
    call.positive("headDim", headDim);
    call.positive("qClusters", qClusters);
    call.positive("kClusters", kClusters);
    call.notNegative("contextClusters", contextClusters);
    call.input("qCentroids", qCentroids, 4, heads, qClusters, headDim);
    call.input("kCentroids", kCentroids, 4, heads, kClusters, headDim);
    call.input("kSizes", kSizes, 4, heads, kClusters);
    call.output(
        "map",
        map,
        1,
        heads,
        (long) qClusters + contextClusters,
        (long) kClusters + contextClusters);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_block_map_params.allocate(arena);
      svg_block_map_params.struct_size(p, (int) svg_block_map_params.sizeof());
      svg_block_map_params.heads(p, heads);
      svg_block_map_params.head_dim(p, headDim);
      svg_block_map_params.q_clusters(p, qClusters);
      svg_block_map_params.k_clusters(p, kClusters);
      svg_block_map_params.context_clusters(p, contextClusters);
      svg_block_map_params.min_keep(p, minKeep);
      svg_block_map_params.top_p(p, topP);
      svg_block_map_params.scale(p, scale);
      svg_block_map_params.q_centroids(p, qCentroids);
      svg_block_map_params.k_centroids(p, kCentroids);
      svg_block_map_params.k_sizes(p, kSizes);
      svg_block_map_params.map(p, map);
      call.run(p, qCentroids, kCentroids, kSizes, map);
    }
  }

  /**
   * The share of a block map's pairs: per head, kept (query row, key row) pairs over all of them.
   * Only the first clusters count, so that padding, whose cluster is the last, need not.
   *
   * @param heads H
   * @param qClusters of the map, with context clusters
   * @param kClusters likewise
   * @param countedQ 1 to {@code qClusters}
   * @param countedK 1 to {@code kClusters}
   * @param qOffsets (H, qClusters + 1) ints, ascending from 0
   * @param kOffsets (H, kClusters + 1) ints, ascending from 0
   * @param map (H, qClusters, kClusters) bytes: not 0 where a pair is kept
   * @param density (H) floats, written; 1 where no rows count
   */
  public void blockDensity(
      int heads,
      int qClusters,
      int kClusters,
      int countedQ,
      int countedK,
      MemorySegment qOffsets,
      MemorySegment kOffsets,
      MemorySegment map,
      MemorySegment density) {
    Call call = new Call(Function.BLOCK_DENSITY);
    call.positive("heads", heads);
    call.positive("qClusters", qClusters);
    call.positive("kClusters", kClusters);
    call.input("qOffsets", qOffsets, 4, heads, qClusters + 1L);
    call.input("kOffsets", kOffsets, 4, heads, kClusters + 1L);
    call.input("map", map, 1, heads, qClusters, kClusters);
    call.output("density", density, 4, heads);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_block_density_params.allocate(arena);
      svg_block_density_params.struct_size(p, (int) svg_block_density_params.sizeof());
      svg_block_density_params.heads(p, heads);
      svg_block_density_params.q_clusters(p, qClusters);
      svg_block_density_params.k_clusters(p, kClusters);
      svg_block_density_params.counted_q(p, countedQ);
      svg_block_density_params.counted_k(p, countedK);
      svg_block_density_params.q_offsets(p, qOffsets);
      svg_block_density_params.k_offsets(p, kOffsets);
      svg_block_density_params.map(p, map);
      svg_block_density_params.density(p, density);
      call.run(p, qOffsets, kOffsets, map, density);
    }
  }

  /**
   * Stable counting sort of labels: {@code order} lists per head the rows of cluster 0, then those
   * of cluster 1, …, each ascending; {@code offsets[h][j]} is where cluster j starts, {@code
   * offsets[h][clusters]} is rows.
   *
   * @param contextClusters 0, or 2: then the offsets go on with the prompt cluster and the padding
   *     cluster, whose rows follow
   * @param promptRows 0 without context clusters
   * @param paddingRows 0 without context clusters
   * @param labels (H, rows) ints, each in [0, clusters)
   * @param order (H, rows) ints, written
   * @param offsets (H, clusters + contextClusters + 1) ints, written
   */
  public void sortLabels(
      int heads,
      int rows,
      int clusters,
      int contextClusters,
      int promptRows,
      int paddingRows,
      MemorySegment labels,
      MemorySegment order,
      MemorySegment offsets) {
    Call call = new Call(Function.SORT_LABELS);
    call.positive("heads", heads);
    call.positive("rows", rows);
    call.positive("clusters", clusters);
    call.input("labels", labels, 4, heads, rows);
    call.output("order", order, 4, heads, rows);
    call.output("offsets", offsets, 4, heads, clusters + contextClusters + 1L);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_sort_labels_params.allocate(arena);
      svg_sort_labels_params.struct_size(p, (int) svg_sort_labels_params.sizeof());
      svg_sort_labels_params.heads(p, heads);
      svg_sort_labels_params.rows(p, rows);
      svg_sort_labels_params.clusters(p, clusters);
      svg_sort_labels_params.context_clusters(p, contextClusters);
      svg_sort_labels_params.prompt_rows(p, promptRows);
      svg_sort_labels_params.padding_rows(p, paddingRows);
      svg_sort_labels_params.labels(p, labels);
      svg_sort_labels_params.order(p, order);
      svg_sort_labels_params.offsets(p, offsets);
      call.run(p, labels, order, offsets);
    }
  }

  /**
   * Permutation of the first rows: dst[h][i] = src[h][order[h][i]] for i below {@code
   * permutedRows}, or the inverse dst[h][order[h][i]] = src[h][i]; the other rows are copied.
   *
   * @param src (H, S, D)
   * @param dst (H, S, D), written; must not overlap {@code src}
   * @param permutedRows in [0, S]
   * @param order (H, permutedRows) ints, a permutation per head
   */
  public void permuteRows(
      Heads src, Heads dst, int permutedRows, MemorySegment order, boolean inverse) {
    Call call = new Call(Function.PERMUTE_ROWS);
    call.rows("src", src, "dst", dst);
    call.notNegative("permutedRows", permutedRows);
    call.input("order", order, 4, src.heads(), permutedRows);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_permute_rows_params.allocate(arena);
      svg_permute_rows_params.struct_size(p, (int) svg_permute_rows_params.sizeof());
      svg_permute_rows_params.dtype(p, src.type().code());
      svg_permute_rows_params.heads(p, src.heads());
      svg_permute_rows_params.head_dim(p, src.headDim());
      svg_permute_rows_params.rows(p, src.rows());
      svg_permute_rows_params.permuted_rows(p, permutedRows);
      svg_permute_rows_params.inverse(p, inverse ? 1 : 0);
      set(svg_permute_rows_params.src(p), src);
      set(svg_permute_rows_params.dst(p), dst);
      svg_permute_rows_params.order(p, order);
      call.run(p, src, dst, order);
    }
  }

  /**
   * RMSNorm over the last dimension: out = x / √(mean(x²) + epsilon) · weight.
   *
   * @param x (H, S, D), D at most 16384; heads are a batch, rows tokens
   * @param out (H, S, D), written; may be {@code x} itself
   * @param weight (D) of {@code weightType}; or null for ones
   * @param weightType ignored without weight
   * @param epsilon at least 0
   */
  public void rmsNorm(
      Heads x, Heads out, MemorySegment weight, KernelType weightType, float epsilon) {
    Call call = new Call(Function.RMS_NORM);
    call.rows("x", x, "out", out);
    call.weight("weight", weight, weightType, x.headDim());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_rms_norm_params.allocate(arena);
      svg_rms_norm_params.struct_size(p, (int) svg_rms_norm_params.sizeof());
      svg_rms_norm_params.dtype(p, x.type().code());
      svg_rms_norm_params.heads(p, x.heads());
      svg_rms_norm_params.rows(p, x.rows());
      svg_rms_norm_params.width(p, x.headDim());
      svg_rms_norm_params.weight_dtype(p, code(weightType));
      svg_rms_norm_params.epsilon(p, epsilon);
      set(svg_rms_norm_params.x(p), x);
      set(svg_rms_norm_params.out(p), out);
      svg_rms_norm_params.weight(p, orNull(weight));
      call.run(p, x, out, weight);
    }
  }

  /**
   * The Wan VAE's norm over channels: out = x / max(‖x‖, 1e-12) · √D · weight with ‖x‖ the
   * Euclidean norm of a row, followed by SiLU when asked for.
   *
   * @param x (H, S, D), D at most 16384; heads are a batch, rows pixels
   * @param out (H, S, D), written; may be {@code x} itself
   * @param weight (D) of {@code weightType}; or null for ones
   * @param weightType ignored without weight
   */
  public void channelNorm(
      Heads x, Heads out, MemorySegment weight, KernelType weightType, boolean silu) {
    Call call = new Call(Function.CHANNEL_NORM);
    call.rows("x", x, "out", out);
    call.weight("weight", weight, weightType, x.headDim());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_channel_norm_params.allocate(arena);
      svg_channel_norm_params.struct_size(p, (int) svg_channel_norm_params.sizeof());
      svg_channel_norm_params.dtype(p, x.type().code());
      svg_channel_norm_params.heads(p, x.heads());
      svg_channel_norm_params.rows(p, x.rows());
      svg_channel_norm_params.width(p, x.headDim());
      svg_channel_norm_params.weight_dtype(p, code(weightType));
      svg_channel_norm_params.silu(p, silu ? 1 : 0);
      set(svg_channel_norm_params.x(p), x);
      set(svg_channel_norm_params.out(p), out);
      svg_channel_norm_params.weight(p, orNull(weight));
      call.run(p, x, out, weight);
    }
  }

  /**
   * LayerNorm over the last dimension with what follows it in a transformer block: n = (x −
   * mean(x)) / √(var(x) + epsilon), then n · weight + bias where given, then n · (1 + scale) +
   * shift where given. The variance is the biased one.
   *
   * @param x (H, S, D), D at most 16384; heads are a batch, rows tokens
   * @param out (H, S, D), written; may be {@code x} itself
   * @param weight (D) of {@code weightType}; or null
   * @param bias (D) of {@code weightType}; or null
   * @param weightType ignored without weight and bias
   * @param scale (H, S, D), also {@link Heads#oneRow} and {@link Heads#rowPerHead}; or null
   * @param shift like {@code scale}, of the same type; or null
   * @param epsilon at least 0
   */
  public void layerNorm(
      Heads x,
      Heads out,
      MemorySegment weight,
      MemorySegment bias,
      KernelType weightType,
      Heads scale,
      Heads shift,
      float epsilon) {
    Call call = new Call(Function.LAYER_NORM);
    call.rows("x", x, "out", out);
    call.weight("weight", weight, weightType, x.headDim());
    call.weight("bias", bias, weightType, x.headDim());
    call.perChannel("scale", scale, x);
    call.perChannel("shift", shift, x);
    if (scale != null && shift != null && scale.type() != shift.type()) {
      throw call.refused("scale is %s, shift is %s".formatted(scale.type(), shift.type()));
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_layer_norm_params.allocate(arena);
      svg_layer_norm_params.struct_size(p, (int) svg_layer_norm_params.sizeof());
      svg_layer_norm_params.dtype(p, x.type().code());
      svg_layer_norm_params.heads(p, x.heads());
      svg_layer_norm_params.rows(p, x.rows());
      svg_layer_norm_params.width(p, x.headDim());
      svg_layer_norm_params.weight_dtype(p, code(weightType));
      Heads modulation = scale != null ? scale : shift;
      svg_layer_norm_params.modulation_dtype(p, modulation == null ? 0 : modulation.type().code());
      svg_layer_norm_params.epsilon(p, epsilon);
      set(svg_layer_norm_params.x(p), x);
      set(svg_layer_norm_params.out(p), out);
      svg_layer_norm_params.weight(p, orNull(weight));
      svg_layer_norm_params.bias(p, orNull(bias));
      setIfAny(svg_layer_norm_params.scale(p), scale);
      setIfAny(svg_layer_norm_params.shift(p), shift);
      call.run(p, x, out, weight, bias, scale, shift);
    }
  }

  /**
   * Gated residual: out = x + gate · y.
   *
   * @param x (H, S, D); heads are a batch, rows tokens
   * @param y (H, S, D)
   * @param gate (H, S, D), also {@link Heads#oneRow} and {@link Heads#rowPerHead}, of any type; or
   *     null for ones
   * @param out (H, S, D), written; may be {@code x} itself
   */
  public void gatedResidual(Heads x, Heads y, Heads gate, Heads out) {
    Call call = new Call(Function.GATED_RESIDUAL);
    call.rows("x", x, "out", out);
    call.input("y", y, "x", x);
    call.perChannel("gate", gate, x);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_gated_residual_params.allocate(arena);
      svg_gated_residual_params.struct_size(p, (int) svg_gated_residual_params.sizeof());
      svg_gated_residual_params.dtype(p, x.type().code());
      svg_gated_residual_params.heads(p, x.heads());
      svg_gated_residual_params.rows(p, x.rows());
      svg_gated_residual_params.width(p, x.headDim());
      svg_gated_residual_params.gate_dtype(p, gate == null ? 0 : gate.type().code());
      set(svg_gated_residual_params.x(p), x);
      set(svg_gated_residual_params.y(p), y);
      set(svg_gated_residual_params.out(p), out);
      setIfAny(svg_gated_residual_params.gate(p), gate);
      call.run(p, x, y, gate, out);
    }
  }

  /**
   * Rotary position embedding: pair i of row r becomes (a cos − b sin, b cos + a sin) with entry
   * [r][i] of the tables. Rows from {@code rotatedRows} on (a text tail) are copied.
   *
   * @param x (H, S, D), D even
   * @param out (H, S, D), written; may be {@code x} itself
   * @param rotatedRows in [0, S]
   * @param cosTable (rotatedRows, D / 2) floats; ignored when nothing is rotated
   * @param sinTable like {@code cosTable}
   */
  public void rope(
      Heads x,
      Heads out,
      RopePairs pairs,
      int rotatedRows,
      MemorySegment cosTable,
      MemorySegment sinTable) {
    Call call = new Call(Function.ROPE);
    call.rows("x", x, "out", out);
    call.tables(x, rotatedRows, cosTable, sinTable);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_rope_params.allocate(arena);
      svg_rope_params.struct_size(p, (int) svg_rope_params.sizeof());
      svg_rope_params.dtype(p, x.type().code());
      svg_rope_params.heads(p, x.heads());
      svg_rope_params.rows(p, x.rows());
      svg_rope_params.head_dim(p, x.headDim());
      svg_rope_params.pairs(p, pairs.code());
      svg_rope_params.rotated_rows(p, rotatedRows);
      set(svg_rope_params.x(p), x);
      set(svg_rope_params.out(p), out);
      svg_rope_params.cos_table(p, orNull(cosTable));
      svg_rope_params.sin_table(p, orNull(sinTable));
      call.run(p, x, out, cosTable, sinTable);
    }
  }

  /**
   * RMSNorm and rotary position embedding of queries or keys in one pass, see {@link #rmsNorm} and
   * {@link #rope}. A token-major {@code x} and a head-major {@code out} turn the layout as well. A
   * text tail is normalised but not rotated.
   *
   * @param x (H, S, D), D even
   * @param out (H, S, D), written; may be {@code x} itself
   * @param acrossHeads whether the norm is over all H · D channels of a row, not over each head's D
   * @param weight (D), or (H, D) across heads, of {@code weightType}; or null for ones
   * @param weightType ignored without weight
   * @param epsilon at least 0
   * @param rotatedRows in [0, S]
   * @param cosTable (rotatedRows, D / 2) floats; ignored when nothing is rotated
   * @param sinTable like {@code cosTable}
   */
  public void normRope(
      Heads x,
      Heads out,
      boolean acrossHeads,
      MemorySegment weight,
      KernelType weightType,
      float epsilon,
      RopePairs pairs,
      int rotatedRows,
      MemorySegment cosTable,
      MemorySegment sinTable) {
    normRope(
        x,
        out,
        acrossHeads,
        weight,
        weightType,
        epsilon,
        pairs,
        rotatedRows,
        cosTable,
        sinTable,
        0,
        null);
  }

  /**
   * The same with {@link #permuteRows} behind it, still in one pass: {@code out[h][i]} is what
   * becomes of {@code x[h][order[h][i]]}, turned by that row's angles. Rows from {@code
   * permutedRows} on stay where they are.
   *
   * @param out (H, S, D), written; must not overlap {@code x} when rows are permuted
   * @param permutedRows in [0, S]
   * @param order (H, permutedRows) ints, a permutation for each head; ignored when nothing is
   *     permuted
   */
  public void normRope(
      Heads x,
      Heads out,
      boolean acrossHeads,
      MemorySegment weight,
      KernelType weightType,
      float epsilon,
      RopePairs pairs,
      int rotatedRows,
      MemorySegment cosTable,
      MemorySegment sinTable,
      int permutedRows,
      MemorySegment order) {
    Call call = new Call(Function.NORM_ROPE);
    call.rows("x", x, "out", out);
    call.weight("weight", weight, weightType, acrossHeads ? x.heads() : 1, x.headDim());
    call.tables(x, rotatedRows, cosTable, sinTable);
    call.notNegative("permutedRows", permutedRows);
    if (permutedRows > 0) {
      call.input("order", order, 4, x.heads(), permutedRows);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_norm_rope_params.allocate(arena);
      svg_norm_rope_params.struct_size(p, (int) svg_norm_rope_params.sizeof());
      svg_norm_rope_params.dtype(p, x.type().code());
      svg_norm_rope_params.heads(p, x.heads());
      svg_norm_rope_params.rows(p, x.rows());
      svg_norm_rope_params.head_dim(p, x.headDim());
      svg_norm_rope_params.across_heads(p, acrossHeads ? 1 : 0);
      svg_norm_rope_params.weight_dtype(p, code(weightType));
      svg_norm_rope_params.pairs(p, pairs.code());
      svg_norm_rope_params.rotated_rows(p, rotatedRows);
      svg_norm_rope_params.epsilon(p, epsilon);
      set(svg_norm_rope_params.x(p), x);
      set(svg_norm_rope_params.out(p), out);
      svg_norm_rope_params.weight(p, orNull(weight));
      svg_norm_rope_params.cos_table(p, orNull(cosTable));
      svg_norm_rope_params.sin_table(p, orNull(sinTable));
      svg_norm_rope_params.permuted_rows(p, permutedRows);
      svg_norm_rope_params.order(p, orNull(order));
      call.run(p, x, out, weight, cosTable, sinTable, order);
    }
  }

  /**
   * out = activation(x + bias), converted to {@code out}'s type; with {@link Activation#IDENTITY}
   * and no bias, a cast.
   *
   * @param x (H, S, D); heads are a batch, rows tokens
   * @param out (H, S, D) of any type, written; may be {@code x} itself
   * @param bias (D) of {@code biasType}; or null
   * @param biasType ignored without bias
   */
  public void activation(
      Heads x, Heads out, Activation kind, MemorySegment bias, KernelType biasType) {
    Call call = new Call(Function.ACTIVATION);
    call.sameShape("out", out, x);
    call.open("x", x.data());
    call.open("out", out.data());
    call.writable("out", out.data());
    call.weight("bias", bias, biasType, x.headDim());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_activation_params.allocate(arena);
      svg_activation_params.struct_size(p, (int) svg_activation_params.sizeof());
      svg_activation_params.x_dtype(p, x.type().code());
      svg_activation_params.out_dtype(p, out.type().code());
      svg_activation_params.heads(p, x.heads());
      svg_activation_params.rows(p, x.rows());
      svg_activation_params.width(p, x.headDim());
      svg_activation_params.kind(p, kind.code());
      svg_activation_params.bias_dtype(p, code(biasType));
      set(svg_activation_params.x(p), x);
      set(svg_activation_params.out(p), out);
      svg_activation_params.bias(p, orNull(bias));
      call.run(p, x, out, bias);
    }
  }

  /**
   * out = softmax(scale · scores + bias) over the last dimension; a row of -infinity becomes zeros.
   *
   * @param scores (H, Sq, Sk) of {@link KernelType#F32}
   * @param bias of every score; or null
   * @param out (H, Sq, Sk) of any type, written; may be {@code scores} itself
   */
  public void softmax(Heads scores, float scale, ScoreBias bias, Heads out) {
    Call call = new Call(Function.SOFTMAX);
    if (scores.type() != KernelType.F32) {
      throw call.refused("scores must be F32, are " + scores);
    }
    call.sameShape("out", out, scores);
    call.open("scores", scores.data());
    call.open("out", out.data());
    call.writable("out", out.data());
    if (bias != null) {
      call.bias("bias", bias, scores);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_softmax_params.allocate(arena);
      svg_softmax_params.struct_size(p, (int) svg_softmax_params.sizeof());
      svg_softmax_params.dtype(p, out.type().code());
      svg_softmax_params.heads(p, scores.heads());
      svg_softmax_params.rows(p, scores.rows());
      svg_softmax_params.width(p, scores.headDim());
      svg_softmax_params.scale(p, scale);
      set(svg_softmax_params.scores(p), scores);
      set(svg_softmax_params.out(p), out);
      if (bias != null) {
        svg_softmax_params.bias_dtype(p, bias.type().code());
        svg_softmax_params.bias(p, bias.data().asSlice(bias.first() * bias.type().bytes()));
        svg_softmax_params.bias_strides(p, 0, bias.headStride());
        svg_softmax_params.bias_strides(p, 1, bias.rowStride());
        svg_softmax_params.bias_strides(p, 2, bias.columnStride());
      }
      call.run(p, scores, bias, out);
    }
  }

  /**
   * Rows of a table: out[i] = table[indices[i]], repeats allowed.
   *
   * @param table (1, R, C)
   * @param indices (S) rows of the table, 32-bit or 64-bit integers; one that is none is refused by
   *     the host library, and makes a row of zeros on a device, which nothing waits for
   * @param indexBytes 4 or 8
   * @param out (1, S, C) of the table's type, written
   */
  public void gatherRows(Heads table, MemorySegment indices, int indexBytes, Heads out) {
    Call call = new Call(Function.GATHER_ROWS);
    call.equal("table.heads", table.heads(), "the number expected", 1);
    call.sameHeads("out", out, table);
    call.open("table", table.data());
    call.open("out", out.data());
    call.writable("out", out.data());
    if (indexBytes != Integer.BYTES && indexBytes != Long.BYTES) {
      throw call.refused("indexBytes is " + indexBytes + ", expected 4 or 8");
    }
    call.input("indices", indices, indexBytes, out.rows());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_gather_rows_params.allocate(arena);
      svg_gather_rows_params.struct_size(p, (int) svg_gather_rows_params.sizeof());
      svg_gather_rows_params.dtype(p, table.type().code());
      svg_gather_rows_params.table_rows(p, table.rows());
      svg_gather_rows_params.rows(p, out.rows());
      svg_gather_rows_params.width(p, table.headDim());
      svg_gather_rows_params.index_bytes(p, indexBytes);
      set(svg_gather_rows_params.table(p), table);
      set(svg_gather_rows_params.out(p), out);
      svg_gather_rows_params.indices(p, indices);
      call.run(p, table, indices, out);
    }
  }

  /**
   * Sinusoidal embedding of timesteps: row r is sin(angle) for W / 2 frequencies, then cos of the
   * same angles; the last column of an odd width W is 0. Frequency i is exp(−ln(maxPeriod) · i / (W
   * / 2 − downscaleFreqShift)), its angle scale · timestep · frequency, in the public
   * implementation's order of 32-bit operations (diffusers, {@code Timesteps}).
   *
   * @param timesteps (S) floats
   * @param out (1, S, W), written; W at least 2
   * @param flipSinToCos cosines first
   * @param downscaleFreqShift less than W / 2
   * @param scale factor of all angles
   * @param maxPeriod above 0; 10,000 as a rule
   */
  public void timestepEmbedding(
      MemorySegment timesteps,
      Heads out,
      boolean flipSinToCos,
      float downscaleFreqShift,
      float scale,
      float maxPeriod) {
    Call call = new Call(Function.TIMESTEP_EMBEDDING);
    call.equal("out.heads", out.heads(), "the number expected", 1);
    call.input("timesteps", timesteps, 4, out.rows());
    call.open("out", out.data());
    call.writable("out", out.data());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_timestep_embedding_params.allocate(arena);
      svg_timestep_embedding_params.struct_size(p, (int) svg_timestep_embedding_params.sizeof());
      svg_timestep_embedding_params.dtype(p, out.type().code());
      svg_timestep_embedding_params.rows(p, out.rows());
      svg_timestep_embedding_params.width(p, out.headDim());
      svg_timestep_embedding_params.flip_sin_to_cos(p, flipSinToCos ? 1 : 0);
      svg_timestep_embedding_params.downscale_freq_shift(p, downscaleFreqShift);
      svg_timestep_embedding_params.scale(p, scale);
      svg_timestep_embedding_params.max_period(p, maxPeriod);
      svg_timestep_embedding_params.timesteps(p, timesteps);
      set(svg_timestep_embedding_params.out(p), out);
      call.run(p, timesteps, out);
    }
  }

  /**
   * Cuts a video into patches, one a token.
   *
   * @param video (C, F, height, width) of {@code tokens}' type, contiguous
   * @param tokens (1, {@link PatchGrid#tokens}, {@link PatchGrid#elements}), written
   * @param grid of patches
   */
  public void patchify(MemorySegment video, Heads tokens, PatchGrid grid) {
    Call call = new Call(Function.PATCHIFY);
    call.input("video", video, tokens.type().bytes(), grid.tokens(), grid.elements());
    call.open("tokens", tokens.data());
    call.writable("tokens", tokens.data());
    movePatches(call, video, tokens, grid, false);
  }

  /**
   * Puts a video together from its patches.
   *
   * @param tokens (1, {@link PatchGrid#tokens}, {@link PatchGrid#elements})
   * @param video (C, F, height, width) of {@code tokens}' type, contiguous, written
   * @param grid of patches
   */
  public void unpatchify(Heads tokens, MemorySegment video, PatchGrid grid) {
    Call call = new Call(Function.PATCHIFY);
    call.open("tokens", tokens.data());
    call.output("video", video, tokens.type().bytes(), grid.tokens(), grid.elements());
    movePatches(call, video, tokens, grid, true);
  }

  private void movePatches(
      Call call, MemorySegment video, Heads tokens, PatchGrid grid, boolean inverse) {
    call.equal("tokens.heads", tokens.heads(), "the number expected", 1);
    call.equal("tokens.rows", tokens.rows(), "grid.tokens", grid.tokens());
    call.equal("tokens.headDim", tokens.headDim(), "grid.elements", grid.elements());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_patchify_params.allocate(arena);
      svg_patchify_params.struct_size(p, (int) svg_patchify_params.sizeof());
      svg_patchify_params.dtype(p, tokens.type().code());
      svg_patchify_params.channels(p, grid.channels());
      svg_patchify_params.frames(p, grid.frames());
      svg_patchify_params.height(p, grid.height());
      svg_patchify_params.width(p, grid.width());
      svg_patchify_params.patch_frames(p, grid.patchFrames());
      svg_patchify_params.patch_height(p, grid.patchHeight());
      svg_patchify_params.patch_width(p, grid.patchWidth());
      svg_patchify_params.order(p, grid.order().code());
      svg_patchify_params.inverse(p, inverse ? 1 : 0);
      svg_patchify_params.video(p, video);
      set(svg_patchify_params.tokens(p), tokens);
      call.run(p, video, tokens);
    }
  }

  /**
   * Convolution of a clip with its channels last, in three dimensions or of every frame, plus what
   * is given of bias and residual. Sums are in 32 bits and rounded once, what is too large for fp16
   * to its largest number; weights that meet the same of repeated pixels may be added and rounded
   * so before.
   *
   * @param sizes of everything
   * @param type of all arrays
   * @param earlier (earlierFrames, Y, X, C), the clip's first frames; ignored when there are none
   * @param x (frames, Y, X, C), the frames that follow
   * @param weight (O, kernelFrames, kernelHeight, kernelWidth, C)
   * @param bias (O), or null
   * @param residual (outFrames, outHeight, outWidth, O), or null
   * @param out (outFrames, outHeight, outWidth, O), written
   */
  public void convolution(
      Convolution sizes,
      KernelType type,
      MemorySegment earlier,
      MemorySegment x,
      MemorySegment weight,
      MemorySegment bias,
      MemorySegment residual,
      MemorySegment out) {
    Call call = new Call(Function.CONVOLUTION);
    int bytes = type.bytes();
    long[] result = {sizes.outFrames(), sizes.outHeight(), sizes.outWidth(), sizes.outChannels()};
    MemorySegment before = sizes.earlierFrames() == 0 ? null : earlier;
    if (sizes.earlierFrames() > 0) {
      call.input(
          "earlier",
          earlier,
          bytes,
          sizes.earlierFrames(),
          sizes.height(),
          sizes.width(),
          sizes.channels());
    }
    call.input("x", x, bytes, sizes.frames(), sizes.height(), sizes.width(), sizes.channels());
    call.input(
        "weight",
        weight,
        bytes,
        sizes.outChannels(),
        sizes.kernelFrames(),
        sizes.kernelHeight(),
        sizes.kernelWidth(),
        sizes.channels());
    call.weight("bias", bias, type, sizes.outChannels());
    call.weight("residual", residual, type, result);
    call.output("out", out, bytes, result);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_convolution_params.allocate(arena);
      svg_convolution_params.struct_size(p, (int) svg_convolution_params.sizeof());
      svg_convolution_params.dtype(p, type.code());
      svg_convolution_params.frames(p, sizes.frames());
      svg_convolution_params.height(p, sizes.height());
      svg_convolution_params.width(p, sizes.width());
      svg_convolution_params.channels(p, sizes.channels());
      svg_convolution_params.earlier_frames(p, sizes.earlierFrames());
      svg_convolution_params.out_channels(p, sizes.outChannels());
      svg_convolution_params.kernel_frames(p, sizes.kernelFrames());
      svg_convolution_params.kernel_height(p, sizes.kernelHeight());
      svg_convolution_params.kernel_width(p, sizes.kernelWidth());
      svg_convolution_params.frame_stride(p, sizes.frameStride());
      svg_convolution_params.stride(p, sizes.stride());
      svg_convolution_params.repeat(p, sizes.repeat());
      svg_convolution_params.pad_top(p, sizes.padTop());
      svg_convolution_params.pad_bottom(p, sizes.padBottom());
      svg_convolution_params.pad_left(p, sizes.padLeft());
      svg_convolution_params.pad_right(p, sizes.padRight());
      svg_convolution_params.earlier(p, orNull(before));
      svg_convolution_params.x(p, x);
      svg_convolution_params.weight(p, weight);
      svg_convolution_params.bias(p, orNull(bias));
      svg_convolution_params.residual(p, orNull(residual));
      svg_convolution_params.out(p, out);
      call.run(p, before, x, weight, bias, residual, out);
    }
  }

  /**
   * Colours as bytes: −1 to 1 becomes 0 to 255, rounded half up; values beyond are clipped. What is
   * not a number becomes 0.
   *
   * @param x (frames, frameSize) of {@code type}
   * @param frames at most 65,535
   * @param frameSize values of a frame
   * @param out bytes (frames, frameSize), written
   * @param notNumbers (frames) how many values of each frame are not a number, written
   */
  public void colorBytes(
      MemorySegment x,
      KernelType type,
      int frames,
      int frameSize,
      MemorySegment out,
      MemorySegment notNumbers) {
    Call call = new Call(Function.COLOR_BYTES);
    call.positive("frames", frames);
    call.positive("frameSize", frameSize);
    call.input("x", x, type.bytes(), frames, frameSize);
    call.output("out", out, 1, frames, frameSize);
    call.output("notNumbers", notNumbers, 4, frames);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_color_bytes_params.allocate(arena);
      svg_color_bytes_params.struct_size(p, (int) svg_color_bytes_params.sizeof());
      svg_color_bytes_params.dtype(p, type.code());
      svg_color_bytes_params.frames(p, frames);
      svg_color_bytes_params.frame_size(p, frameSize);
      svg_color_bytes_params.x(p, x);
      svg_color_bytes_params.out(p, out);
      svg_color_bytes_params.not_numbers(p, notNumbers);
      call.run(p, x, out, notNumbers);
    }
  }

  /**
   * Copies bit by bit from any layout to any other: slices, concatenation, transposition,
   * broadcasting.
   *
   * @param src any strides, also 0
   * @param dst of the sizes and the element size of {@code src}, written; its elements must not
   *     overlap
   */
  public void copy(View src, View dst) {
    Call call = new Call(Function.COPY);
    call.view("src", src, src);
    call.view("dst", dst, src);
    call.writable("dst", dst.data());
    if (src.elementSize() != dst.elementSize()) {
      throw call.refused(
          "src has elements of %d bytes, dst of %d"
              .formatted(src.elementSize(), dst.elementSize()));
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_copy_params.allocate(arena);
      svg_copy_params.struct_size(p, (int) svg_copy_params.sizeof());
      svg_copy_params.element_size(p, src.elementSize());
      svg_copy_params.dims(p, src.dims());
      setSizes(svg_copy_params.sizes(p), src);
      set(svg_copy_params.src(p), src);
      set(svg_copy_params.dst(p), dst);
      call.run(p, src, dst);
    }
  }

  /**
   * out = x op y, in 32-bit arithmetic, rounded once to {@code out}'s type.
   *
   * @param x any strides, also 0
   * @param y of the sizes of {@code x}, any strides
   * @param out of the sizes of {@code x}, written; may be {@code x} or {@code y} itself
   */
  public void elementwise(
      Elementwise op,
      View x,
      KernelType xType,
      View y,
      KernelType yType,
      View out,
      KernelType outType) {
    Call call = new Call(Function.ELEMENTWISE);
    call.typed("y", y, yType, x);
    elementwise(call, op, x, xType, y, yType, 0, out, outType);
  }

  /**
   * out = x op scalar, in 32-bit arithmetic, rounded once to {@code out}'s type.
   *
   * @param x any strides, also 0
   * @param out of the sizes of {@code x}, written; may be {@code x} itself
   */
  public void elementwise(
      Elementwise op, View x, KernelType xType, float scalar, View out, KernelType outType) {
    elementwise(new Call(Function.ELEMENTWISE), op, x, xType, null, null, scalar, out, outType);
  }

  private void elementwise(
      Call call,
      Elementwise op,
      View x,
      KernelType xType,
      View y,
      KernelType yType,
      float scalar,
      View out,
      KernelType outType) {
    call.typed("x", x, xType, x);
    call.typed("out", out, outType, x);
    call.writable("out", out.data());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment p = svg_elementwise_params.allocate(arena);
      svg_elementwise_params.struct_size(p, (int) svg_elementwise_params.sizeof());
      svg_elementwise_params.op(p, op.code());
      svg_elementwise_params.dims(p, x.dims());
      svg_elementwise_params.x_dtype(p, xType.code());
      svg_elementwise_params.y_dtype(p, code(yType));
      svg_elementwise_params.out_dtype(p, outType.code());
      svg_elementwise_params.scalar(p, scalar);
      setSizes(svg_elementwise_params.sizes(p), x);
      set(svg_elementwise_params.x(p), x);
      if (y != null) {
        set(svg_elementwise_params.y(p), y);
      }
      set(svg_elementwise_params.out(p), out);
      call.run(p, x, y, out);
    }
  }

  private static void setSizes(MemorySegment sizes, View view) {
    for (int d = 0; d < view.dims(); d++) {
      sizes.setAtIndex(ValueLayout.JAVA_LONG, d, view.size(d));
    }
  }

  private static void set(MemorySegment struct, View view) {
    svg_view.data(struct, view.data());
    MemorySegment strides = svg_view.strides(struct);
    for (int d = 0; d < view.dims(); d++) {
      strides.setAtIndex(ValueLayout.JAVA_LONG, d, view.stride(d));
    }
  }

  private static void set(MemorySegment struct, Heads tensor) {
    svg_heads.data(struct, tensor.data());
    svg_heads.head_stride(struct, tensor.headStride());
    svg_heads.row_stride(struct, tensor.rowStride());
  }

  /** A tensor that may be null leaves the struct's null pointer. */
  private static void setIfAny(MemorySegment struct, Heads tensor) {
    if (tensor != null) {
      set(struct, tensor);
    }
  }

  /** A weight's type does not matter, and may be null, where there is no weight. */
  private static int code(KernelType type) {
    return type == null ? 0 : type.code();
  }

  private static MemorySegment orNull(MemorySegment segment) {
    return segment == null ? MemorySegment.NULL : segment;
  }

  /** Calls a kernel on the stream and returns its {@code svg_status}. */
  interface Launcher {
    int launch(Function function, MemorySegment params);
  }

  /**
   * One call of a kernel: what can only be checked in Java (that the memory is there, and that
   * tensors agree where the C struct holds a size once) and the answer's translation.
   */
  private final class Call {
    private final Function function;

    Call(Function function) {
      this.function = function;
    }

    void attention(Heads q, Heads k, Heads v, Heads out) {
      sameHeads("k", k, q);
      sameHeads("v", v, q);
      sameHeads("out", out, q);
      equal("v.rows", v.rows(), "k.rows", k.rows());
      equal("out.rows", out.rows(), "q.rows", q.rows());
      open("q", q.data());
      open("k", k.data());
      open("v", v.data());
      open("out", out.data());
      writable("out", out.data());
    }

    /** An input and an output of one shape and type. */
    void rows(String inName, Heads in, String outName, Heads out) {
      open(inName, in.data());
      input(outName, out, inName, in);
      writable(outName, out.data());
    }

    /** An input of the first tensor's shape and type. */
    void input(String name, Heads tensor, String firstName, Heads first) {
      sameHeads(name, tensor, first);
      equal(name + ".rows", tensor.rows(), firstName + ".rows", first.rows());
      open(name, tensor.data());
    }

    /** A tensor of another's shape and of any type, or null. */
    void perChannel(String name, Heads tensor, Heads first) {
      if (tensor == null) {
        return;
      }
      sameShape(name, tensor, first);
      open(name, tensor.data());
    }

    void sameShape(String name, Heads tensor, Heads first) {
      if (tensor.heads() != first.heads()
          || tensor.rows() != first.rows()
          || tensor.headDim() != first.headDim()) {
        throw refused(
            "%s is %s, which does not fit the shape of %s".formatted(name, tensor, first));
      }
    }

    /** An array of weights, or null. */
    void weight(String name, MemorySegment segment, KernelType type, long... shape) {
      if (segment == null) {
        return;
      }
      if (type == null) {
        throw refused(name + " has no type");
      }
      input(name, segment, type.bytes(), shape);
    }

    /** What is added to scores of the first tensor's shape. */
    void bias(String name, ScoreBias bias, Heads scores) {
      open(name, bias.data());
      if (!bias.data().isNative()) {
        throw refused(name + " must be native memory, is on the Java heap: " + bias.data());
      }
      if (!bias.covers(scores.heads(), scores.rows(), scores.headDim())) {
        throw refused("%s is %s, which does not hold that of %s".formatted(name, bias, scores));
      }
    }

    /** A view of the first one's sizes. */
    void view(String name, View view, View first) {
      open(name, view.data());
      if (!view.hasSizesOf(first)) {
        throw refused("%s is %s, which does not fit the sizes of %s".formatted(name, view, first));
      }
    }

    void typed(String name, View view, KernelType type, View first) {
      view(name, view, first);
      if (view.elementSize() != type.bytes()) {
        throw refused("%s is %s, which does not fit %s".formatted(name, view, type));
      }
    }

    void tables(Heads x, int rotatedRows, MemorySegment cosTable, MemorySegment sinTable) {
      notNegative("rotatedRows", rotatedRows);
      if (rotatedRows > 0) {
        input("cosTable", cosTable, 4, rotatedRows, x.headDim() / 2);
        input("sinTable", sinTable, 4, rotatedRows, x.headDim() / 2);
      }
    }

    void sameHeads(String name, Heads tensor, Heads first) {
      if (tensor.type() != first.type()
          || tensor.heads() != first.heads()
          || tensor.headDim() != first.headDim()) {
        throw refused(
            "%s is %s, which does not fit %s in type, heads or head dimension"
                .formatted(name, tensor, first));
      }
    }

    void equal(String name, int value, String otherName, int other) {
      if (value != other) {
        throw refused("%s is %d, %s is %d".formatted(name, value, otherName, other));
      }
    }

    void positive(String name, int value) {
      if (value < 1) {
        throw refused(name + " must be at least 1, is " + value);
      }
    }

    void notNegative(String name, int value) {
      if (value < 0) {
        throw refused(name + " must be at least 0, is " + value);
      }
    }

    void input(String name, MemorySegment segment, int bytesEach, long... shape) {
      if (segment == null) {
        throw refused(name + " is null");
      }
      open(name, segment);
      if (!segment.isNative()) {
        throw refused(name + " must be native memory, is on the Java heap: " + segment);
      }
      if (segment.address() % bytesEach != 0) {
        throw refused(
            "%s must start at a multiple of %d bytes, its address is 0x%x"
                .formatted(name, bytesEach, segment.address()));
      }
      String text = Arrays.toString(shape);
      long needed = bytesEach;
      try {
        for (long n : shape) {
          needed = Math.multiplyExact(needed, n);
        }
      } catch (ArithmeticException e) {
        throw refused(name + " of shape " + text + " is larger than any memory");
      }
      if (segment.byteSize() < needed) {
        throw refused(
            "%s of shape %s needs %d bytes, the memory has %d"
                .formatted(name, text, needed, segment.byteSize()));
      }
    }

    void output(String name, MemorySegment segment, int bytesEach, long... shape) {
      input(name, segment, bytesEach, shape);
      writable(name, segment);
    }

    /** Only the address goes to the library, so that the JVM's own checks are made here. */
    void open(String name, MemorySegment segment) {
      if (!segment.scope().isAlive()) {
        throw refused(name + " is memory of an arena that is closed");
      }
      if (!segment.isAccessibleBy(Thread.currentThread())) {
        throw refused(name + " is memory of an arena that is confined to another thread");
      }
    }

    void writable(String name, MemorySegment segment) {
      if (segment.isReadOnly()) {
        throw refused(name + " is written, but its memory is read-only");
      }
    }

    void run(MemorySegment params, Object... arguments) {
      int status = launcher.launch(function, params);
      for (Object argument : arguments) {
        // Memory of an automatic arena may otherwise go while the library still works on it.
        Reference.reachabilityFence(argument);
      }
      if (status != svg_kernels_h.SVG_OK()) {
        throw new KernelException(
            KernelException.Status.of(status), library.bindings().lastError());
      }
    }

    KernelException refused(String what) {
      return new KernelException(
          KernelException.Status.INVALID_ARGUMENT, function.symbol() + ": " + what);
    }
  }
}
