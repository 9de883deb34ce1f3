package io.sparsevideo.cuda.engine;

import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaEvent;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.PinnedMemory;
import java.lang.foreign.MemorySegment;

/**
 * Copies between a device and any host memory (the Java heap, a mapped file) through two pieces of
 * pinned memory: while the device copies one, the processor fills or empties the other. They are
 * allocated by the first copy.
 */
final class Staging implements AutoCloseable {

  /** Bytes of each of the two pieces. */
  static final long PIECE = 8 << 20;

  private final CudaStream stream;
  private final Piece[] pieces = new Piece[2];
  private int turn;

  Staging(CudaStream stream) {
    this.stream = stream;
  }

  /** Pinned memory, and when the stream has passed its last copy. */
  private static final class Piece implements AutoCloseable {
    private final PinnedMemory memory;
    private final CudaEvent passed;

    Piece(CudaContext context) {
      memory = context.allocatePinned(PIECE);
      try {
        passed = context.newUntimedEvent();
      } catch (RuntimeException e) {
        memory.close();
        throw e;
      }
    }

    @Override
    public void close() {
      try (memory) {
        passed.close();
      }
    }
  }

  private Piece next() {
    turn = 1 - turn;
    if (pieces[turn] == null) {
      pieces[turn] = new Piece(stream.context());
    }
    pieces[turn].passed.synchronize();
    return pieces[turn];
  }

  /**
   * Returns when the source has been read.
   *
   * @param target device memory of the size of {@code source}
   */
  synchronized void toDevice(MemorySegment target, MemorySegment source) {
    for (long start = 0; start < source.byteSize(); start += PIECE) {
      long length = Math.min(PIECE, source.byteSize() - start);
      Piece piece = next();
      MemorySegment part = piece.memory.segment().asSlice(0, length);
      part.copyFrom(source.asSlice(start, length));
      stream.copyToDevice(target.asSlice(start, length), part);
      stream.record(piece.passed);
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
      long length = Math.min(PIECE, source.byteSize() - start);
      target.asSlice(start, length).copyFrom(piece.memory.segment().asSlice(0, length));
    }
  }

  private Piece fetch(MemorySegment source, long start) {
    long length = Math.min(PIECE, source.byteSize() - start);
    Piece piece = next();
    stream.copyToHost(piece.memory.segment().asSlice(0, length), source.asSlice(start, length));
    stream.record(piece.passed);
    return piece;
  }

  /** Frees the pinned memory; the stream must have passed all copies. */
  @Override
  public synchronized void close() {
    try (Piece first = pieces[0];
        Piece second = pieces[1]) {
      pieces[0] = null;
      pieces[1] = null;
    }
  }
}
