package io.sparsevideo.checkpoint;

import ai.djl.ndarray.types.DataType;
import java.util.Optional;

/**
 * The types that a safetensors file may declare, by the names it uses. Files with any of them can
 * be opened; weights can be loaded from those that have a {@link #dataType()}.
 */
public enum StoredType {
  F64(64, DataType.FLOAT64),
  F32(32, DataType.FLOAT32),
  F16(16, DataType.FLOAT16),
  BF16(16, DataType.BFLOAT16),
  I64(64, DataType.INT64),
  I32(32, DataType.INT32),
  I16(16, null),
  I8(8, null),
  U64(64, null),
  U32(32, null),
  U16(16, null),
  U8(8, null),
  BOOL(8, null),
  C64(64, null),
  F8_E5M2(8, null),
  F8_E4M3(8, null),
  F8_E5M2FNUZ(8, null),
  F8_E4M3FNUZ(8, null),
  F8_E8M0(8, null),
  F6_E3M2(6, null),
  F6_E2M3(6, null),
  F4(4, null);

  private final int bits;
  private final DataType dataType;

  StoredType(int bits, DataType dataType) {
    this.bits = bits;
    this.dataType = dataType;
  }

  /** Size of one value; values of fewer than eight bits are packed. */
  public int bits() {
    return bits;
  }

  /** The type of a tensor loaded from such values; empty for those that no model here uses. */
  public Optional<DataType> dataType() {
    return Optional.ofNullable(dataType);
  }

  /** Whether weights that are computed with may be stored so. */
  public boolean isFloating() {
    return dataType != null && dataType.isFloating();
  }
}
