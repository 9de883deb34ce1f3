package io.sparsevideo.cuda.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** That uploads wait only for room; copies of every size are {@link CudaNDArrayTest}'s. */
class StagingTest {

  @Test
  void smallUploadsDoNotWaitForTheDevice() {
    try (CudaNDManager manager = TestEngine.FAKE.open().newBaseManager()) {
      manager.create(1); // the first of all takes a piece of pinned memory
      long before = FakeGpus.waits();
      NDArray[] uploads = new NDArray[1000];
      for (int i = 0; i < uploads.length; i++) {
        uploads[i] = manager.create(new int[] {i, -i, 3});
      }
      manager.full(new Shape(5), 0.5f, DataType.BFLOAT16);
      assertEquals(before, FakeGpus.waits());
      // Each kept its own place in the piece.
      assertArrayEquals(new int[] {999, -999, 3}, uploads[999].toIntArray());
      assertArrayEquals(new int[] {1, -1, 3}, uploads[1].toIntArray());
    }
  }

  @Test
  void uploadsOfAllSizesFollowEachOther() {
    int[] sizes = {3, (int) (Staging.PIECE / 4) - 1, 7, (int) Staging.PIECE, 1, 5000};
    try (CudaNDManager manager = TestEngine.FAKE.open().newBaseManager();
        NDManager scope = manager.newSubManager()) {
      NDArray[] uploads = new NDArray[sizes.length];
      for (int i = 0; i < sizes.length; i++) {
        uploads[i] = scope.create(numbers(sizes[i], i));
      }
      for (int i = 0; i < sizes.length; i++) {
        assertTrue(Arrays.equals(numbers(sizes[i], i), uploads[i].toIntArray()), "upload " + i);
        scope.create(new int[] {i}); // between downloads, which use the same memory
      }
    }
  }

  private static int[] numbers(int count, int first) {
    return IntStream.range(0, count).map(i -> first + 13 * i).toArray();
  }
}
