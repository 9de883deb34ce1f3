/*
 * svg_kernels.h: the C ABI of the sparse attention kernels.
 *
 * The header is built twice: libsvg_kernels_host.so (g++, OpenMP; pointers are host memory, the stream is ignored)
 * and libsvg_kernels_cuda.so (nvcc; pointers are device memory, the stream is a cudaStream_t). Both export the same
 * functions, and the host library is the oracle of the CUDA tests.
 *
 * Conventions
 *   - One params struct per function. struct_size must be sizeof(the struct); it catches a caller built against
 *     another version of this header.
 *   - Every function returns an svg_status. On failure svg_last_error() holds, for the calling thread, a message with
 *     the offending values. Functions never throw and never end the process; outputs are unspecified after a failure.
 *   - H heads, S rows (tokens), D head dimension, F latent frames, P tokens per latent frame, N video tokens = F * P.
 *   - A svg_heads is an (H, S, D) tensor whose last dimension is contiguous and whose heads and rows are strided, so
 *     that head-major (H, S, D) and token-major (S, H, D) buffers are both read in place. Strides count elements.
 *   - Token order of a sequence: video tokens frame by frame (token p of frame f is row f * P + p), then prompt
 *     tokens, then padding. "Context" is prompt plus padding.
 *   - Rows of outputs are written whole; a row that may see no key becomes zeros.
 *   - Sizes are at least 1 unless said otherwise, D at most 65,536.
 *   - What a function writes must not overlap what else it reads or writes; address ranges count, from the first to the
 *     last element.
 *   - Keys and values that no row may see are never read, so that padding may hold anything. A value (of v) that is
 *     not finite and that some rows see may spread to rows that are computed together with them.
 */
#ifndef SVG_KERNELS_H
#define SVG_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SVG_ABI_VERSION 3

#if defined(__GNUC__)
#define SVG_API __attribute__((visibility("default")))
#else
#define SVG_API
#endif

typedef enum svg_status {
  SVG_OK = 0,
  SVG_INVALID_ARGUMENT = 1, /* a shape, stride, pointer or option that the function refuses */
  SVG_UNSUPPORTED = 2,      /* valid, but this library or device has no implementation */
  SVG_OUT_OF_MEMORY = 3,
  SVG_DEVICE_ERROR = 4, /* the CUDA runtime reported an error */
  SVG_INTERNAL_ERROR = 5
} svg_status;

typedef enum svg_dtype { SVG_F32 = 0, SVG_F16 = 1, SVG_BF16 = 2 } svg_dtype;

typedef void* svg_stream;

typedef struct svg_heads {
  void* data;
  int64_t head_stride; /* elements from one head to the next, at least 0; 0 reads one head for all */
  int64_t row_stride;  /* elements from one row to the next, at least D */
} svg_heads;

/* The version this library was built with; callers compare it with SVG_ABI_VERSION. */
SVG_API int32_t svg_abi_version(void);

/* What was built, e.g. "host, openmp, 2 threads, x86-64-v4"; a static string. */
SVG_API const char* svg_build_info(void);

/* The message of the calling thread's last failed call; empty when none failed. Valid until its next call. */
SVG_API const char* svg_last_error(void);

/*
 * Dense attention: out = softmax(scale * q k^T) v.
 * split > 0 keeps two groups apart: rows and keys [0, split) see only each other, and so do those from split on
 * (needs q_rows == k_rows); 0 means one group. Where k_lengths is given, no row of head h sees the keys from
 * k_lengths[h] on.
 */
typedef struct svg_attention_dense_params {
  uint32_t struct_size;
  int32_t dtype; /* svg_dtype of q, k, v and out */
  int32_t heads;
  int32_t head_dim;
  int32_t q_rows;
  int32_t k_rows;
  int32_t split;
  float scale;
  svg_heads q, k, v, out;
  const int32_t* k_lengths; /* (H), each 0 to k_rows, or NULL: all keys */
  float* lse;               /* (H, q_rows) log-sum-exp of the scaled scores (-infinity: no key), or NULL */
} svg_attention_dense_params;
SVG_API int32_t svg_attention_dense(const svg_attention_dense_params* params, svg_stream stream);

