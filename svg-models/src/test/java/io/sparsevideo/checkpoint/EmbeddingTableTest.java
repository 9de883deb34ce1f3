package io.sparsevideo.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EmbeddingTableTest {
  @TempDir Path temp;

  @Test
  void readsRowsInTheOrderAskedFor() {
    Path file = new SafeTensorsWriter().floats("e", new long[] {5, 3}).write(temp.resolve("e"));
    try (SafeTensors tensors = SafeTensors.open(file)) {
      EmbeddingTable table = new EmbeddingTable(tensors.tensors().get("e"));
      assertEquals(5, table.rowCount());
      assertEquals(3, table.width());
      assertArrayEquals(new float[] {12, 13, 14, 0, 1, 2, 12, 13, 14}, table.rows(4, 0, 4));
      assertArrayEquals(new float[0], table.rows());
    }
  }

  @Test
  void widensRowsAndUploadsThem() {
    ByteBuffer bytes = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN);
    for (float value : new float[] {0, 1, -2, 3, -4, 5}) {
      bytes.putShort(Float.floatToFloat16(value));
    }
    Path file =
        new SafeTensorsWriter()
            .tensor("e", "F16", new long[] {3, 2}, bytes.array())
            .write(temp.resolve("e"));
    try (SafeTensors tensors = SafeTensors.open(file);
        NDManager manager = NDManager.newBaseManager()) {
      EmbeddingTable table = new EmbeddingTable(tensors.tensors().get("e"));
      assertArrayEquals(new float[] {-4, 5, 0, 1}, table.rows(2, 0));
      NDArray rows = table.rows(TestOps.over(manager), manager, 1, 2);
      assertEquals(new Shape(2, 2), rows.getShape());
      assertArrayEquals(new float[] {-2, 3, -4, 5}, rows.toFloatArray());
    }
  }

  /** Backends take no F64. */
  @Test
  void narrowsRowsOfF64() {
    ByteBuffer bytes = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putDouble(.5).putDouble(-2);
    Path file =
        new SafeTensorsWriter()
            .tensor("e", "F64", new long[] {2, 1}, bytes.array())
            .write(temp.resolve("e"));
    try (SafeTensors tensors = SafeTensors.open(file);
        NDManager manager = NDManager.newBaseManager()) {
      EmbeddingTable table = new EmbeddingTable(tensors.tensors().get("e"));
      NDArray rows = table.rows(TestOps.over(manager), manager, 1, 0);
      assertArrayEquals(new float[] {-2, .5f}, rows.toFloatArray());
    }
  }

  @Test
  void refusesIdsThatAreNoRows() {
    Path file = new SafeTensorsWriter().floats("e", new long[] {5, 3}).write(temp.resolve("e"));
    try (SafeTensors tensors = SafeTensors.open(file)) {
      EmbeddingTable table = new EmbeddingTable(tensors.tensors().get("e"));
      for (int id : new int[] {-1, 5, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
        String message =
            assertThrows(CheckpointException.class, () -> table.rows(0, id)).getMessage();
        assertTrue(message.contains("token " + id + " is not in 'e'"), message);
        assertTrue(message.contains("5 rows"), message);
      }
    }
  }

  @Test
  void refusesWhatIsNoMatrixOfFractions() {
    Path file =
        new SafeTensorsWriter()
            .floats("vector", new long[] {5})
            .tensor("integers", "I32", new long[] {1, 1}, new byte[4])
            .write(temp.resolve("e"));
    try (SafeTensors tensors = SafeTensors.open(file)) {
      for (String name : new String[] {"vector", "integers"}) {
        String message =
            assertThrows(
                    CheckpointException.class,
                    () -> new EmbeddingTable(tensors.tensors().get(name)))
                .getMessage();
        assertTrue(message.contains("'" + name + "' is "), message);
      }
    }
  }
}
