package io.sparsevideo.cuda.engine;

import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaEvent;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.PinnedMemory;
import java.lang.foreign.MemorySegment;
import java.util.stream.LongStream;

/**
 * Copies between a device and any host memory (the Java heap, a mapped file) through two pieces of
 * pinned memory: while the device copies one, the processor fills or empties the other. They are
 * allocated by the first copy.
 *
 * <p>Small copies to the device lie side by side in a piece, so that only the one that finds it
 * full waits: for the copies out of the other piece, which the device has usually long passed.
 */
final class Staging implements AutoCloseable {

  /** Bytes of each of the two pieces. */
  static final long PIECE = 16 << 20;

  /**
   * Bytes that one thread copies at a time. A single one reads a mapped file at 4 GB/s, a tenth of
   * what goes to a device.
   */
  private static final long SHARE = 512 << 10;

  private final CudaStream stream;
  private final Piece[] pieces = new Piece[2];
  private int turn;
  private boolean closed;

  Staging(CudaStream stream) {
    this.stream = stream;
  }

  /** Pinned memory, how much of it is taken, and when the stream has passed its last copy. */
  private static final class Piece implements AutoCloseable {
    private final PinnedMemory memory;
    private final CudaEvent passed;
    private long taken;

    Piece(CudaContext context) {
      memory = context.allocatePinned(PIECE);
      try {
        passed = context.newUntimedEvent();
      } catch (RuntimeException e) {
        memory.close();
        throw e;
      }
    }

    /** The next bytes, at most so many. */
    MemorySegment take(long bytes) {
      MemorySegment part = memory.segment().asSlice(taken, Math.min(bytes, PIECE - taken));
      taken += part.byteSize();
      return part;
    }

    @Override
    public void close() {
      try (memory) {
        passed.close();
      }
    }
  }

  /** The other piece, once its copies are done. */
  private Piece next() {
    if (closed) {
      throw new IllegalStateException("a copy after the stream's manager was closed");
    }
    turn = 1 - turn;
    if (pieces[turn] == null) {
      pieces[turn] = new Piece(stream.context());
    }
    pieces[turn].passed.synchronize();
    pieces[turn].taken = 0;
    return pieces[turn];
  }

  /**
   * Returns when the source has been read.
   *
   * @param target device memory of the size of {@code source}
   */
  synchronized void toDevice(MemorySegment target, MemorySegment source) {
    for (long start = 0; start < source.byteSize(); ) {
      Piece piece = pieces[turn];
      if (piece == null || piece.taken == PIECE) {
        piece = next();
      }
      MemorySegment part = piece.take(source.byteSize() - start);
      copy(part, source.asSlice(start, part.byteSize()));
      stream.copyToDevice(target.asSlice(start, part.byteSize()), part);
      stream.record(piece.passed);
      start += part.byteSize();
    }
  }

  /**
   * Returns when the target has been written.
   *
   * @param source device memory of the size of {@code target}
   */
  synchronized void toHost(MemorySegment target, MemorySegment source) {
    Piece ahead = source.byteSize() == 0 ? null : fetch(source, 0);
    for (long start = 0; start < source.byteSize(); start += PIECE) {
      Piece piece = ahead;
      if (start + PIECE < source.byteSize()) {
        ahead = fetch(source, start + PIECE);
      }
      piece.passed.synchronize();
      MemorySegment part = piece.memory.segment().asSlice(0, piece.taken);
      copy(target.asSlice(start, part.byteSize()), part);
    }
  }

  private Piece fetch(MemorySegment source, long start) {
    Piece piece = next();
    MemorySegment part = piece.take(source.byteSize() - start);
    stream.copyToHost(part, source.asSlice(start, part.byteSize()));
    stream.record(piece.passed);
    return piece;
  }

  /** Copies host memory with several threads, unless it is one thread's own or little. */
  private static void copy(MemorySegment target, MemorySegment source) {
    long bytes = source.byteSize();
    long shares = Math.ceilDiv(bytes, SHARE);
    if (shares == 1 || !isShared(target) || !isShared(source)) {
      target.copyFrom(source);
      return;
    }
    LongStream.range(0, shares)
        .parallel()
        .forEach(
            i -> {
              long start = i * SHARE;
              long length = Math.min(SHARE, bytes - start);
              MemorySegment.copy(source, start, target, start, length);
            });
  }

  /** Whether any thread may use it. */
  private static boolean isShared(MemorySegment segment) {
    return segment.isAccessibleBy(ANOTHER_THREAD);
  }

  private static final Thread ANOTHER_THREAD = Thread.ofPlatform().unstarted(() -> {});

  /** Frees the pinned memory; the stream must have passed all copies. */
  @Override
  public synchronized void close() {
    closed = true;
    try (Piece first = pieces[0];
        Piece second = pieces[1]) {
      pieces[0] = null;
      pieces[1] = null;
    }
  }
}