/*
 * SVG1's sparse call: one band mask for all heads. With real = video_rows + prompt_rows, row q sees key k
 *   - both below real: if k < sink_keys, or |q - k| <= half_width, or k or q is a prompt token;
 *   - both from real on (padding): always;
 *   - otherwise: never.
 * half_width < 0 means no band. Key tiles that the mask rules out are never read.
 */
typedef struct svg_attention_band_params {
  uint32_t struct_size;
  int32_t dtype;
  int32_t heads;
  int32_t head_dim;
  int32_t rows; /* all tokens: video, prompt, padding */
  int32_t video_rows;
  int32_t prompt_rows;
  int32_t sink_keys;
  int32_t half_width;
  float scale;
  svg_heads q, k, v, out;
} svg_attention_band_params;
SVG_API int32_t svg_attention_band(const svg_attention_band_params* params, svg_stream stream);

/*
 * SVG2's sparse call: variable-block attention over permuted rows. Query cluster i of head h is rows
 * [q_offsets[h][i], q_offsets[h][i+1]), key clusters likewise; query cluster i sees key cluster j when map[h][i][j]
 * is not 0. Clusters may be empty. Key clusters that the map drops are never read.
 */
typedef struct svg_attention_blocks_params {
  uint32_t struct_size;
  int32_t dtype;
  int32_t heads;
  int32_t head_dim;
  int32_t q_rows;
  int32_t k_rows;
  int32_t q_clusters;
  int32_t k_clusters;
  float scale;
  svg_heads q, k, v, out;
  const int32_t* q_offsets; /* (H, q_clusters + 1), from 0 to q_rows, ascending */
  const int32_t* k_offsets; /* (H, k_clusters + 1), from 0 to k_rows, ascending */
  const uint8_t* map;       /* (H, q_clusters, k_clusters) */
} svg_attention_blocks_params;
SVG_API int32_t svg_attention_blocks(const svg_attention_blocks_params* params, svg_stream stream);

/*
 * SVG1's online profiling. For the sampled rows, the exact output over all keys is compared with the output under the
 * spatial and under the temporal mask; per head the mask with the smaller mean squared error wins (equal: spatial).
 * With b(i) = i / 128 and video tokens only: spatial allows |b(q) - b(k)| < band_blocks; temporal is the same rule on
 * indices p * F + f. Keys below sink_keys are allowed by both (the temporal mask: in its own index space). Context rows
 * and columns, padding included, are always allowed. A row whose mask is empty has output zero.
 */
typedef struct svg_profile_heads_params {
  uint32_t struct_size;
  int32_t dtype;
  int32_t heads;
  int32_t head_dim;
  int32_t rows; /* frames * tokens_per_frame + context_rows */
  int32_t frames;
  int32_t tokens_per_frame;
  int32_t context_rows;
  int32_t sink_keys;
  int32_t band_blocks;
  int32_t samples;
  float scale;
  svg_heads q, k, v;
  const int32_t* sampled_rows; /* (samples), each in [0, rows), repeats allowed */
  float* mse;                  /* out (2, H): spatial, temporal */
  int32_t* best;               /* out (H): 0 spatial, 1 temporal */
} svg_profile_heads_params;
SVG_API int32_t svg_profile_heads(const svg_profile_heads_params* params, svg_stream stream);

/*
 * SVG1's layout transform. Heads whose flag is not 0 have their video rows reordered from frame-major (f * P + p) to
 * token-major (p * F + f), or back when inverse is not 0; other heads and all context rows are copied.
 */
typedef struct svg_video_layout_params {
  uint32_t struct_size;
  int32_t dtype;
  int32_t heads;
  int32_t head_dim;
  int32_t rows;
  int32_t frames;
  int32_t tokens_per_frame;
  int32_t inverse;
  svg_heads src, dst;
  const int32_t* transform; /* (H) flags */
} svg_video_layout_params;
SVG_API int32_t svg_video_layout(const svg_video_layout_params* params, svg_stream stream);

