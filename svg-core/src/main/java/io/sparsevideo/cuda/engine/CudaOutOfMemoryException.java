package io.sparsevideo.cuda.engine;

import java.util.List;
import java.util.Locale;

/**
 * A device has no room for a tensor, also after everything unused was given back. The message says
 * how much was asked, what is free, and which tensors hold most. What was computed before is
 * intact.
 */
public final class CudaOutOfMemoryException extends RuntimeException {

  private static final long serialVersionUID = 1;

  private final long askedBytes;
  private final long freeBytes;

  /**
   * @param device for messages
   * @param tensor what memory was asked for
   * @param askedBytes how much; 0 where that is not known
   * @param largest the largest tensors, one text for each
   */
  CudaOutOfMemoryException(
      String device,
      String tensor,
      long askedBytes,
      MemoryStatistics now,
      List<String> largest,
      Throwable cause) {
    super(
        ("%s has no %s for %s: %s are free; the %d tensors of this process hold %s.%s")
            .formatted(
                device,
                askedBytes == 0 ? "room" : bytes(askedBytes),
                tensor,
                bytes(now.freeBytes()),
                now.tensors(),
                bytes(now.liveBytes()),
                largest.isEmpty() ? "" : " The largest:\n  " + String.join("\n  ", largest)),
        cause);
    this.askedBytes = askedBytes;
    this.freeBytes = now.freeBytes();
  }

  /** Bytes that were asked for; 0 where that is not known: for the working memory of a kernel. */
  public long askedBytes() {
    return askedBytes;
  }

  /** Bytes that were free on the device then, for this and all other processes. */
  public long freeBytes() {
    return freeBytes;
  }

  /** For example "1.50 GB". */
  static String bytes(long count) {
    if (count < 1_000_000) {
      return count + " bytes";
    }
    return count < 1_000_000_000
        ? String.format(Locale.ROOT, "%.1f MB", count / 1e6)
        : String.format(Locale.ROOT, "%.2f GB", count / 1e9);
  }
}
