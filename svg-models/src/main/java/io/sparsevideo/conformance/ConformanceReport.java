package io.sparsevideo.conformance;

import java.util.List;

/**
 * How all recorded stages of a golden folder compared.
 *
 * @param stages in the order in which they ran
 */
public record ConformanceReport(List<StageResult> stages) {
  public ConformanceReport {
    stages = List.copyOf(stages);
  }

  public int count(StageResult.Status status) {
    return (int) stages.stream().filter(stage -> stage.status() == status).count();
  }

  /** Whether there were stages and all of them were ok. */
  public boolean passed() {
    return !stages.isEmpty() && count(StageResult.Status.OK) == stages.size();
  }
}
