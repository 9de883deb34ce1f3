package io.sparsevideo;

/**
 * The request's cancellation, or an interrupt of the thread, stopped a generation; the pipeline
 * stays usable.
 */
public class GenerationCancelledException extends SparseVideoException {
  private static final long serialVersionUID = 1L;

  public GenerationCancelledException(String message) {
    super(message);
  }
}
