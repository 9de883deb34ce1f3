package io.sparsevideo.models.wan;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.checkpoint.EmbeddingTable;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.DjlTensorOps;
import io.sparsevideo.tensor.TensorOps;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * The layers that look back in time, chunk by chunk, against one operation on the whole clip with
 * the past written out.
 */
class WanVaeResamplingTest {
  private static final int C = 4;

  private NDManager manager;
  private TensorOps ops;
  private RandomParameters parameters;
  private WanVaeCache cache;

  @BeforeEach
  void open() {
    ops = new DjlTensorOps();
    manager = ops.manager();
    parameters = new RandomParameters(manager);
    cache = new WanVaeCache(manager);
  }

  @AfterEach
  void close() {
    cache.close();
    ops.close();
  }

  @Test
  void causalConvolutionSeesTwoFramesBack() {
    WanVaeCausalConv conv = WanVaeCausalConv.cube(parameters, ops, C, 3);
    NDArray clip = frames(8);
    NDArray whole = ops.conv3d(clip, zeros(2, clip), kernel("weight"), weight("bias"), null, 1, 1);
    assertSame(whole, inChunks(conv, clip, 1, 1, 1, 3, 2));
  }

  @Test
  void upsamplingKeepsTheFirstFrameAndDoublesTheOthers() {
    WanVaeUpsample upsample = new WanVaeUpsample(parameters, ops, C, true);
    NDArray clip = frames(5);
    // the convolution in time starts at the second frame, with zeros for its past
    NDArray later = clip.get("1:");
    NDArray pairs =
        ops.conv3d(
            later,
            zeros(2, later),
            kernel("time_conv.weight"),
            weight("time_conv.bias"),
            null,
            1,
            0);
    // first half of the channels: the earlier frame
    NDArray doubled = pairs.reshape(4, 5, 3, 2, C).transpose(0, 3, 1, 2, 4).reshape(8, 5, 3, C);
    NDArray sequence = clip.get("0:1").concat(doubled);
    NDArray whole =
        ops.upsampleConv2d(
            sequence,
            kernel("resample.1.weight"),
            weight("resample.1.bias"),
            new int[] {1, 1, 1, 1});
    assertEquals(new Shape(9, 10, 6, C / 2), whole.getShape());
    assertSame(whole, inChunks(upsample, clip, 1, 1, 2, 1));
  }

  @Test
  void downsamplingKeepsTheFirstFrameAndHalvesTheOthers() {
    WanVaeDownsample downsample = new WanVaeDownsample(parameters, ops, C, true);
    NDArray clip = frames(9);
    NDArray small =
        ops.conv2d(
            clip,
            kernel("resample.1.weight"),
            weight("resample.1.bias"),
            2,
            new int[] {0, 1, 0, 1});
    NDArray halved =
        ops.conv3d(small, null, kernel("time_conv.weight"), weight("time_conv.bias"), null, 2, 0);
    NDArray whole = small.get("0:1").concat(halved);
    assertEquals(new Shape(5, 2, 1, C), whole.getShape());
    assertSame(whole, inChunks(downsample, clip, 1, 2, 4, 2));
  }

  @Test
  void resamplingOfSpaceAloneKeepsEveryFrame() {
    NDArray clip = frames(5);
    WanVaeUpsample upsample = new WanVaeUpsample(parameters.sub("up"), ops, C, false);
    assertEquals(new Shape(5, 10, 6, C / 2), inChunks(upsample, clip, 1, 4).getShape());
    WanVaeDownsample downsample = new WanVaeDownsample(parameters.sub("down"), ops, C, false);
    assertEquals(new Shape(5, 2, 1, C), inChunks(downsample, clip, 1, 4).getShape());
  }

  @Test
  void theCacheHoldsTheLastFramesOfEveryConvolutionAndNothingElse() {
    WanVaeCausalConv first = WanVaeCausalConv.cube(parameters.sub("first"), ops, C, C);
    WanVaeCausalConv second = WanVaeCausalConv.cube(parameters.sub("second"), ops, C, C);
    try (NDManager scope = manager.newSubManager()) {
      NDArray clip = frames(3);
      clip.attach(scope);
      first.forward(clip, cache);
      second.forward(clip, cache);
      assertEquals(3, scope.getManagedArrays().size(), "the clip and two results");
    }
    int before = manager.getManagedArrays().size();
    cache.close();
    assertEquals(before - 2, manager.getManagedArrays().size());
  }

  private NDArray frames(int count) {
    return manager.randomNormal(new Shape(count, 5, 3, C));
  }

  private NDArray zeros(int count, NDArray like) {
    return manager.zeros(new Shape(count).addAll(like.getShape().slice(1)));
  }

  private NDArray weight(String name) {
    return parameters.weights.get(name);
  }

  /** A weight as checkpoints store it, (O, C, …), as convolutions take it: (O, …, C). */
  private NDArray kernel(String name) {
    NDArray stored = weight(name);
    return stored.getShape().dimension() == 5
        ? stored.transpose(0, 2, 3, 4, 1)
        : stored.transpose(0, 2, 3, 1);
  }

  private NDArray inChunks(WanVaeLayer layer, NDArray clip, int... sizes) {
    NDList results = new NDList();
    int start = 0;
    for (int size : sizes) {
      results.add(layer.forward(clip.get("{}:{}", start, start + size), cache));
      cache.nextChunk();
      start += size;
    }
    assertEquals(clip.getShape().get(0), start);
    return NDArrays.concat(results);
  }

  private static void assertSame(NDArray expected, NDArray found) {
    assertEquals(expected.getShape(), found.getShape());
    assertArrayEquals(expected.toFloatArray(), found.toFloatArray(), 1e-5f);
  }

  private record RandomParameters(NDManager manager, Map<String, NDArray> weights)
      implements Parameters {
    RandomParameters(NDManager manager) {
      this(manager, new HashMap<>());
    }

    @Override
    public NDArray get(String name, long... shape) {
      return weights
          .computeIfAbsent(name, key -> manager.randomNormal(new Shape(shape)))
          .duplicate(); // a layer may lay it out anew and close it
    }

    @Override
    public NDArray getFloat32(String name, long... shape) {
      return get(name, shape);
    }

    @Override
    public EmbeddingTable embedding(String name, long rows, long width) {
      throw new UnsupportedOperationException(name);
    }
  }
}