/*
 * k-means, one problem per head (Euclidean). One iteration: every row gets its nearest centroid (equal: lowest index),
 * then every centroid becomes the mean of its rows in fp32; an empty cluster keeps its centroid. Stops early when the
 * largest centroid move over all clusters and heads is below tolerance. Labels and sizes are those of the last
 * assignment; centroids are after the last update. Deterministic for a fixed input.
 *
 * The initial centroids are the rows of init_rows; or, with draw_rows not 0, distinct rows drawn from seed; or what
 * centroids holds. Drawn are, for j in [0, clusters), p(j) of a permutation p of [0, rows) that depends on seed and
 * head only. With all numbers unsigned, arithmetic modulo 2^64, and
 *   mix(x):  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9, x = (x ^ x >> 27) * 0x94d049bb133111eb, x ^ x >> 31
 *   key      = mix(seed + (head + 1) * 0x9e3779b97f4a7c15)
 *   b        = the least integer of at least 1 with 2^(2 b) >= rows
 *   f(x):    left = x >> b, right = x mod 2^b;
 *            six times, with round = 0 ... 5:
 *              (left, right) = (right, left ^ (mix(key ^ (round << 32 | right)) mod 2^b));
 *            left << b | right
 * p(j) is the first of f(j), f(f(j)), ... that is below rows. Both libraries draw the same rows.
 */
typedef struct svg_kmeans_params {
  uint32_t struct_size;
  int32_t dtype; /* of x */
  int32_t heads;
  int32_t rows;
  int32_t head_dim;
  int32_t clusters;   /* at most rows */
  int32_t iterations; /* at least 1 */
  float tolerance;    /* Euclidean; 0 never stops early */
  svg_heads x;
  const int32_t* init_rows; /* (H, K) rows that become the initial centroids, or NULL */
  uint64_t seed;            /* of the drawn rows */
  int32_t draw_rows;        /* not 0: draw the initial rows; init_rows must be NULL */
  float* centroids;         /* (H, K, D) out; in when the initial centroids are not rows */
  int32_t* labels;          /* out (H, rows) */
  int32_t* sizes;           /* out (H, K) */
  int32_t* iterations_done; /* out (1), or NULL */
} svg_kmeans_params;
SVG_API int32_t svg_kmeans(const svg_kmeans_params* params, svg_stream stream);

/*
 * SVG2's block map. Per query cluster, softmax over key clusters of scale * q_centroid . k_centroid, weighted by key
 * cluster size; clusters are kept in descending probability (equal: lowest index) while the cumulative probability
 * before them is at most top_p, and at least min_keep of them. top_p >= 1 keeps every cluster.
 *
 * context_clusters 0 or 2: with 2 the map has one prompt cluster (index K, resp. Q) that sees and is seen by every
 * cluster except padding, and one padding cluster (index K + 1, resp. Q + 1) that sees only itself.
 */
typedef struct svg_block_map_params {
  uint32_t struct_size;
  int32_t heads;
  int32_t head_dim;
  int32_t q_clusters; /* Q, without context clusters */
  int32_t k_clusters; /* K, without context clusters */
  int32_t context_clusters;
  int32_t min_keep;
  float top_p;
  float scale;
  const float* q_centroids; /* (H, Q, D) */
  const float* k_centroids; /* (H, K, D) */
  const int32_t* k_sizes;   /* (H, K) */
  uint8_t* map;             /* out (H, Q + context_clusters, K + context_clusters), 0 or 1 */
} svg_block_map_params;
SVG_API int32_t svg_block_map(const svg_block_map_params* params, svg_stream stream);

/*
 * The share of a block map's pairs: density[h] = the sum over kept (i, j) of query rows of i * key rows of j, over all
 * query rows * key rows; of the first counted_q and counted_k clusters only, so that padding, whose cluster is the
 * last, need not count. 1 where these have no rows.
 */
typedef struct svg_block_density_params {
  uint32_t struct_size;
  int32_t heads;
  int32_t q_clusters; /* of the map, with context clusters */
  int32_t k_clusters;
  int32_t counted_q;        /* 1 to q_clusters */
  int32_t counted_k;        /* 1 to k_clusters */
  const int32_t* q_offsets; /* (H, q_clusters + 1), from 0, ascending */
  const int32_t* k_offsets; /* (H, k_clusters + 1), from 0, ascending */
  const uint8_t* map;       /* (H, q_clusters, k_clusters) */
  float* density;           /* out (H) */
} svg_block_density_params;
SVG_API int32_t svg_block_density(const svg_block_density_params* params, svg_stream stream);

