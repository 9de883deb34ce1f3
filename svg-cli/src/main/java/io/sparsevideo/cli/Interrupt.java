package io.sparsevideo.cli;

import io.sparsevideo.Cancellation;
import io.sparsevideo.GenerationCancelledException;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Turns Ctrl-C, a termination request or a hangup into an orderly stop: the generation is
 * cancelled, and the JVM waits until the command has freed its memory and removed its partial
 * files. The JVM's exit status is then 128 + the signal's number, 130 for Ctrl-C.
 */
final class Interrupt {
  /** A step that does not come to its end in this time loses its memory with the process. */
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final Cancellation cancellation = new Cancellation();
  private final CountDownLatch finished = new CountDownLatch(1);
  private final Thread worker;

  /**
   * @param worker the thread that runs the command
   */
  Interrupt(Thread worker) {
    this.worker = worker;
  }

  /**
   * Has the JVM call {@link #stop} when it shuts down. A shutdown hook and not a signal handler,
   * because that is the supported interface and covers all three signals.
   */
  void install() {
    Runtime.getRuntime().addShutdownHook(new Thread(this::stop, "svg-interrupt"));
  }

  Cancellation cancellation() {
    return cancellation;
  }

  /**
   * Between two steps that an interrupt of the thread would stop, in case it was lost on the way.
   *
   * @throws GenerationCancelledException after {@link #stop}
   */
  void check() {
    if (cancellation.isCancelled()) {
      throw new GenerationCancelledException("interrupted");
    }
  }

  /** The command is over and has cleaned up. */
  void finish() {
    finished.countDown();
  }

  /** Stops the command if it still runs, and waits for {@link #finish}. */
  void stop() {
    if (finished.getCount() == 0) {
      return;
    }
    cancellation.cancel();
    // For what does not look at the cancellation: waits, and the writing of the file.
    worker.interrupt();
    try {
      finished.await(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
