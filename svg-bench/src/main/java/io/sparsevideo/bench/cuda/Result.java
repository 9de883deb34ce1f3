package io.sparsevideo.bench.cuda;

import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * One row of a results file.
 *
 * @param benchmark for example {@code kmeans}
 * @param params sizes and options by name
 * @param ms median time of an operation on the device; null in what a peer's script prints
 * @param wallMs time of an operation as JMH measures it, launches and waits included; or null
 * @param rate what was done in that time, in {@code unit}; or null
 * @param unit TFLOP/s or GB/s
 * @param peer what the time is held against; or null
 * @param peerMs its time for the same work in the same run; or null
 * @param ratio our rate by the peer's; or null
 * @param device the card; not written into a results file, whose name says it
 */
record Result(
    String benchmark,
    Map<String, Object> params,
    Double ms,
    Double wallMs,
    Double rate,
    String unit,
    String peer,
    Double peerMs,
    Double ratio,
    String device) {

  /** A time, held against nothing. */
  static Result of(String benchmark, Map<String, Object> params, double ms) {
    return new Result(benchmark, params, ms, null, null, null, null, null, null, null);
  }

  /** A time and a rate, held against nothing. */
  static Result of(
      String benchmark,
      Map<String, Object> params,
      double ms,
      double wallMs,
      double rate,
      String unit) {
    return new Result(benchmark, params, ms, wallMs, rate, unit, null, null, null, null);
  }

  /** This result held against a peer's time. */
  Result against(String name, double milliseconds) {
    return new Result(
        benchmark, params, ms, wallMs, rate, unit, name, milliseconds, milliseconds / ms, device);
  }

  /** This result held against a rate, without a time. */
  Result againstRate(String name, double other) {
    return new Result(benchmark, params, ms, wallMs, rate, unit, name, null, rate / other, device);
  }

  /**
   * This result held against each of the peers that do some work.
   *
   * @param work what is done, in the peers' params
   */
  List<Result> against(Map<String, Object> work, List<Result> peers) {
    return peers.stream()
        .filter(peer -> peer.benchmark.equals(benchmark))
        .filter(peer -> covers(peer.params, work) && covers(work, peer.params))
        .map(peer -> against(peer.peer, peer.peerMs))
        .toList();
  }

  /** An option that one side leaves out is off there; the type of elements may be left out. */
  private static boolean covers(Map<String, Object> some, Map<String, Object> others) {
    return some.entrySet().stream()
        .allMatch(
            entry -> {
              Object other = others.get(entry.getKey());
              return other == null
                  ? entry.getKey().equals("dtype") || Boolean.FALSE.equals(entry.getValue())
                  : equal(entry.getValue(), other);
            });
  }

  private static boolean equal(Object a, Object b) {
    return a instanceof Number x && b instanceof Number y
        ? Math.abs(x.doubleValue() - y.doubleValue()) < 1e-9
        : Objects.equals(a, b);
  }
}
