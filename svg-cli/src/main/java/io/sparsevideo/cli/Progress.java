package io.sparsevideo.cli;

import io.sparsevideo.ProgressListener;
import java.io.PrintWriter;
import java.time.InstantSource;

/** Shows on standard error how a generation proceeds; warnings are always shown. */
interface Progress extends ProgressListener, AutoCloseable {

  /** Ends the display, whatever state it is in. */
  @Override
  void close();

  static Progress of(boolean quiet, boolean terminal, PrintWriter err) {
    if (quiet) {
      return new WarningsOnly(err);
    }
    return terminal ? new BarProgress() : new LineProgress(err, InstantSource.system());
  }

  /** With --quiet. */
  record WarningsOnly(PrintWriter err) implements Progress {
    @Override
    public void warning(String message) {
      Progress.warn(err, message);
    }

    @Override
    public void close() {}
  }

  static void warn(PrintWriter err, String message) {
    err.println("svg: warning: " + message);
    err.flush();
  }
}