/*
 * Stable counting sort of labels: order[h] lists the rows of cluster 0, then those of cluster 1, …, each ascending;
 * offsets[h][j] is where cluster j starts and offsets[h][K] is rows.
 *
 * context_clusters 0 or 2: with 2, the offsets go on with the prompt cluster [rows, rows + prompt_rows) and the padding
 * cluster [rows + prompt_rows, rows + prompt_rows + padding_rows), as the block map and the attention expect them;
 * with 0 both counts must be 0.
 */
typedef struct svg_sort_labels_params {
  uint32_t struct_size;
  int32_t heads;
  int32_t rows;
  int32_t clusters;
  int32_t context_clusters;
  int32_t prompt_rows;
  int32_t padding_rows;
  const int32_t* labels; /* (H, rows), each in [0, clusters) */
  int32_t* order;        /* out (H, rows) */
  int32_t* offsets;      /* out (H, clusters + context_clusters + 1) */
} svg_sort_labels_params;
SVG_API int32_t svg_sort_labels(const svg_sort_labels_params* params, svg_stream stream);

/*
 * Permutation of rows: dst[h][i] = src[h][order[h][i]] for i < permuted_rows, or the inverse
 * dst[h][order[h][i]] = src[h][i]; rows from permuted_rows on are copied.
 */
typedef struct svg_permute_rows_params {
  uint32_t struct_size;
  int32_t dtype;
  int32_t heads;
  int32_t head_dim;
  int32_t rows;
  int32_t permuted_rows;
  int32_t inverse;
  svg_heads src, dst;
  const int32_t* order; /* (H, permuted_rows), a permutation per head */
} svg_permute_rows_params;
SVG_API int32_t svg_permute_rows(const svg_permute_rows_params* params, svg_stream stream);

/*
 * The functions from here on work on row tensors: a svg_heads whose heads are a batch (1 for a plain matrix), whose
 * rows are tokens and whose width is the number of contiguous channels. They compute in fp32 and round once. A tensor
 * that is read per channel (a gate, a shift) may have strides of 0: one row for all tokens, or for the whole batch.
 * out may be x itself (same pointer and strides); any other overlap of an output is refused.
 */

/* out = x / sqrt(mean(x^2) + epsilon) * weight, over the last dimension. */
typedef struct svg_rms_norm_params {
  uint32_t struct_size;
  int32_t dtype; /* of x and out */
  int32_t heads;
  int32_t rows;
  int32_t width; /* 1 to 16384 */
  int32_t weight_dtype;
  float epsilon;
  svg_heads x, out;
  const void* weight; /* (width), or NULL for ones */
} svg_rms_norm_params;
SVG_API int32_t svg_rms_norm(const svg_rms_norm_params* params, svg_stream stream);

/*
 * The Wan VAE's norm over channels: out = x / max(|x|, 1e-12) * sqrt(width) * gamma with |x| the Euclidean norm of a
 * row, followed by x / (1 + exp(-x)) where silu is not 0.
 */
typedef struct svg_channel_norm_params {
  uint32_t struct_size;
  int32_t dtype; /* of x and out */
  int32_t heads;
  int32_t rows;
  int32_t width; /* 1 to 16384 */
  int32_t weight_dtype;
  int32_t silu;
  svg_heads x, out;
  const void* weight; /* gamma (width), or NULL for ones */
} svg_channel_norm_params;
SVG_API int32_t svg_channel_norm(const svg_channel_norm_params* params, svg_stream stream);

/*
 * n = (x - mean(x)) / sqrt(var(x) + epsilon), then n * weight + bias where given, then n * (1 + scale) + shift where
 * given. The variance is the biased one.
 */
typedef struct svg_layer_norm_params {
  uint32_t struct_size;
  int32_t dtype; /* of x and out */
  int32_t heads;
  int32_t rows;
  int32_t width;            /* 1 to 16384 */
  int32_t weight_dtype;     /* of weight and bias */
  int32_t modulation_dtype; /* of scale and shift */
  float epsilon;
  svg_heads x, out;
  const void* weight;     /* (width), or NULL */
  const void* bias;       /* (width), or NULL */
  svg_heads scale, shift; /* (heads, rows, width) with strides that may be 0; data NULL for none */
} svg_layer_norm_params;
SVG_API int32_t svg_layer_norm(const svg_layer_norm_params* params, svg_stream stream);

