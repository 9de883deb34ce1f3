package io.sparsevideo.bench.cuda;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** Collects the rows of a results file: a result has one for each thing it is held against. */
final class ResultRows {
  private final List<Result> peers;
  private final List<Result> results = new ArrayList<>();

  /**
   * @param peers times of other implementations
   */
  ResultRows(List<Result> peers) {
    this.peers = peers;
  }

  List<Result> results() {
    return Collections.unmodifiableList(results);
  }

  /** Adds a result that nothing is held against. */
  void add(Result result) {
    results.add(result);
  }

  /** As {@link #addCompared(Result, Map, List)}, with peers only. */
  List<Result> addCompared(Result result, Map<String, Object> work) {
    return addCompared(result, work, List.of());
  }

  /**
   * Adds a result, held against all peers of some work.
   *
   * @param work what the peers' params say; the result's may say more
   * @param own the result held against other times of ours; these rows come first
   * @return the rows that compare
   */
  List<Result> addCompared(Result result, Map<String, Object> work, List<Result> own) {
    List<Result> compared = new ArrayList<>(own);
    compared.addAll(result.against(work, peers));
    results.addAll(compared.isEmpty() ? List.of(result) : compared);
    return compared;
  }
}
