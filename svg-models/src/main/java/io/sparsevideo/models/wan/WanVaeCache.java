package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import java.util.IdentityHashMap;
import java.util.Map;

/**
 * What the causal convolutions remember of the frames before the current chunk, so that a video
 * worked on chunk by chunk gives what it would give in one piece. One cache serves one pass over
 * one video.
 */
final class WanVaeCache implements AutoCloseable {
  private final NDManager manager;
  private final Map<WanVaeCausalConv, NDArray> lastFrames = new IdentityHashMap<>();
  private boolean firstChunk = true;

  WanVaeCache(NDManager parent) {
    manager = parent.newSubManager();
  }

  /** Whether the chunk is the video's first, which is one frame that no resampling in time sees. */
  boolean isFirstChunk() {
    return firstChunk;
  }

  /** All layers have seen the chunk. */
  void nextChunk() {
    firstChunk = false;
  }

  /**
   * The chunk behind the {@code count} frames that this convolution saw before it, zeros where
   * there were none; remembers the last {@code count} frames of the result for the next chunk.
   *
   * @param x (T, Y, X, C)
   * @return (count + T, Y, X, C), contiguous, owned by the manager of x
   */
  NDArray prepend(WanVaeCausalConv conv, NDArray x, long count) {
    NDArray before = lastFrames.get(conv);
    if (before == null) {
      Shape frames = new Shape(count).addAll(x.getShape().slice(1));
      before = manager.zeros(frames, x.getDataType());
    }
    NDArray clip = before.concat(x);
    clip.attach(x.getManager());
    before.close();
    remember(conv, clip, count);
    return clip;
  }

  /** Remembers the last {@code count} frames of x (T, Y, X, C) for this convolution. */
  void remember(WanVaeCausalConv conv, NDArray x, long count) {
    long frames = x.getShape().get(0);
    try (NDArray last = x.get(new NDIndex().addSliceDim(frames - count, frames))) {
      NDArray copy = last.duplicate(); // a view would keep the whole clip in memory
      copy.attach(manager);
      lastFrames.put(conv, copy);
    }
  }

  @Override
  public void close() {
    manager.close();
  }
}
