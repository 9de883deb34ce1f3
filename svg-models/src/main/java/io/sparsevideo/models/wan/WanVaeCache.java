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
   * The {@code count} frames that this convolution saw before the chunk, zeros where there were
   * none. They are the caller's, to be closed after {@link #remember}.
   *
   * @param x the chunk (T, Y, X, C)
   * @return (count, Y, X, C)
   */
  NDArray take(WanVaeCausalConv conv, NDArray x, long count) {
    NDArray earlier = lastFrames.remove(conv);
    return earlier != null
        ? earlier
        : manager.zeros(new Shape(count).addAll(x.getShape().slice(1)), x.getDataType());
  }

  /**
   * Keeps what this convolution's next chunk takes: the last frames of this one, and of those
   * before it where it is too short.
   *
   * @param earlier what was taken for the chunk
   * @param x the chunk
   */
  void remember(WanVaeCausalConv conv, NDArray earlier, NDArray x) {
    long count = earlier.getShape().get(0);
    long frames = x.getShape().get(0);
    NDArray last;
    if (frames >= count) {
      try (NDArray view = frames(x, frames - count, frames)) {
        last = view.duplicate(); // the view would keep the whole chunk in memory
      }
    } else {
      try (NDArray rest = frames(earlier, frames, count)) {
        last = rest.concat(x);
      }
    }
    last.attach(manager);
    lastFrames.put(conv, last);
  }

  private static NDArray frames(NDArray clip, long from, long to) {
    return clip.get(new NDIndex().addSliceDim(from, to));
  }

  @Override
  public void close() {
    manager.close();
  }
}