/* out = x + gate * y. */
typedef struct svg_gated_residual_params {
  uint32_t struct_size;
  int32_t dtype; /* of x, y and out */
  int32_t heads;
  int32_t rows;
  int32_t width;
  int32_t gate_dtype;
  svg_heads x, y, out;
  svg_heads gate; /* (heads, rows, width) with strides that may be 0; data NULL for ones */
} svg_gated_residual_params;
SVG_API int32_t svg_gated_residual(const svg_gated_residual_params* params, svg_stream stream);

typedef enum svg_rope_pairs {
  SVG_ROPE_INTERLEAVED = 0, /* channels 2i and 2i + 1 turn together */
  SVG_ROPE_HALVES = 1       /* channels i and i + D / 2 turn together */
} svg_rope_pairs;

/*
 * Rotary position embedding: pair i of row r becomes (a cos - b sin, b cos + a sin) with the tables' entry [r][i].
 * Rows from rotated_rows on (a text tail) are copied.
 */
typedef struct svg_rope_params {
  uint32_t struct_size;
  int32_t dtype; /* of x and out */
  int32_t heads;
  int32_t rows;
  int32_t head_dim;
  int32_t pairs; /* svg_rope_pairs */
  int32_t rotated_rows;
  svg_heads x, out;
  const float* cos_table; /* (rotated_rows, D / 2) */
  const float* sin_table; /* (rotated_rows, D / 2) */
} svg_rope_params;
SVG_API int32_t svg_rope(const svg_rope_params* params, svg_stream stream);

/*
 * RMSNorm and RoPE of queries or keys in one pass. The norm is over each head's D channels with a weight (D), or with
 * across_heads not 0 over all H * D channels of a row with a weight (H, D). x and out are (H, rows, D) views, so a
 * token-major x and a head-major out turn the layout in the same pass; in place only when both views are the same.
 * With an order the result is permuted too, as svg_permute_rows does: out[h][i] is what becomes of x[h][order[h][i]],
 * with that row's angles, for i < permuted_rows; later rows stay where they are. Then out must not be x.
 */
typedef struct svg_norm_rope_params {
  uint32_t struct_size;
  int32_t dtype; /* of x and out */
  int32_t heads;
  int32_t rows;
  int32_t head_dim;
  int32_t across_heads;
  int32_t weight_dtype;
  int32_t pairs; /* svg_rope_pairs */
  int32_t rotated_rows;
  float epsilon;
  svg_heads x, out;
  const void* weight;     /* (D) or (H, D), or NULL for ones */
  const float* cos_table; /* (rotated_rows, D / 2) */
  const float* sin_table; /* (rotated_rows, D / 2) */
  int32_t permuted_rows;  /* 0 to rows; 0 for no permutation, and order is ignored */
  const int32_t* order;   /* (H, permuted_rows), a permutation per head */
} svg_norm_rope_params;
SVG_API int32_t svg_norm_rope(const svg_norm_rope_params* params, svg_stream stream);

typedef enum svg_activation_kind {
  SVG_IDENTITY = 0,
  SVG_GELU_TANH = 1, /* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) */
  SVG_SILU = 2       /* x / (1 + exp(-x)) */
} svg_activation_kind;

/* out = activation(x + bias), converted to out's type; with SVG_IDENTITY and no bias, a cast. */
typedef struct svg_activation_params {
  uint32_t struct_size;
  int32_t x_dtype;
  int32_t out_dtype;
  int32_t heads;
  int32_t rows;
  int32_t width;
  int32_t kind; /* svg_activation_kind */
  int32_t bias_dtype;
  svg_heads x, out;
  const void* bias; /* (width), or NULL */
} svg_activation_params;
SVG_API int32_t svg_activation(const svg_activation_params* params, svg_stream stream);

/*
 * out = softmax(scale * scores + bias) over the last dimension, in fp32. A row of -infinity becomes zeros.
 * The bias of score [h][r][c] is bias[h * bias_strides[0] + r * bias_strides[1] + c * bias_strides[2]]. Strides may be
 * 0, for a bias that several scores share, or negative: a bias by relative position has -1 and 1 for rows and columns.
 */
