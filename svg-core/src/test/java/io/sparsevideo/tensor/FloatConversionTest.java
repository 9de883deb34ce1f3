package io.sparsevideo.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.DataType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class FloatConversionTest {

  /** Every one of the 65,536 values, and so several chunks with a remainder. */
  @Test
  void widensEveryBfloat16() {
    short[] halves = allHalves(3);
    float[] actual = new float[halves.length];
    FloatConversion.toFloat32(
        MemorySegment.ofArray(halves), DataType.BFLOAT16, MemorySegment.ofArray(actual));
    for (int i = 0; i < halves.length; i++) {
      assertEquals(bfloat16Value(halves[i]), actual[i]);
    }
  }

  @Test
  void widensEveryFloat16() {
    short[] halves = allHalves(5);
    float[] actual = new float[halves.length];
    FloatConversion.toFloat32(
        MemorySegment.ofArray(halves), DataType.FLOAT16, MemorySegment.ofArray(actual));
    for (int i = 0; i < halves.length; i++) {
      assertEquals(float16Value(halves[i]), actual[i]);
    }
  }

  @Test
  void narrowsEveryBfloat16ToItself() {
    short[] halves = allHalves(1);
    float[] wide = new float[halves.length];
    short[] actual = new short[halves.length];
    FloatConversion.toFloat32(
        MemorySegment.ofArray(halves), DataType.BFLOAT16, MemorySegment.ofArray(wide));
    FloatConversion.toBfloat16(
        MemorySegment.ofArray(wide), DataType.FLOAT32, MemorySegment.ofArray(actual));
    for (int i = 0; i < halves.length; i++) {
      if (Float.isNaN(wide[i])) {
        assertTrue(Float.isNaN(bfloat16Value(actual[i])));
      } else {
        assertEquals(halves[i], actual[i]);
      }
    }
  }

  @Test
  void roundsToNearestWithTiesToEven() {
    assertBfloat16(0x3f80, 0x3f807fff);
    assertBfloat16(0x3f80, 0x3f808000);
    assertBfloat16(0x3f81, 0x3f808001);
    assertBfloat16(0x3f82, 0x3f818000);
    assertBfloat16(0xbf82, 0xbf818000);
    assertBfloat16(0x0000, 0x00008000);
    assertBfloat16(0x8000, 0x80000001);
    assertBfloat16(0x7f80, 0x7f7fffff); // the largest float is nearer to infinity
    assertBfloat16(0x7f80, 0x7f800000);
    assertBfloat16(0xff80, 0xff800000);
    assertBfloat16(0x7fc0, 0x7f800001); // a NaN whose payload would be cut off
    assertBfloat16(0xffff, 0xffffffff);
  }

  @Test
  void narrowsRandomFloatsToTheNearest() {
    Random random = new Random(7);
    for (int i = 0; i < 10_000; i++) {
      float value = Float.intBitsToFloat(random.nextInt());
      if (!Float.isFinite(value)) {
        continue;
      }
      short actual = FloatConversion.floatToBfloat16(value);
      BigDecimal error = error(value, actual);
      assertTrue(error.compareTo(error(value, (short) (actual - 1))) <= 0);
      assertTrue(error.compareTo(error(value, (short) (actual + 1))) <= 0);
    }
  }

  @Test
  void convertsFloat64ByWayOfFloat32() {
    double[] doubles = new double[9001];
    Random random = new Random(11);
    for (int i = 0; i < doubles.length; i++) {
      doubles[i] = random.nextGaussian() * Math.pow(10, random.nextInt(-50, 50));
    }
    doubles[17] = Double.NaN;
    doubles[18] = Double.NEGATIVE_INFINITY;
    float[] floats = new float[doubles.length];
    short[] halves = new short[doubles.length];
    MemorySegment source = MemorySegment.ofArray(doubles);
    FloatConversion.toFloat32(source, DataType.FLOAT64, MemorySegment.ofArray(floats));
    FloatConversion.toBfloat16(source, DataType.FLOAT64, MemorySegment.ofArray(halves));
    for (int i = 0; i < doubles.length; i++) {
      assertEquals((float) doubles[i], floats[i]);
      assertEquals(FloatConversion.floatToBfloat16((float) doubles[i]), halves[i]);
    }
  }

  /** Tensors of a mapped file start at any byte. */
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 4095, 4096, 4097, 12_289})
  void convertsUnalignedNativeMemoryOfAnyLength(int count) {
    Random random = new Random(count);
    float[] expected = new float[count];
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment source = arena.allocate(2L * count + 1, 1).asSlice(1);
      for (int i = 0; i < count; i++) {
        short half = (short) (random.nextInt() & 0x7f7f);
        source.set(
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN), 2L * i, half);
        expected[i] = bfloat16Value(half);
      }
      MemorySegment target = arena.allocate(4L * count + 3, 1).asSlice(3);
      FloatConversion.toFloat32(source, DataType.BFLOAT16, target);
      assertArrayEquals(
          expected,
          target.toArray(ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN)));
    }
  }

  @Test
  void copiesWhatIsAlreadyOfTheWantedType() {
    float[] floats = {1.5f, -0f, Float.NaN, 1e-42f};
    float[] copy = new float[4];
    FloatConversion.toFloat32(
        MemorySegment.ofArray(floats), DataType.FLOAT32, MemorySegment.ofArray(copy));
    assertArrayEquals(floats, copy);
    short[] halves = {1, 2, (short) 0xffc1};
    short[] same = new short[3];
    FloatConversion.toBfloat16(
        MemorySegment.ofArray(halves), DataType.BFLOAT16, MemorySegment.ofArray(same));
    assertArrayEquals(halves, same);
  }

  @ParameterizedTest
  @EnumSource(
      value = DataType.class,
      names = {"INT64", "INT32", "UINT8", "BOOLEAN", "STRING", "UNKNOWN"})
  void refusesTypesWithoutFractions(DataType stored) {
    MemorySegment memory = MemorySegment.ofArray(new byte[8]);
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> FloatConversion.toFloat32(memory, stored, memory))
            .getMessage();
    assertTrue(message.contains(stored.name()), message);
  }

  @Test
  void refusesSizesThatDoNotMatch() {
    MemorySegment source = MemorySegment.ofArray(new byte[10]);
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () ->
                    FloatConversion.toFloat32(
                        source, DataType.FLOAT16, MemorySegment.ofArray(new byte[24])))
            .getMessage();
    assertTrue(message.contains("10 bytes of FLOAT16 to 24 bytes of FLOAT32"), message);
    assertThrows(
        IllegalArgumentException.class,
        () ->
            FloatConversion.toFloat32(
                source, DataType.FLOAT32, MemorySegment.ofArray(new byte[8])));
  }

  private static void assertBfloat16(int expectedBits, int floatBits) {
    assertEquals(
        (short) expectedBits, FloatConversion.floatToBfloat16(Float.intBitsToFloat(floatBits)));
  }

  private static BigDecimal error(float value, short bfloat16) {
    float other = bfloat16Value(bfloat16);
    // Beyond the largest value the next one counts as 2^128 for rounding.
    BigDecimal exact =
        Float.isFinite(other)
            ? new BigDecimal(other)
            : new BigDecimal(Math.copySign(0x1p128, other));
    return new BigDecimal(value).subtract(exact).abs();
  }

  private static short[] allHalves(int surplus) {
    short[] halves = new short[(1 << 16) + surplus];
    for (int i = 0; i < halves.length; i++) {
      halves[i] = (short) i;
    }
    return halves;
  }

  /** A bfloat16 is the first two bytes of a big-endian float. */
  private static float bfloat16Value(short bits) {
    return ByteBuffer.allocate(4).putShort(bits).putShort((short) 0).flip().getFloat();
  }

  /** By the definition of binary16: one sign bit, five of exponent, ten of fraction. */
  private static float float16Value(short bits) {
    int exponent = bits >> 10 & 31;
    int fraction = bits & 1023;
    double magnitude =
        switch (exponent) {
          case 31 -> fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
          case 0 -> fraction * 0x1p-24;
          default -> (1024 + fraction) * Math.pow(2, exponent - 25);
        };
    return (float) (bits < 0 ? -magnitude : magnitude);
  }
}
