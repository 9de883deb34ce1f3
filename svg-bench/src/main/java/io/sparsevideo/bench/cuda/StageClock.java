package io.sparsevideo.bench.cuda;

import io.sparsevideo.cuda.CudaEvent;
import io.sparsevideo.cuda.CudaStream;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/**
 * What the stages of a denoising step take on the device, by events on its stream. Nothing waits
 * until {@link #read}.
 */
final class StageClock implements AutoCloseable {

  /** What is timed. Whole stretches enclose the stages. */
  enum Stage {
    STEP("step"),
    BLOCKS("blocks"),
    GEMM("GEMM"),
    ATTENTION("attention"),
    KMEANS("k-means"),
    MAP("map"),
    PROFILING("profiling"),
    PERMUTATION("permutation"),
    NORMS("norms");

    private final String label;

    Stage(String label) {
      this.label = label;
    }

    String label() {
      return label;
    }

    boolean isWhole() {
      return this == STEP || this == BLOCKS;
    }
  }

  private final CudaStream stream;
  private final List<CudaEvent> events = new ArrayList<>();
  private final List<Span> spans = new ArrayList<>();
  private boolean detailed;

  private record Span(Stage stage, CudaEvent start, CudaEvent end) {}

  StageClock(CudaStream stream) {
    this.stream = stream;
  }

  /** Whether single stages are timed from here on, which puts two events around each kernel. */
  void setDetailed(boolean detailed) {
    this.detailed = detailed;
  }

  <T> T time(Stage stage, Supplier<T> work) {
    if (!detailed && !stage.isWhole()) {
      return work.get();
    }
    CudaEvent start = mark();
    T result = work.get();
    add(stage, start);
    return result;
  }

  /** Where a stretch starts that {@link #add} ends. */
  CudaEvent mark() {
    CudaEvent event = stream.context().newEvent();
    events.add(event); // closed with the others, even when what it starts fails
    stream.record(event);
    return event;
  }

  void add(Stage stage, CudaEvent start) {
    spans.add(new Span(stage, start, mark()));
  }

  /** Waits, and gives the milliseconds of each stage since the last reading. */
  Map<Stage, Double> read() {
    stream.synchronize();
    Map<Stage, Double> times = new EnumMap<>(Stage.class);
    spans.forEach(
        s -> times.merge(s.stage, (double) s.end.millisecondsSince(s.start), Double::sum));
    close();
    return times;
  }

  @Override
  public void close() {
    events.forEach(CudaEvent::close);
    events.clear();
    spans.clear();
  }
}