typedef struct svg_softmax_params {
  uint32_t struct_size;
  int32_t dtype; /* of out */
  int32_t heads;
  int32_t rows;
  int32_t width; /* scores of a row */
  int32_t bias_dtype;
  float scale;
  svg_heads scores; /* f32 */
  svg_heads out;    /* may be scores itself if it is f32 */
  const void* bias; /* that of score [0][0][0], or NULL */
  int64_t bias_strides[3];
} svg_softmax_params;
SVG_API int32_t svg_softmax(const svg_softmax_params* params, svg_stream stream);

/*
 * out[i] = table[indices[i]]: rows of a table, repeats allowed. An index that is no row of the table is refused by the
 * host library; the CUDA library, which would have to wait to see it, makes its row zeros.
 */
typedef struct svg_gather_rows_params {
  uint32_t struct_size;
  int32_t dtype; /* of table and out */
  int32_t table_rows;
  int32_t rows;
  int32_t width;
  int32_t index_bytes; /* 4 or 8: int32_t or int64_t */
  svg_heads table;     /* one head */
  svg_heads out;       /* one head */
  const void* indices; /* (rows) */
} svg_gather_rows_params;
SVG_API int32_t svg_gather_rows(const svg_gather_rows_params* params, svg_stream stream);

/*
 * Sinusoidal embedding of timesteps, as diffusers' Timesteps. With half = width / 2 (rounded down), row r of out is
 * sin(angle_i) for i in [0, half), then cos(angle_i), or with flip_sin_to_cos not 0 the other way round; the last
 * column of an odd width is 0.
 *   frequency_i = exp(-ln(max_period) * i / (half - downscale_freq_shift))
 *   angle_i     = scale * (timesteps[r] * frequency_i)
 * Every operation is rounded to fp32, in this order: at timestep 999 the last bit of a frequency turns an angle by
 * 6e-5, so another order would not repeat the public implementation's numbers.
 */
typedef struct svg_timestep_embedding_params {
  uint32_t struct_size;
  int32_t dtype; /* of out */
  int32_t rows;
  int32_t width; /* at least 2 */
  int32_t flip_sin_to_cos;
  float downscale_freq_shift; /* less than width / 2 */
  float scale;
  float max_period;       /* above 0 */
  const float* timesteps; /* (rows) */
  svg_heads out;          /* one head */
} svg_timestep_embedding_params;
SVG_API int32_t svg_timestep_embedding(const svg_timestep_embedding_params* params, svg_stream stream);

/* The order of a patch's elements within its token; c channel, t frame, h row, w column, the last one contiguous. */
typedef enum svg_patch_order {
  SVG_PATCH_CTHW = 0, /* a convolution's weight: inputs of Wan, HunyuanVideo and Cosmos, output of HunyuanVideo */
  SVG_PATCH_THWC = 1, /* output of Wan */
  SVG_PATCH_HWTC = 2  /* output of Cosmos */
} svg_patch_order;

/*
 * Cuts a video into patches, or with inverse not 0 puts it together. Token (f, y, x) of the (frames / patch_frames,
 * height / patch_height, width / patch_width) grid, counted in that order, holds all channels of its patch.
 */
typedef struct svg_patchify_params {
  uint32_t struct_size;
  int32_t dtype; /* of video and tokens */
  int32_t channels;
  int32_t frames; /* a multiple of patch_frames, and so on */
  int32_t height;
  int32_t width;
  int32_t patch_frames;
  int32_t patch_height;
  int32_t patch_width;
  int32_t order; /* svg_patch_order */
  int32_t inverse;
  void* video;      /* (channels, frames, height, width) */
  svg_heads tokens; /* one head; rows of channels * patch_frames * patch_height * patch_width */
} svg_patchify_params;
SVG_API int32_t svg_patchify(const svg_patchify_params* params, svg_stream stream);

