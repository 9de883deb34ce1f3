package io.sparsevideo.cli;

import static io.sparsevideo.attention.AttentionMode.Kind.DENSE;
import static io.sparsevideo.attention.AttentionMode.Kind.SVG1;
import static io.sparsevideo.attention.AttentionMode.Kind.SVG2;

import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionMode.Kind;
import io.sparsevideo.attention.AttentionPreset;
import java.util.EnumSet;
import java.util.Set;
import java.util.stream.Collectors;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The options that set up the sparse modes. */
final class AttentionOptions {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec command;

  @Option(
      names = "--preset",
      paramLabel = "NAME",
      converter = Converters.OfPreset.class,
      description =
          "Values of the sparse modes, and of steps, flow shift and size where the checkpoint has"
              + " none: reference (default) or paper.")
  private AttentionPreset preset;

  @Option(
      names = "--first-times",
      paramLabel = "X",
      converter = Converters.OfFraction.class,
      description = "Fraction of the steps, from the first on, that stay dense.")
  private Double firstTimes;

  @Option(
      names = "--first-layers",
      paramLabel = "X",
      converter = Converters.OfFraction.class,
      description = "Fraction of the layers, from the first on, that stay dense.")
  private Double firstLayers;

  @Option(
      names = "--density",
      paramLabel = "X",
      converter = Converters.OfFraction.class,
      description = "svg1: requested density, which sets the width of the band.")
  private Double density;

  @Option(
      names = "--sampled-rows",
      paramLabel = "N",
      converter = Converters.OfCount.class,
      description = "svg1: query rows that the choice of each head's band looks at.")
  private Integer sampledRows;

  @Option(
      names = "--top-p",
      paramLabel = "P",
      converter = Converters.OfFraction.class,
      description = "svg2: cumulative probability up to which key clusters are kept.")
  private Double topP;

  @Option(
      names = "--min-key-ratio",
      paramLabel = "X",
      converter = Converters.OfFraction.class,
      description = "svg2: least fraction of the key clusters that is kept.")
  private Double minKeyRatio;

  @Option(
      names = "--query-clusters",
      paramLabel = "N",
      converter = Converters.OfCount.class,
      description = "svg2: number of query clusters.")
  private Integer queryClusters;

  @Option(
      names = "--key-clusters",
      paramLabel = "N",
      converter = Converters.OfCount.class,
      description = "svg2: number of key clusters.")
  private Integer keyClusters;

  /**
   * Refuses options that none of the modes has a use for.
   *
   * @param kinds the modes that will run
   */
  void check(Set<Kind> kinds) {
    check("--first-times", firstTimes, kinds, EnumSet.of(SVG1, SVG2));
    check("--first-layers", firstLayers, kinds, EnumSet.of(SVG1, SVG2));
    check("--density", density, kinds, EnumSet.of(SVG1));
    check("--sampled-rows", sampledRows, kinds, EnumSet.of(SVG1));
    check("--top-p", topP, kinds, EnumSet.of(SVG2));
    check("--min-key-ratio", minKeyRatio, kinds, EnumSet.of(SVG2));
    check("--query-clusters", queryClusters, kinds, EnumSet.of(SVG2));
    check("--key-clusters", keyClusters, kinds, EnumSet.of(SVG2));
  }

  private void check(String option, Object value, Set<Kind> running, Set<Kind> owners) {
    if (value != null && owners.stream().noneMatch(running::contains)) {
      throw new ParameterException(
          command.commandLine(),
          "%s belongs to --attention %s, this run uses %s"
              .formatted(option, labels(owners), labels(running)));
    }
  }

  private static String labels(Set<Kind> kinds) {
    return kinds.stream().map(Kind::label).collect(Collectors.joining(" or "));
  }

  /** The mode of this kind, with those of the options that it has a use for. */
  AttentionMode mode(Kind kind) {
    AttentionMode mode = AttentionMode.of(kind);
    if (preset != null) {
      mode = mode.optPreset(preset);
    }
    if (kind != DENSE && firstTimes != null) {
      mode = mode.optFirstTimes(firstTimes);
    }
    if (kind != DENSE && firstLayers != null) {
      mode = mode.optFirstLayers(firstLayers);
    }
    if (kind == SVG1 && density != null) {
      mode = mode.optDensity(density);
    }
    if (kind == SVG1 && sampledRows != null) {
      mode = mode.optSampledRows(sampledRows);
    }
    if (kind == SVG2 && topP != null) {
      mode = mode.optTopP(topP);
    }
    if (kind == SVG2 && minKeyRatio != null) {
      mode = mode.optMinKeyRatio(minKeyRatio);
    }
    if (kind == SVG2 && queryClusters != null) {
      mode = mode.optQueryClusters(queryClusters);
    }
    if (kind == SVG2 && keyClusters != null) {
      mode = mode.optKeyClusters(keyClusters);
    }
    return mode;
  }
}
