// Arguments that are wrong, which every function refuses.
#include "checks.h"

namespace lab {
namespace {

/// What a field of a params struct holds, and so how it can be wrong.
enum FieldKind {
  kCount,
  kZeroOrMore,
  kEnum,
  kNumber,
  kTensor,
  kTensorOut,
  kArray,
  kArrayOut,
  kBytes,
  kBytesOut,
  kOptional
};

struct Field {
  const char* name;
  size_t offset;
  FieldKind kind;
};

template <class T, class P>
T& in(P& params, const Field& field) {
  return *reinterpret_cast<T*>(reinterpret_cast<char*>(&params) + field.offset);
}

/// The pointer of an array or a tensor, which is its first member.
template <class T, class P>
T*& at(P& params, const Field& field) {
  return in<T*>(params, field);
}

/// Tries every field of a call that is otherwise fine.
template <class P>
void spoil_each(Checker& check, const char* name, const std::function<void(P&)>& set,
                const std::vector<Field>& fields) {
  constexpr size_t kRoom = 32768;
  Array memory(kRoom * (fields.size() + 1));
  std::memset(memory.at(Side::kHost), 0, memory.bytes());
  memory.upload();
  const auto make = [&](Side side) {
    P p{};
    p.struct_size = sizeof p;
    set(p);
    for (size_t i = 0; i < fields.size(); i++) {
      char* const data = memory.at<char>(side) + i * kRoom;
      if (fields[i].kind == kTensor || fields[i].kind == kTensorOut) {
        in<svg_heads>(p, fields[i]) = {data, 64 * 32, 32};
      } else if (fields[i].kind >= kArray) {
        in<void*>(p, fields[i]) = data;
      }
    }
    return p;
  };
  check.expect(check.libraries.cuda.call(name, make(Side::kDevice)) == SVG_OK, check.libraries.cuda.error());

  const auto refuse = [&](const std::string& text, const std::function<void(P&)>& spoil) {
    std::string messages[2];
    for (Side side : {Side::kHost, Side::kDevice}) {
      P p = make(side);
      spoil(p);
      const Library& library = side == Side::kHost ? check.libraries.host : check.libraries.cuda;
      const int32_t status = library.call(name, p);
      messages[int(side)] = library.error();
      check.expect(status == SVG_INVALID_ARGUMENT && library.error().find(text) != std::string::npos,
                   format("%s should refuse '%s', but answers %d with ", name, text.c_str(), status) + library.error());
    }
    // Both name the same value; bounds may differ, and so do addresses.
    const auto shown = [](const std::string& message) { return message.substr(0, message.find(", expected")); };
    const bool address = messages[0].find("0x") != std::string::npos;
    check.expect(address || shown(messages[0]) == shown(messages[1]), messages[0] + " | " + messages[1]);
  };
  const Library* const libraries[] = {&check.libraries.host, &check.libraries.cuda};
  for (const Library* library : libraries) {
    check.expect(library->call_null(name) == SVG_INVALID_ARGUMENT &&
                     library->error().find("params is null") != std::string::npos,
                 format("%s should refuse null params", name));
  }
  refuse("struct_size is", [](P& p) { p.struct_size -= 4; });
  const Field* input = nullptr;
  for (const Field& f : fields) {
    const auto value = [&](const char* text) { return std::string(f.name) + text; };
    const auto number = [&](int32_t n) { refuse(f.name + format(" is %d", n), [&](P& p) { in<int32_t>(p, f) = n; }); };
    switch (f.kind) {
      case kCount:
        number(0);
        [[fallthrough]];
      case kZeroOrMore:
        number(-5);
        break;
      case kEnum:
        // A type is named for what it is of, or just dtype.
        if (std::string(f.name).find("dtype") == std::string::npos) {
          number(-1);
          number(99);
        } else {
          refuse("dtype is 3", [&](P& p) { in<int32_t>(p, f) = 3; });
        }
        break;
      case kNumber:
        refuse(value(" is nan"), [&](P& p) { in<float>(p, f) = NAN; });
        break;
      case kTensor:
      case kTensorOut:
        refuse(value(".data is null"), [&](P& p) { in<svg_heads>(p, f).data = nullptr; });
        refuse(value(".data is 0x"), [&](P& p) { in<svg_heads>(p, f).data = at<char>(p, f) + 1; });
        refuse(value(".row_stride is 1"), [&](P& p) { in<svg_heads>(p, f).row_stride = 1; });
        refuse(value(".head_stride is -1"), [&](P& p) { in<svg_heads>(p, f).head_stride = -1; });
        break;
      case kArray:
      case kArrayOut:
        refuse(f.name, [&](P& p) { in<char*>(p, f) += 1; });
        [[fallthrough]];
      case kBytes:
      case kBytesOut:
        refuse(f.name, [&](P& p) { in<void*>(p, f) = nullptr; });
        break;
      case kOptional:
        refuse(f.name, [&](P& p) { in<char*>(p, f) += 1; });
        break;
    }
    if (f.kind == kTensor || f.kind == kArray) {
      if (input == nullptr) input = &f;
    } else if (f.kind == kTensorOut || f.kind == kArrayOut || f.kind == kBytesOut) {
      refuse("overlaps", [&](P& p) { at<char>(p, f) = at<char>(p, *input) + 64; });
    }
  }
}

}  // namespace

void check_refusals(Checker& check) {
  Tensor x(SVG_BF16, 2, 64, 32);
  x.fill_normal(check.random);
  Values<float> centroids(2 * 8 * 32);
  Values<int32_t> labels(128), sizes(16), rows(16);
  for (size_t i = 0; i < rows.count; i++) rows[i] = int32_t(i);
  rows.array.upload();
  svg_kmeans_params good{};
  good.struct_size = sizeof good;
  good.dtype = SVG_BF16;
  good.heads = 2;
  good.rows = 64;
  good.head_dim = 32;
  good.clusters = 8;
  good.iterations = 1;
  good.x = x.at(Side::kDevice);
  good.init_rows = rows.at(Side::kDevice);
  good.centroids = centroids.at(Side::kDevice);
  good.labels = labels.at(Side::kDevice);
  good.sizes = sizes.at(Side::kDevice);
  using P = svg_kmeans_params;
  check.refused<P>("svg_kmeans", good, "struct_size", SVG_INVALID_ARGUMENT, [](P& p) { p.struct_size--; });
  check.refused<P>("svg_kmeans", good, "clusters is 65", SVG_INVALID_ARGUMENT, [](P& p) { p.clusters = 65; });
  check.refused<P>("svg_kmeans", good, "iterations is 0", SVG_INVALID_ARGUMENT, [](P& p) { p.iterations = 0; });
  check.refused<P>("svg_kmeans", good, "tolerance", SVG_INVALID_ARGUMENT, [](P& p) { p.tolerance = NAN; });
  check.refused<P>("svg_kmeans", good, "dtype is 3", SVG_INVALID_ARGUMENT, [](P& p) { p.dtype = 3; });
  check.refused<P>("svg_kmeans", good, "x.data is null", SVG_INVALID_ARGUMENT, [](P& p) { p.x.data = nullptr; });
  check.refused<P>("svg_kmeans", good, "multiple of 16 bytes", SVG_INVALID_ARGUMENT, [](P& p) { p.x.row_stride = 33; });
  check.refused<P>("svg_kmeans", good, "row_stride is 31", SVG_INVALID_ARGUMENT, [](P& p) { p.x.row_stride = 31; });
  check.refused<P>("svg_kmeans", good, "overlaps", SVG_INVALID_ARGUMENT, [](P& p) { p.sizes = p.labels; });
  check.refused<P>("svg_kmeans", good, "head_dim is 24", SVG_UNSUPPORTED, [](P& p) { p.head_dim = 24; });
  svg_norm_rope_params turned{};
  turned.struct_size = sizeof turned;
  turned.dtype = SVG_BF16;
  turned.heads = 2;
  turned.rows = 64;
  turned.head_dim = 32;
  turned.x = turned.out = x.at(Side::kDevice);
  using R = svg_norm_rope_params;
  check.refused<R>("svg_norm_rope", turned, "multiple of 16 bytes", SVG_INVALID_ARGUMENT,
                   [](R& p) { p.rows = 32, p.x.row_stride = p.out.row_stride = 33; });
  check.refused<R>("svg_norm_rope", turned, "permuted_rows is 65", SVG_INVALID_ARGUMENT,
                   [](R& p) { p.permuted_rows = 65; });
  check.refused<R>("svg_norm_rope", turned, "order is null", SVG_INVALID_ARGUMENT, [](R& p) { p.permuted_rows = 64; });
  check.refused<R>("svg_norm_rope", turned, "out at", SVG_INVALID_ARGUMENT, [&](R& p) {
    p.permuted_rows = 64;
    p.order = labels.at(Side::kDevice);
  });
  check.refused<R>("svg_norm_rope", turned, "head_dim is 24", SVG_UNSUPPORTED, [](R& p) { p.head_dim = 24; });
  check.refused<P>("svg_kmeans", good, "head_dim is 144", SVG_UNSUPPORTED, [](P& p) {
    p.head_dim = 144;
    p.rows = p.clusters = 1;
    p.x.row_stride = 144;
  });
  check.refused<P>("svg_kmeans", good, "draw_rows is 1 and init_rows", SVG_INVALID_ARGUMENT,
                   [](P& p) { p.draw_rows = 1; });
}

/// Every function refuses every argument that is wrong on its own, and as the host library does.
void check_bad_arguments(Checker& check) {
#define FIELD(kind, name) {#name, offsetof(P, name), kind}
  {
    using P = svg_kmeans_params;
    spoil_each<P>(
        check, "svg_kmeans",
        [](P& p) { p.dtype = SVG_F32, p.heads = 2, p.rows = 64, p.head_dim = 32, p.clusters = 8, p.iterations = 1; },
        {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, head_dim),
         FIELD(kCount, clusters), FIELD(kCount, iterations), FIELD(kNumber, tolerance), FIELD(kTensor, x),
         FIELD(kArrayOut, centroids), FIELD(kArrayOut, labels), FIELD(kArrayOut, sizes)});
  }
  {
    using P = svg_block_map_params;
    spoil_each<P>(
        check, "svg_block_map",
        [](P& p) { p.heads = 2, p.head_dim = 16, p.q_clusters = 8, p.k_clusters = 8, p.top_p = 0.5f; },
        {FIELD(kCount, heads), FIELD(kCount, head_dim), FIELD(kCount, q_clusters), FIELD(kCount, k_clusters),
         FIELD(kEnum, context_clusters), FIELD(kZeroOrMore, min_keep), FIELD(kNumber, top_p), FIELD(kNumber, scale),
         FIELD(kArray, q_centroids), FIELD(kArray, k_centroids), FIELD(kArray, k_sizes), FIELD(kBytesOut, map)});
  }
  {
    using P = svg_block_density_params;
    spoil_each<P>(check, "svg_block_density",
                  [](P& p) { p.heads = 2, p.q_clusters = 8, p.k_clusters = 8, p.counted_q = 7, p.counted_k = 8; },
                  {FIELD(kCount, heads), FIELD(kCount, q_clusters), FIELD(kCount, k_clusters), FIELD(kCount, counted_q),
                   FIELD(kCount, counted_k), FIELD(kArray, q_offsets), FIELD(kArray, k_offsets), FIELD(kBytes, map),
                   FIELD(kArrayOut, density)});
  }
  {
    using P = svg_sort_labels_params;
    spoil_each<P>(check, "svg_sort_labels", [](P& p) { p.heads = 2, p.rows = 64, p.clusters = 8; },
                  {FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, clusters), FIELD(kEnum, context_clusters),
                   FIELD(kZeroOrMore, prompt_rows), FIELD(kZeroOrMore, padding_rows), FIELD(kArray, labels),
                   FIELD(kArrayOut, order), FIELD(kArrayOut, offsets)});
  }
  {
    using P = svg_permute_rows_params;
    spoil_each<P>(
        check, "svg_permute_rows", [](P& p) { p.heads = 2, p.rows = 64, p.head_dim = 32, p.permuted_rows = 60; },
        {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, head_dim),
         FIELD(kZeroOrMore, permuted_rows), FIELD(kTensor, src), FIELD(kTensorOut, dst), FIELD(kArray, order)});
  }
  {
    using P = svg_video_layout_params;
    spoil_each<P>(
        check, "svg_video_layout",
        [](P& p) { p.heads = 2, p.rows = 64, p.head_dim = 32, p.frames = 4, p.tokens_per_frame = 15; },
        {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, head_dim), FIELD(kCount, frames),
         FIELD(kCount, tokens_per_frame), FIELD(kTensor, src), FIELD(kTensorOut, dst), FIELD(kArray, transform)});
  }
  {
    using P = svg_profile_heads_params;
    spoil_each<P>(check, "svg_profile_heads",
                  [](P& p) {
                    p.heads = 2, p.rows = 64, p.head_dim = 32, p.frames = 4, p.tokens_per_frame = 15;
                    p.context_rows = 4, p.samples = 5, p.band_blocks = 1;
                  },
                  {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, head_dim), FIELD(kCount, frames),
                   FIELD(kCount, tokens_per_frame), FIELD(kZeroOrMore, context_rows), FIELD(kZeroOrMore, sink_keys),
                   FIELD(kZeroOrMore, band_blocks), FIELD(kCount, samples), FIELD(kNumber, scale), FIELD(kTensor, q),
                   FIELD(kTensor, k), FIELD(kTensor, v), FIELD(kArray, sampled_rows), FIELD(kArrayOut, mse),
                   FIELD(kArrayOut, best)});
  }
  {
    using P = svg_rms_norm_params;
    spoil_each<P>(check, "svg_rms_norm", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
                  {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, width),
                   FIELD(kEnum, weight_dtype), FIELD(kNumber, epsilon), FIELD(kTensor, x), FIELD(kTensorOut, out),
                   FIELD(kOptional, weight)});
  }
  {
    using P = svg_channel_norm_params;
    spoil_each<P>(check, "svg_channel_norm", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
                  {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, width),
                   FIELD(kEnum, weight_dtype), FIELD(kTensor, x), FIELD(kTensorOut, out), FIELD(kOptional, weight)});
  }
  {
    using P = svg_convolution_params;
    spoil_each<P>(check, "svg_convolution",
                  [](P& p) {
                    p.frames = 2, p.height = 4, p.width = 4, p.channels = 8, p.earlier_frames = 1;
                    p.out_channels = 8, p.kernel_frames = p.kernel_height = p.kernel_width = 2;
                    p.frame_stride = p.stride = p.repeat = 1;
                  },
                  {FIELD(kEnum, dtype),
                   FIELD(kCount, frames),
                   FIELD(kCount, height),
                   FIELD(kCount, width),
                   FIELD(kCount, channels),
                   FIELD(kZeroOrMore, earlier_frames),
                   FIELD(kCount, out_channels),
                   FIELD(kCount, kernel_frames),
                   FIELD(kCount, kernel_height),
                   FIELD(kCount, kernel_width),
                   FIELD(kCount, frame_stride),
                   FIELD(kCount, stride),
                   FIELD(kCount, repeat),
                   FIELD(kZeroOrMore, pad_top),
                   FIELD(kZeroOrMore, pad_bottom),
                   FIELD(kZeroOrMore, pad_left),
                   FIELD(kZeroOrMore, pad_right),
                   FIELD(kArray, earlier),
                   FIELD(kArray, x),
                   FIELD(kArray, weight),
                   FIELD(kOptional, bias),
                   FIELD(kOptional, residual),
                   FIELD(kArrayOut, out)});
  }
  {
    using P = svg_layer_norm_params;
    spoil_each<P>(
        check, "svg_layer_norm", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
        {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, width), FIELD(kNumber, epsilon),
         FIELD(kTensor, x), FIELD(kTensorOut, out), FIELD(kOptional, weight), FIELD(kOptional, bias)});
  }
  {
    using P = svg_gated_residual_params;
    spoil_each<P>(check, "svg_gated_residual", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
                  {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, width),
                   FIELD(kTensor, x), FIELD(kTensor, y), FIELD(kTensorOut, out)});
  }
  {
    using P = svg_rope_params;
    spoil_each<P>(check, "svg_rope", [](P& p) { p.heads = 2, p.rows = 64, p.head_dim = 32, p.rotated_rows = 60; },
                  {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, head_dim),
                   FIELD(kEnum, pairs), FIELD(kZeroOrMore, rotated_rows), FIELD(kTensor, x), FIELD(kTensorOut, out),
                   FIELD(kArray, cos_table), FIELD(kArray, sin_table)});
  }
  {
    using P = svg_norm_rope_params;
    spoil_each<P>(
        check, "svg_norm_rope", [](P& p) { p.heads = 2, p.rows = 64, p.head_dim = 32, p.rotated_rows = 60; },
        {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, head_dim), FIELD(kEnum, pairs),
         FIELD(kZeroOrMore, rotated_rows), FIELD(kNumber, epsilon), FIELD(kTensor, x), FIELD(kTensorOut, out),
         FIELD(kOptional, weight), FIELD(kArray, cos_table), FIELD(kArray, sin_table)});
  }
  {
    using P = svg_activation_params;
    spoil_each<P>(
        check, "svg_activation", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
        {FIELD(kEnum, x_dtype), FIELD(kEnum, out_dtype), FIELD(kCount, heads), FIELD(kCount, rows),
         FIELD(kCount, width), FIELD(kEnum, kind), FIELD(kTensor, x), FIELD(kTensorOut, out), FIELD(kOptional, bias)});
  }
  {
    using P = svg_softmax_params;
    spoil_each<P>(
        check, "svg_softmax", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
        {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, width), FIELD(kEnum, bias_dtype),
         FIELD(kNumber, scale), FIELD(kTensor, scores), FIELD(kTensorOut, out), FIELD(kOptional, bias)});
  }
  {
    using P = svg_gather_rows_params;
    spoil_each<P>(check, "svg_gather_rows",
                  [](P& p) { p.table_rows = 64, p.rows = 64, p.width = 32, p.index_bytes = 4; },
                  {FIELD(kEnum, dtype), FIELD(kCount, table_rows), FIELD(kCount, rows), FIELD(kCount, width),
                   FIELD(kTensor, table), FIELD(kTensorOut, out), FIELD(kArray, indices)});
  }
  {
    using P = svg_timestep_embedding_params;
    spoil_each<P>(
        check, "svg_timestep_embedding", [](P& p) { p.rows = 64, p.width = 32, p.scale = p.max_period = 1; },
        {FIELD(kEnum, dtype), FIELD(kCount, rows), FIELD(kCount, width), FIELD(kNumber, downscale_freq_shift),
         FIELD(kNumber, scale), FIELD(kNumber, max_period), FIELD(kArray, timesteps), FIELD(kTensorOut, out)});
  }
  {
    using P = svg_color_bytes_params;
    spoil_each<P>(check, "svg_color_bytes", [](P& p) { p.frames = 4, p.frame_size = 512; },
                  {FIELD(kEnum, dtype), FIELD(kCount, frames), FIELD(kCount, frame_size), FIELD(kArray, x),
                   FIELD(kBytesOut, out), FIELD(kArrayOut, not_numbers)});
  }
  {
    using P = svg_patchify_params;
    spoil_each<P>(check, "svg_patchify",
                  [](P& p) {
                    p.channels = 8, p.frames = 4, p.height = 8, p.width = 8;
                    p.patch_frames = 1, p.patch_height = p.patch_width = 2;
                  },
                  {FIELD(kEnum, dtype), FIELD(kCount, channels), FIELD(kCount, frames), FIELD(kCount, height),
                   FIELD(kCount, width), FIELD(kCount, patch_frames), FIELD(kCount, patch_height),
                   FIELD(kCount, patch_width), FIELD(kEnum, order), FIELD(kArray, video), FIELD(kTensorOut, tokens)});
  }
#undef FIELD
}

}  // namespace lab
