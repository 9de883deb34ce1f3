package io.sparsevideo.conformance;

/**
 * How one recorded stage of a golden folder compared.
 *
 * @param name the stage, as the recording names it
 * @param error relative error ‖a − b‖ / ‖b‖ against the recording; NaN when the stage did not run
 * @param tolerance largest error that is ok; NaN when the stage did not run
 * @param status ok, failed or not supported
 * @param detail what a person needs beside the numbers, such as why a stage failed; may be empty
 */
public record StageResult(
    String name, double error, double tolerance, Status status, String detail) {

  /** What came of a stage. */
  public enum Status {
    OK("ok"),
    FAILED("FAILED"),
    /** The recording holds a stage that this version does not know. */
    NOT_SUPPORTED("not supported yet");

    private final String label;

    Status(String label) {
      this.label = label;
    }

    /** What a person reads. */
    public String label() {
      return label;
    }
  }
}
