package io.sparsevideo.cli;

import ai.djl.Device;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionPreset;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** The values that options take, each refused with what it takes and what it got. */
final class Converters {
  private Converters() {}

  /** {@code cpu}, {@code cuda} or {@code cuda:N}. */
  static final class OfDevice implements ITypeConverter<Device> {
    private static final Pattern CUDA = Pattern.compile("cuda(?::(\\d{1,3}))?");

    @Override
    public Device convert(String value) {
      if (value.equals("cpu")) {
        return Device.cpu();
      }
      Matcher cuda = CUDA.matcher(value);
      if (cuda.matches()) {
        return Device.gpu(cuda.group(1) == null ? 0 : Integer.parseInt(cuda.group(1)));
      }
      throw refused("cpu, cuda or cuda:N", value);
    }
  }

  /** {@code dense}, {@code svg1} or {@code svg2}. */
  static final class OfKind implements ITypeConverter<AttentionMode.Kind> {
    @Override
    public AttentionMode.Kind convert(String value) {
      return Arrays.stream(AttentionMode.Kind.values())
          .filter(kind -> kind.label().equals(value))
          .findFirst()
          .orElseThrow(
              () ->
                  refused(
                      Arrays.stream(AttentionMode.Kind.values())
                          .map(AttentionMode.Kind::label)
                          .collect(Collectors.joining(", ")),
                      value));
    }
  }

  /** The name of a preset. */
  static final class OfPreset implements ITypeConverter<AttentionPreset> {
    @Override
    public AttentionPreset convert(String value) {
      try {
        return AttentionPreset.of(value);
      } catch (IllegalArgumentException e) {
        throw new TypeConversionException(e.getMessage());
      }
    }
  }

  /** A file or folder. */
  static final class OfPath implements ITypeConverter<Path> {
    @Override
    public Path convert(String value) {
      try {
        return Path.of(value);
      } catch (InvalidPathException e) {
        throw new TypeConversionException(
            "\"" + value + "\" cannot be a file's name here: " + e.getReason());
      }
    }
  }

  /** A folder; an empty name, which Java takes for the current one, is a script's mistake. */
  static final class OfFolder implements ITypeConverter<Path> {
    @Override
    public Path convert(String value) {
      if (value.isEmpty()) {
        throw refused("a folder", value);
      }
      return new OfPath().convert(value);
    }
  }

  /** A whole number from 1. */
  static final class OfCount implements ITypeConverter<Integer> {
    @Override
    public Integer convert(String value) {
      return whole("a whole number of at least 1", value, 1, Integer.MAX_VALUE);
    }
  }

  /** A whole number from 0 to 100. */
  static final class OfPercent implements ITypeConverter<Integer> {
    @Override
    public Integer convert(String value) {
      return whole("a whole number from 0 to 100", value, 0, 100);
    }
  }

  /** A number from 0 to 1. */
  static final class OfFraction implements ITypeConverter<Double> {
    @Override
    public Double convert(String value) {
      double number = number("a number from 0 to 1", value);
      if (!(number >= 0 && number <= 1)) {
        throw refused("a number from 0 to 1", value);
      }
      return number;
    }
  }

  /** A finite number. */
  static final class OfNumber implements ITypeConverter<Double> {
    @Override
    public Double convert(String value) {
      return number("a number", value);
    }
  }

  /** A finite number above 0. */
  static final class OfPositive implements ITypeConverter<Double> {
    @Override
    public Double convert(String value) {
      double number = number("a number above 0", value);
      if (!(number > 0)) {
        throw refused("a number above 0", value);
      }
      return number;
    }
  }

  /** A whole number of 64 bits. */
  static final class OfSeed implements ITypeConverter<Long> {
    @Override
    public Long convert(String value) {
      try {
        return Long.valueOf(value);
      } catch (NumberFormatException e) {
        throw refused("a whole number from -2^63 to 2^63 - 1", value);
      }
    }
  }

  private static int whole(String expected, String value, int least, int most) {
    try {
      int number = Integer.parseInt(value);
      if (number >= least && number <= most) {
        return number;
      }
    } catch (NumberFormatException e) {
      // Refused below, as a number that is out of range is.
    }
    throw refused(expected, value);
  }

  private static double number(String expected, String value) {
    try {
      double number = Double.parseDouble(value);
      if (Double.isFinite(number)) {
        return number;
      }
    } catch (NumberFormatException e) {
      // Refused below, as infinity is.
    }
    throw refused(expected, value);
  }

  private static TypeConversionException refused(String expected, String value) {
    return new TypeConversionException("expected " + expected + ", got \"" + value + "\"");
  }
}
