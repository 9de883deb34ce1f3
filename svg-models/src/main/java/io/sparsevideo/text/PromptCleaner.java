package io.sparsevideo.text;

import java.text.Normalizer;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Cleans a prompt as the public Wan pipeline does before it tokenizes: repairs of text that went
 * through a wrong decoder or a word processor (there by the Python library ftfy), HTML entities
 * resolved twice, white space collapsed.
 *
 * <p>Of ftfy's repairs these are made: UTF-8 that was read as Windows-1252 or Latin-1, C1 control
 * characters, Latin ligatures, full-width and half-width forms, curly quotes, unpaired surrogates,
 * terminal escapes, control characters, and composition (NFC). Not made are repairs of text that
 * was read in other encodings or has lost characters, and of entities in the wrong case.
 */
public final class PromptCleaner {
  /** What Python's {@code \s} matches in text. */
  private static final Pattern WHITE_SPACE =
      Pattern.compile(
          "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+");

  private static final Pattern CLOSED_REFERENCE = Pattern.compile("&#?[0-9A-Za-z]{1,31};");
  private static final Pattern LIGATURE =
      Pattern.compile("[\\u0132\\u0133\\u0149\\u01c4-\\u01cc\\u01f1-\\u01f3\\ufb00-\\ufb06]");
  private static final Pattern OTHER_WIDTH = Pattern.compile("[\\u3000\\uff01-\\uffef]");
  private static final Pattern SINGLE_QUOTE = Pattern.compile("[\\u02bc\\u2018-\\u201b]");
  private static final Pattern DOUBLE_QUOTE = Pattern.compile("[\\u201c-\\u201f]");
  private static final Pattern TERMINAL_ESCAPE = Pattern.compile("\\x1b\\[[0-9;]*[a-zA-Z]");

  /** Control characters that are not white space, deprecated format characters, byte order mark. */
  private static final Pattern CONTROL =
      Pattern.compile("[\\x00-\\x08\\x0b\\x0e-\\x1f\\x7f\\u206a-\\u206f\\ufeff\\ufff9-\\ufffc]");

  private PromptCleaner() {}

  /** The cleaned prompt. */
  public static String clean(String prompt) {
    String text = HtmlEntities.unescape(HtmlEntities.unescape(repair(prompt)));
    return WHITE_SPACE.matcher(text).replaceAll(" ").strip();
  }

  /** The text with U+FFFD for every surrogate that is not half of a character. */
  static String replaceUnpairedSurrogates(String text) {
    return text.codePoints()
        .map(c -> Character.getType(c) == Character.SURROGATE ? 0xfffd : c)
        .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
        .toString();
  }

  /** Repairs until nothing changes any more: one repair can uncover the next. */
  private static String repair(String prompt) {
    String text = prompt;
    String before;
    do {
      before = text;
      if (text.indexOf('<') < 0) { // else it may be about markup, and its entities are meant
        text = replace(CLOSED_REFERENCE, text, HtmlEntities::unescape);
      }
      text = Mojibake.replaceC1Controls(Mojibake.repair(text));
      text = replace(LIGATURE, text, PromptCleaner::compatible);
      text = replace(OTHER_WIDTH, text, PromptCleaner::compatible);
      text = SINGLE_QUOTE.matcher(text).replaceAll("'");
      text = DOUBLE_QUOTE.matcher(text).replaceAll("\"");
      text = replaceUnpairedSurrogates(text);
      text = TERMINAL_ESCAPE.matcher(text).replaceAll("");
      text = CONTROL.matcher(text).replaceAll("");
      text = Normalizer.normalize(text, Normalizer.Form.NFC);
    } while (!text.equals(before));
    return text;
  }

  private static String replace(Pattern pattern, String text, UnaryOperator<String> replacement) {
    return pattern
        .matcher(text)
        .replaceAll(match -> Matcher.quoteReplacement(replacement.apply(match.group())));
  }

  private static String compatible(String characters) {
    return Normalizer.normalize(characters, Normalizer.Form.NFKC);
  }
}
