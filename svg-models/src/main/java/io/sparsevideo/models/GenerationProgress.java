package io.sparsevideo.models;

import io.sparsevideo.Cancellation;
import io.sparsevideo.GenerationCancelledException;
import io.sparsevideo.ProgressListener;
import io.sparsevideo.ProgressListener.Stage;
import java.time.Duration;
import java.util.EnumMap;
import java.util.Map;

/**
 * Follows one generation: tells the user's listener, takes the time of each stage, and stops when
 * asked to.
 */
public class GenerationProgress implements ForwardListener {
  private final ProgressListener listener;
  private final Cancellation cancellation;
  private final Map<Stage, Duration> times = new EnumMap<>(Stage.class);
  private Stage stage;
  private int total;
  private long started;

  public GenerationProgress(ProgressListener listener, Cancellation cancellation) {
    this.listener = listener;
    this.cancellation = cancellation;
  }

  /** Begins the generation on a device. */
  public void started(String device) {
    listener.started(device);
  }

  /** Begins a stage of {@code units} units and ends the one before. */
  public void start(Stage next, int units) {
    finish();
    checkCancelled();
    stage = next;
    total = units;
    started = System.nanoTime();
    listener.progress(next, 0, units);
  }

  /** {@code done} units of the current stage are finished. */
  public void done(int done) {
    listener.progress(stage, done, total);
  }

  public void warning(String message) {
    listener.warning(message);
  }

  /** Ends the current stage and gives the time of every stage so far. */
  public Map<Stage, Duration> finish() {
    if (stage != null) {
      times.merge(stage, Duration.ofNanos(System.nanoTime() - started), Duration::plus);
      stage = null;
    }
    return times;
  }

  /**
   * @throws GenerationCancelledException when the request was cancelled or the thread was
   *     interrupted
   */
  public void checkCancelled() {
    if (cancellation.isCancelled()) {
      throw new GenerationCancelledException("the generation was cancelled");
    }
    if (Thread.interrupted()) {
      throw new GenerationCancelledException("the generating thread was interrupted");
    }
  }

  @Override
  public void beforeBlock(int block) {
    checkCancelled();
  }
}
