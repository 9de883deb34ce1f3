package io.sparsevideo.cli;

import java.io.PrintStream;
import java.nio.charset.Charset;
import me.tongfei.progressbar.DelegatingProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** A bar with the time left for each stage, on a terminal. */
final class BarProgress implements Progress {
  /**
   * Fixed: asked for the terminal's width, the bar's library would install signal handlers of its
   * own, and Ctrl-C would end the process at once.
   */
  private static final int COLUMNS = 79;

  private static final int UPDATE_MILLIS = 250;

  private final PrintStream err;
  private Stage stage;
  private ProgressBar bar;

  BarProgress() {
    this(System.err);
  }

  BarProgress(PrintStream err) {
    this.err = err;
  }

  @Override
  public void started(String device) {
    err.println("device: " + device);
  }

  @Override
  public void progress(Stage stage, int done, int total) {
    if (stage != this.stage || bar == null) {
      close();
      this.stage = stage;
      bar = open(stage, total);
    }
    bar.stepTo(done);
    if (done == total) {
      close();
    }
  }

  private ProgressBar open(Stage stage, int total) {
    return new ProgressBarBuilder()
        .setTaskName(stage.label())
        .setInitialMax(total)
        .setUpdateIntervalMillis(UPDATE_MILLIS)
        .setStyle(style(err.charset()))
        .continuousUpdate()
        .setConsumer(new DelegatingProgressBarConsumer(line -> err.print("\r" + line), COLUMNS))
        .build();
  }

  private static ProgressBarStyle style(Charset charset) {
    return charset.newEncoder().canEncode('\u2588')
        ? ProgressBarStyle.UNICODE_BLOCK
        : ProgressBarStyle.ASCII;
  }

  @Override
  public void warning(String message) {
    if (bar != null) {
      // The bar is drawn anew below the warning.
      err.println();
    }
    err.println("svg: warning: " + message);
  }

  @Override
  public void close() {
    if (bar != null) {
      // The bar's library waits for its last drawing, which an interrupt would cut short, and
      // forgets the interrupt.
      boolean interrupted = Thread.interrupted();
      bar.close();
      err.println();
      bar = null;
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
