package io.sparsevideo.kernels;

import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.DeviceMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** Copies of tests' tensors on the first CUDA device, and a stream for the kernels. */
final class DeviceTensors implements AutoCloseable {

  private final CudaContext context;
  private final CudaStream stream;
  private final List<DeviceMemory> allocated = new ArrayList<>();

  private DeviceTensors(CudaContext context) {
    this.context = context;
    stream = context.newStream();
  }

  /**
   * @throws io.sparsevideo.cuda.CudaUnavailableException without a driver or a device
   */
  static DeviceTensors open() {
    return new DeviceTensors(CudaDriver.load().device(0).retainContext());
  }

  CudaStream stream() {
    return stream;
  }

  /** A copy of memory; null of none, which the driver does not allocate. */
  MemorySegment upload(MemorySegment host) {
    if (host.byteSize() == 0) {
      return MemorySegment.NULL;
    }
    DeviceMemory memory = context.allocate(host.byteSize());
    allocated.add(memory);
    context.copyToDevice(memory.segment(), host);
    return memory.segment();
  }

  /** A copy of a tensor, gaps between its rows included. */
  Heads upload(Heads host) {
    return over(host, upload(host.data()));
  }

  /** The tensor's memory back on the host, once all that was launched has ended. */
  Heads download(Arena arena, Heads onDevice) {
    return over(onDevice, download(arena, onDevice.data()));
  }

  /** Memory back on the host, once all that was launched has ended. */
  MemorySegment download(Arena arena, MemorySegment onDevice) {
    MemorySegment host = arena.allocate(onDevice.byteSize(), 64);
    stream.synchronize();
    context.copyToHost(host, onDevice);
    return host;
  }

  /** Frees what was uploaded. */
  void free() {
    allocated.forEach(DeviceMemory::close);
    allocated.clear();
  }

  @Override
  public void close() {
    free();
    stream.close();
    context.close();
  }

  private static Heads over(Heads t, MemorySegment data) {
    return new Heads(
        data, t.type(), t.heads(), t.rows(), t.headDim(), t.headStride(), t.rowStride());
  }
}
