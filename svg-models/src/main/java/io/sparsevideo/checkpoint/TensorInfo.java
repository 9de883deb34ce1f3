package io.sparsevideo.checkpoint;

import ai.djl.ndarray.types.Shape;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/**
 * A stored tensor.
 *
 * @param name its name in the checkpoint
 * @param type of the stored values
 * @param data the values, little endian and row-major, of exactly the size that shape and type
 *     imply; read-only, mapped from the file and valid until the file is closed
 * @param file where it is stored
 */
public record TensorInfo(
    String name, StoredType type, Shape shape, MemorySegment data, Path file) {}
