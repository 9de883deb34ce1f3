package io.sparsevideo.text;

import java.math.BigInteger;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jsoup.parser.Parser;

/**
 * HTML character references, resolved as the HTML standard and Python's {@code html.unescape} do:
 * named ones by the longest name that fits, with the semicolon optional where the standard has it
 * optional, and numeric ones with the standard's corrections.
 *
 * <p>The names are jsoup's. Numeric references are resolved here because jsoup keeps NUL,
 * surrogates and noncharacters, which Python replaces or drops.
 */
final class HtmlEntities {
  private static final Pattern REFERENCE =
      Pattern.compile(
          "&(?:#(?<decimal>[0-9]+);?|#[xX](?<hex>[0-9a-fA-F]+);?|[^\\t\\n\\f <&#;]{1,32};?)");

  private static final String REPLACEMENT = "\ufffd";

  private HtmlEntities() {}

  /** Resolves every reference once: {@code &amp;lt;} becomes {@code &lt;}. */
  static String unescape(String text) {
    return REFERENCE.matcher(text).replaceAll(m -> Matcher.quoteReplacement(resolve(m)));
  }

  private static String resolve(MatchResult reference) {
    if (reference.group("decimal") != null) {
      return resolve(new BigInteger(reference.group("decimal")));
    }
    if (reference.group("hex") != null) {
      return resolve(new BigInteger(reference.group("hex"), 16));
    }
    return Parser.unescapeEntities(reference.group(), false);
  }

  private static String resolve(BigInteger number) {
    if (number.bitLength() > Integer.SIZE - 1) {
      return REPLACEMENT;
    }
    int code = number.intValue();
    if (code == 0 || !Character.isValidCodePoint(code) || isSurrogate(code)) {
      return REPLACEMENT;
    }
    if (code >= 0x80 && code <= 0x9f) {
      return String.valueOf(Windows1252.decode(code));
    }
    boolean whiteSpace = code == '\t' || code == '\n' || code == '\f' || code == '\r';
    if (Character.isISOControl(code) && !whiteSpace || isNoncharacter(code)) {
      return "";
    }
    return Character.toString(code);
  }

  private static boolean isSurrogate(int code) {
    return code >= Character.MIN_SURROGATE && code <= Character.MAX_SURROGATE;
  }

  private static boolean isNoncharacter(int code) {
    return (code & 0xfffe) == 0xfffe || code >= 0xfdd0 && code <= 0xfdef;
  }
}
