// The error of SVG1's two masks for each head.
#include "checks.h"

namespace lab {
namespace {

/// A problem of svg_profile_heads with random tensors and rows.
struct Profile {
  Profile(int32_t dtype, int heads, int dim, int frames, int tokens, int context, int samples, std::mt19937& random)
      : frames(frames), tokens(tokens), context(context), q(dtype, heads, frames * tokens + context, dim, true),
        k(dtype, heads, q.rows, dim, true), v(dtype, heads, q.rows, dim), sampled(samples), best(heads),
        mse(2 * heads) {
    for (Tensor* t : {&q, &k, &v}) t->fill_normal(random);
    for (int i = 0; i < samples; i++) sampled[i] = int32_t(random() % q.rows);
    sampled.array.upload();
  }
  int frames, tokens, context;
  float scale = 1;
  Tensor q, k, v;
  Values<int32_t> sampled, best;
  Values<float> mse;
};

void run_profile(Checker& check, Profile& problem, int sink, int band, double tolerance) {
  const int heads = problem.q.heads, dim = problem.q.width;
  const bool fine = check.both("svg_profile_heads", [&](Side side) {
    svg_profile_heads_params p{};
    p.dtype = problem.q.dtype;
    p.heads = heads;
    p.head_dim = dim;
    p.rows = problem.q.rows;
    p.frames = problem.frames;
    p.tokens_per_frame = problem.tokens;
    p.context_rows = problem.context;
    p.sink_keys = sink;
    p.band_blocks = band;
    p.samples = int32_t(problem.sampled.count);
    p.scale = problem.scale / std::sqrt(float(dim));
    p.q = problem.q.at(side);
    p.k = problem.k.at(side);
    p.v = problem.v.at(side);
    p.sampled_rows = problem.sampled.at(side);
    p.mse = problem.mse.at(side);
    p.best = problem.best.at(side);
    return p;
  });
  if (!fine) return;
  const auto errors = problem.mse.download();
  const auto chosen = problem.best.download();
  const std::string what =
      format("profile_heads %s D %d, sink %d, band %d: ", dtype_name(problem.q.dtype), dim, sink, band);
  for (int i = 0; i < 2 * heads; i++) {
    check.expect(std::abs(errors[i] - problem.mse[i]) <= tolerance * problem.mse[i],
                 what + format("error %g, the host's %g", errors[i], problem.mse[i]));
  }
  for (int h = 0; h < heads; h++) {
    const bool close = std::abs(problem.mse[h] - problem.mse[heads + h]) < 2 * tolerance * problem.mse[h];
    check.expect(chosen[h] == problem.best[h] || close, what + format("head %d gets %d", h, chosen[h]));
    check.expect(chosen[h] == (errors[heads + h] < errors[h]), what + "the greater error is chosen");
  }
}

}  // namespace

void check_profile(Checker& check) {
  const int frames = 5, tokens = 331, context = 37;
  for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
    for (int dim : {128, 64, 40, 33}) {
      for (int samples : {70, 9}) {
        Profile problem(dtype, 3, dim, frames, tokens, context, samples, check.random);
        run_profile(check, problem, 20, 3, dtype == SVG_F32 ? 1e-4 : 0.02);
      }
    }
  }
  for (int32_t dtype : {SVG_BF16, SVG_F32}) {
    Profile wide(dtype, 2, 256, frames, tokens, context, 9, check.random);
    run_profile(check, wide, 20, 3, dtype == SVG_F32 ? 1e-4 : 0.02);
    for (float scale : {-1.5f, 0.0f}) {
      Profile scaled(dtype, 2, 64, frames, tokens, context, 20, check.random);
      scaled.scale = scale;
      run_profile(check, scaled, 20, 3, dtype == SVG_F32 ? 1e-4 : 0.02);
    }
    // Masks that allow every key leave no error, whatever the order of sums.
    Profile all(dtype, 2, 64, frames, tokens, 0, 20, check.random);
    run_profile(check, all, 0, 1000, 0);
    for (float error : all.mse.download())
      check.expect(error == 0, format("profile_heads: error %g of no mask", error));
    // No band and no sink: every row of video is zero under both masks, and the two are equal.
    Profile none(dtype, 2, 64, frames, tokens, 0, 20, check.random);
    run_profile(check, none, 0, 0, dtype == SVG_F32 ? 1e-4 : 0.02);
    // Keys that no mask allows to the sampled rows score hundreds above those that one does.
    Profile far(dtype, 2, 64, frames, tokens, 0, 20, check.random);
    for (int i = 0; i < 20; i++) far.sampled[i] = int32_t(check.random() % 100);
    far.sampled.array.upload();
    far.q.fill(check.random, [](std::mt19937&) { return 4; });
    int calls = 0;
    far.k.fill(check.random, [&](std::mt19937& r) {
      const int row = calls++ / 64 % (frames * tokens);
      const bool high = row / tokens >= 3 && row % tokens >= 250;
      return (high ? 8.0f : 0.0f) + std::normal_distribution<float>()(r) * 0.1f;
    });
    run_profile(check, far, 0, 2, dtype == SVG_F32 ? 1e-4 : 0.02);
    // So many heads that one block takes all keys of each, and most of them are beyond the band.
    Profile gaps(dtype, 600, 8, frames, tokens, 0, 9, check.random);
    for (int i = 0; i < 9; i++) gaps.sampled[i] = int32_t(check.random() % 20);
    gaps.sampled.array.upload();
    run_profile(check, gaps, 0, 1, dtype == SVG_F32 ? 1e-4 : 0.02);
  }
}

}  // namespace lab