/*
 * Convolution of a clip with its channels last, in three dimensions or, with kernel_frames 1, of every frame:
 *   out[t][y][x][o] = bias[o] + residual[t][y][x][o] + the sum over dt, dy, dx and c of weight[o][dt][dy][dx][c]
 *     * clip[t * frame_stride + dt][y * stride + dy - pad_top][x * stride + dx - pad_left][c]
 * summed in fp32 and rounded once; what is too large for fp16 becomes its largest number. The clip is the frames of
 * earlier, then those of x, so that a causal convolution need not copy them together; what lies outside of a frame is
 * zero, and no frames are added. With repeat above 1, every pixel of the clip stands for repeat x repeat equal ones
 * (nearest upsampling); weights that meet the same pixel may then be added first and rounded to dtype. All sizes of out
 * round down: (earlier_frames + frames - kernel_frames) / frame_stride + 1 frames of (height * repeat + pad_top +
 * pad_bottom - kernel_height) / stride + 1 rows, and columns likewise.
 */
typedef struct svg_convolution_params {
  uint32_t struct_size;
  int32_t dtype;                           /* of all arrays */
  int32_t frames, height, width, channels; /* of x */
  int32_t earlier_frames;                  /* at least 0 */
  int32_t out_channels;
  int32_t kernel_frames, kernel_height, kernel_width;
  int32_t frame_stride;
  int32_t stride;                                   /* of rows and columns */
  int32_t repeat;                                   /* of rows and columns; 1 for a clip as it is */
  int32_t pad_top, pad_bottom, pad_left, pad_right; /* 0 to 65535 each */
  const void* earlier;  /* (earlier_frames, height, width, channels); ignored without such frames */
  const void* x;        /* (frames, height, width, channels) */
  const void* weight;   /* (out_channels, kernel_frames, kernel_height, kernel_width, channels) */
  const void* bias;     /* (out_channels), or NULL */
  const void* residual; /* like out, or NULL */
  void* out;
} svg_convolution_params;
SVG_API int32_t svg_convolution(const svg_convolution_params* params, svg_stream stream);

/*
 * Colours as bytes: out = (min(max(x, -1), 1) + 1) * 127.5, rounded half up. A value that is not a number becomes 0,
 * and is counted for its frame.
 */
typedef struct svg_color_bytes_params {
  uint32_t struct_size;
  int32_t dtype;        /* of x */
  int32_t frames;       /* at most 65535 */
  int32_t frame_size;   /* values of a frame */
  const void* x;        /* (frames, frame_size) */
  uint8_t* out;         /* (frames, frame_size) */
  int32_t* not_numbers; /* (frames), written */
} svg_color_bytes_params;
SVG_API int32_t svg_color_bytes(const svg_color_bytes_params* params, svg_stream stream);

/*
 * The functions from here on work on views of any layout: sizes are the function's, strides count elements and are at
 * least 0. What is read may have strides of 0 (broadcasting); what is written must not overlap itself.
 */
#define SVG_MAX_DIMS 8

typedef struct svg_view {
  void* data;
  int64_t strides[SVG_MAX_DIMS];
} svg_view;

/* dst[i] = src[i], bit by bit: slices, concatenation, transposition, broadcasting. */
typedef struct svg_copy_params {
  uint32_t struct_size;
  int32_t element_size; /* bytes: 1, 2, 4 or 8 */
  int32_t dims;         /* 1 to SVG_MAX_DIMS */
  int64_t sizes[SVG_MAX_DIMS];
  svg_view src, dst;
} svg_copy_params;
SVG_API int32_t svg_copy(const svg_copy_params* params, svg_stream stream);

typedef enum svg_elementwise_op {
  SVG_ADD = 0,
  SVG_SUBTRACT = 1,
  SVG_MULTIPLY = 2,
  SVG_DIVIDE = 3,
  SVG_MINIMUM = 4, /* NaN where either is */
  SVG_MAXIMUM = 5  /* likewise */
} svg_elementwise_op;

/*
 * out = x op y, or x op scalar where y.data is NULL; computed in fp32 and rounded once to out's type. out may be x or y
 * itself (same pointer, strides and type).
 */
typedef struct svg_elementwise_params {
  uint32_t struct_size;
  int32_t op; /* svg_elementwise_op */
  int32_t dims;
  int32_t x_dtype, y_dtype, out_dtype;
  float scalar;
  int64_t sizes[SVG_MAX_DIMS];
  svg_view x, y, out;
} svg_elementwise_params;
SVG_API int32_t svg_elementwise(const svg_elementwise_params* params, svg_stream stream);

#ifdef __cplusplus
}
#endif

#endif /* SVG_KERNELS_H */
