package io.sparsevideo.cli;

import java.io.PrintWriter;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;

/** One line every few units of a stage, for logs and pipes. */
final class LineProgress implements Progress {
  private static final int MOST_LINES_PER_STAGE = 10;

  private final PrintWriter err;
  private final InstantSource clock;
  private Instant stageStart;

  LineProgress(PrintWriter err, InstantSource clock) {
    this.err = err;
    this.clock = clock;
  }

  @Override
  public void started(String device) {
    err.println("device: " + device);
    err.flush();
  }

  @Override
  public void progress(Stage stage, int done, int total) {
    if (done == 0) {
      stageStart = clock.instant();
      return;
    }
    if (done < total && done % Math.ceilDiv(total, MOST_LINES_PER_STAGE) != 0) {
      return;
    }
    Duration elapsed = Duration.between(stageStart, clock.instant());
    String time = Text.duration(elapsed);
    if (done < total) {
      Duration left = elapsed.multipliedBy(total - done).dividedBy(done);
      time += ", about " + Text.duration(left) + " left";
    }
    err.println(Text.format("%s %d/%d (%s)", stage.label(), done, total, time));
    err.flush();
  }

  @Override
  public void warning(String message) {
    Progress.warn(err, message);
  }

  @Override
  public void close() {}
}
