package io.sparsevideo.attention;

import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;

/**
 * Which self-attention a pipeline runs, and what of it differs from the preset. Immutable: every
 * {@code opt…} call returns a new mode.
 *
 * <p>Values that are not set here come from the preset's entry for the model family and size, see
 * {@link AttentionSettings#resolve}. An {@code opt…} call throws {@link IllegalArgumentException}
 * when its value is out of range or belongs to another kind; the message names both.
 */
public final class AttentionMode {

  /** The three kinds of self-attention. */
  public enum Kind {
    /** Every token sees every token. */
    DENSE,
    /** Spatial and temporal bands, chosen per head by online profiling (Sparse VideoGen). */
    SVG1,
    /** k-means permutation with top-p block selection (Sparse VideoGen 2). */
    SVG2;

    /** The name that the command line uses. */
    public String label() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /** What can be set apart from the preset. */
  enum Option {
    FIRST_TIMES("firstTimes", null),
    FIRST_LAYERS("firstLayers", null),
    DENSITY("density", Kind.SVG1),
    SAMPLED_ROWS("sampledRows", Kind.SVG1),
    TOP_P("topP", Kind.SVG2),
    MIN_KEY_RATIO("minKeyRatio", Kind.SVG2),
    QUERY_CLUSTERS("queryClusters", Kind.SVG2),
    KEY_CLUSTERS("keyClusters", Kind.SVG2);

    private final String label;
    private final Kind owner;

    Option(String label, Kind owner) {
      this.label = label;
      this.owner = owner;
    }
  }

  private final Kind kind;
  private final AttentionPreset preset;
  private final Map<Option, Double> options;

  private AttentionMode(Kind kind, AttentionPreset preset, Map<Option, Double> options) {
    this.kind = Objects.requireNonNull(kind, "kind");
    this.preset = preset;
    this.options = options;
  }

  /** Every token sees every token. */
  public static AttentionMode dense() {
    return of(Kind.DENSE);
  }

  /** {@link Kind#SVG1} with the preset's values. */
  public static AttentionMode svg1() {
    return of(Kind.SVG1);
  }

  /** {@link Kind#SVG2} with the preset's values. */
  public static AttentionMode svg2() {
    return of(Kind.SVG2);
  }

  /** This kind with the preset's values. */
  public static AttentionMode of(Kind kind) {
    return new AttentionMode(kind, null, Map.of());
  }

  public Kind kind() {
    return kind;
  }

  /** The preset's name; "reference" unless set. */
  public AttentionPreset preset() {
    return preset == null ? AttentionPreset.REFERENCE : preset;
  }

  /**
   * Whether the caller named the preset, which lets it set flow shift, steps, guidance and sizes
   * too.
   */
  public boolean presetNamed() {
    return preset != null;
  }

  /** Default: reference; naming it counts, see {@link #presetNamed}. */
  public AttentionMode optPreset(AttentionPreset value) {
    return new AttentionMode(kind, Objects.requireNonNull(value, "preset"), options);
  }

  /** Fraction of the steps, from the first on, that stay dense. */
  public AttentionMode optFirstTimes(double value) {
    return with(Option.FIRST_TIMES, value, 1);
  }

  /** Fraction of the layers, from the first on, that stay dense. */
  public AttentionMode optFirstLayers(double value) {
    return with(Option.FIRST_LAYERS, value, 1);
  }

  /** SVG1: the requested density, which sets the band's width. */
  public AttentionMode optDensity(double value) {
    return with(Option.DENSITY, value, 1);
  }

  /** SVG1: query rows that the online profiling samples; default 64. */
  public AttentionMode optSampledRows(int value) {
    return with(Option.SAMPLED_ROWS, value, Integer.MAX_VALUE);
  }

  /** SVG2: cumulative probability up to which key clusters are kept; 1 keeps all. */
  public AttentionMode optTopP(double value) {
    return with(Option.TOP_P, value, 1);
  }

  /** SVG2: least fraction of the key clusters that is kept; default 0.1. */
  public AttentionMode optMinKeyRatio(double value) {
    return with(Option.MIN_KEY_RATIO, value, 1);
  }

  /** SVG2: clusters of queries; more than there are video tokens are as many as these. */
  public AttentionMode optQueryClusters(int value) {
    return with(Option.QUERY_CLUSTERS, value, Integer.MAX_VALUE);
  }

  /** SVG2: clusters of keys, as {@link #optQueryClusters}. */
  public AttentionMode optKeyClusters(int value) {
    return with(Option.KEY_CLUSTERS, value, Integer.MAX_VALUE);
  }

  double get(Option option, double preset) {
    return options.getOrDefault(option, preset);
  }

  int get(Option option, int preset) {
    return options.getOrDefault(option, (double) preset).intValue();
  }

  /** Counts are at least 1 and have {@code max} above 1; fractions are in [0, 1]. */
  private AttentionMode with(Option option, double value, int max) {
    if (option.owner != null && option.owner != kind) {
      throw new IllegalArgumentException(
          option.label
              + " belongs to "
              + option.owner.label()
              + " attention, this mode is "
              + kind.label());
    }
    double min = max == 1 ? 0 : 1;
    if (!(value >= min && value <= max)) {
      throw new IllegalArgumentException(
          option.label
              + (max == 1 ? " must be in [0, 1], is " : " must be at least 1, is ")
              + number(value));
    }
    Map<Option, Double> next = new EnumMap<>(Option.class);
    next.putAll(options);
    next.put(option, value);
    return new AttentionMode(kind, preset, next);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof AttentionMode mode
        && kind == mode.kind
        && preset == mode.preset
        && options.equals(mode.options);
  }

  @Override
  public int hashCode() {
    return Objects.hash(kind, preset, options);
  }

  /** 0.5, 7: counts have no fraction. */
  private static String number(double value) {
    return value == Math.rint(value) ? Long.toString((long) value) : Double.toString(value);
  }

  /** For people: "svg2 (reference, topP 0.5)". */
  @Override
  public String toString() {
    StringBuilder text = new StringBuilder(kind.label());
    if (kind != Kind.DENSE) {
      text.append(" (").append(preset().label());
      options.forEach(
          (option, value) ->
              text.append(", ").append(option.label).append(' ').append(number(value)));
      text.append(')');
    }
    return text.toString();
  }
}
