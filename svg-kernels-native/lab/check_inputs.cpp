// What enters and leaves a model: patches of a video, rows of an embedding table, timesteps, bytes of colors.
#include "checks.h"

namespace lab {

void check_patches(Checker& check) {
  struct Shape {
    int channels, frames, height, width, patch_frames, patch_height, patch_width, gap;
  };
  for (const Shape& s : {Shape{16, 3, 10, 22, 1, 2, 2, 0},
                         {5, 6, 9, 35, 2, 3, 5, 0},
                         {36, 2, 4, 6, 1, 2, 2, 8},
                         {3, 4, 6, 9, 4, 2, 1, 3},
                         {1, 1, 1, 1, 1, 1, 1, 0}}) {
    for (int32_t dtype : {SVG_BF16, SVG_F32}) {
      for (int order : {SVG_PATCH_CTHW, SVG_PATCH_THWC, SVG_PATCH_HWTC}) {
        for (int inverse : {0, 1}) {
          const int elements = s.channels * s.patch_frames * s.patch_height * s.patch_width;
          const int all = s.channels * s.frames * s.height * s.width;
          Tensor video(dtype, 1, 1, all), tokens(dtype, 1, all / elements, elements, false, s.gap);
          (inverse ? tokens : video).fill_normal(check.random);
          check.both("svg_patchify", [&](Side side) {
            svg_patchify_params p{};
            p.dtype = dtype;
            p.channels = s.channels;
            p.frames = s.frames;
            p.height = s.height;
            p.width = s.width;
            p.patch_frames = s.patch_frames;
            p.patch_height = s.patch_height;
            p.patch_width = s.patch_width;
            p.order = order;
            p.inverse = inverse;
            p.video = video.array.at(side);
            p.tokens = tokens.at(side);
            return p;
          });
          check.equal(format("patchify %s %dx%dx%dx%d, order %d, inverse %d", dtype_name(dtype), s.channels, s.frames,
                             s.height, s.width, order, inverse),
                      (inverse ? video : tokens).array);
        }
      }
    }
  }
}

void check_gather_rows(Checker& check) {
  for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
    for (int width : {1, 2, 33, 64, 4100}) {
      for (int index_bytes : {4, 8}) {
        const int table_rows = 32, rows = 1023;
        Tensor table(dtype, 1, table_rows, width, false, 4), out(dtype, 1, rows, width);
        table.fill_normal(check.random);
        Array indices(size_t(rows) * index_bytes);
        for (int i = 0; i < rows; i++) {
          const int64_t index = check.random() % table_rows;
          std::memcpy(indices.at<char>(Side::kHost) + i * index_bytes, &index, index_bytes);
        }
        indices.upload();
        check.both("svg_gather_rows", [&](Side side) {
          svg_gather_rows_params p{};
          p.dtype = dtype;
          p.table_rows = table_rows;
          p.rows = rows;
          p.width = width;
          p.index_bytes = index_bytes;
          p.table = table.at(side);
          p.out = out.at(side);
          p.indices = indices.at(side);
          return p;
        });
        check.equal(format("gather_rows %s width %d, %d-byte indices", dtype_name(dtype), width, index_bytes),
                    out.array);
      }
    }
  }
}

void check_timesteps(Checker& check) {
  for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
    for (int width : {256, 320, 33, 2}) {
      for (int flip : {0, 1}) {
        Values<float> timesteps(5);
        for (size_t i = 0; i < timesteps.count; i++) timesteps[i] = float(check.random() % 1000000) * 1e-3f;
        timesteps.array.upload();
        Tensor out(dtype, 1, 5, width, false, 3);
        check.both("svg_timestep_embedding", [&](Side side) {
          svg_timestep_embedding_params p{};
          p.dtype = dtype;
          p.rows = 5;
          p.width = width;
          p.flip_sin_to_cos = flip;
          p.downscale_freq_shift = flip ? 0 : 0.5f;
          p.scale = flip ? 1 : 2.5f;
          p.max_period = 10000;
          p.timesteps = timesteps.at(side);
          p.out = out.at(side);
          return p;
        });
        check.near(format("timestep_embedding %s width %d, flip %d", dtype_name(dtype), width, flip), out,
                   dtype == SVG_F32 ? 1e-7 : 1e-4);
      }
    }
  }
}

void check_color_bytes(Checker& check) {
  for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
    for (int size : {1, 3 * 17 * 23, 2048, 3 * 256 * 128}) {
      Tensor x(dtype, 1, 3, size);
      x.fill_normal(check.random);
      for (int i : {0, size / 2, 2 * size, 3 * size - 1})
        put(x.array.at(Side::kHost), dtype, i, i == 0 ? 1 / 0.0 : NAN);
      x.array.upload();
      Array out(3 * size);
      Values<int32_t> not_numbers(3);
      check.both("svg_color_bytes", [&](Side side) {
        return svg_color_bytes_params{
            0, dtype, 3, size, x.array.at<void>(side), out.at<uint8_t>(side), not_numbers.at(side)};
      });
      check.equal(format("color_bytes %s, %d a frame", dtype_name(dtype), size), out);
      check.equal(format("color_bytes %s, %d a frame: not numbers", dtype_name(dtype), size), not_numbers.array);
    }
  }
}

}  // namespace lab
