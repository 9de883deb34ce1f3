package io.sparsevideo;

/**
 * Asks a running generation to stop. It does so within one loaded weight, one transformer block or
 * one decoded latent frame.
 */
public final class Cancellation {
  private volatile boolean cancelled;

  /** May be called from any thread, more than once. */
  public void cancel() {
    cancelled = true;
  }

  public boolean isCancelled() {
    return cancelled;
  }
}
