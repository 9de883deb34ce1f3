package io.sparsevideo.text;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Repairs UTF-8 text that was read as Windows-1252 or Latin-1: {@code cafÃ©} is {@code café}, and
 * {@code itâ€™s} is {@code it’s}.
 *
 * <p>A run of characters beyond ASCII is a candidate when its bytes are valid UTF-8. Real text
 * almost never is, since every accented letter would have to be followed by one or more symbols,
 * but a capital letter and a closing mark can be: {@code «CAFÉ»} holds the bytes of a phonetic
 * letter. So something is only repaired when a run is found that cannot sensibly be meant; then all
 * other candidates are taken as damaged too, unless some run is not valid UTF-8 and so shows that
 * the text is a mixture.
 */
final class Mojibake {
  /** What may directly follow a word: closing marks, footnote signs and the like. */
  private static final String CLOSING =
      "\u201d\u201c\u2018\u00bb\u00ab\u203a\u2039\u2122\u00ae\u00a9\u00b0\u00b9\u00b2\u00b3\u00aa"
          + "\u00ba\u2020\u2021\u20ac";

  /** What may stand between a word and the next one. */
  private static final String JOINING = "\u2019\u2013\u2014\u2026\u00b7\u2022\u00b4\u00a0\u00ad";

  private Mojibake() {}

  /** A maximal run of characters that are bytes from 0x80 on, at [start, end) of the text. */
  private record Run(int start, int end, String decoded, boolean distinctive) {}

  /** Repairs until nothing is damaged: text can have gone through the wrong decoder twice. */
  static String repair(String text) {
    String repaired = repairOnce(text);
    return repaired.equals(text) ? text : repair(repaired);
  }

  private static String repairOnce(String text) {
    List<Run> runs = runs(text);
    if (runs.stream().noneMatch(Run::distinctive)) {
      return text;
    }
    boolean consistent = runs.stream().allMatch(run -> run.decoded != null);
    StringBuilder repaired = new StringBuilder();
    int end = 0;
    for (Run run : runs) {
      if (run.distinctive || consistent) {
        repaired.append(text, end, run.start).append(run.decoded);
        end = run.end;
      }
    }
    return repaired.append(text, end, text.length()).toString();
  }

  /** Control characters from 0x80 on are Windows-1252 that was read as Latin-1. */
  static String replaceC1Controls(String text) {
    StringBuilder replaced = new StringBuilder(text);
    for (int i = 0; i < replaced.length(); i++) {
      char c = replaced.charAt(i);
      if (c <= 0xff) {
        replaced.setCharAt(i, Windows1252.decode(c));
      }
    }
    return replaced.toString();
  }

  private static List<Run> runs(String text) {
    List<Run> runs = new ArrayList<>();
    int start = 0;
    while (start < text.length()) {
      int end = start;
      while (end < text.length() && Windows1252.encode(text.charAt(end)) >= 0x80) {
        end++;
      }
      if (end > start) {
        String decoded = decode(text.substring(start, end));
        boolean distinctive = decoded != null && isDistinctive(text, start, end, decoded);
        runs.add(new Run(start, end, decoded, distinctive));
      }
      start = end + 1;
    }
    return runs;
  }

  /** The run's bytes as UTF-8, or null when they are not valid or no assigned characters. */
  private static String decode(String run) {
    ByteBuffer bytes = ByteBuffer.allocate(run.length());
    run.chars().forEach(c -> bytes.put((byte) Windows1252.encode((char) c)));
    try {
      String decoded = StandardCharsets.UTF_8.newDecoder().decode(bytes.flip()).toString();
      return decoded.codePoints().allMatch(Character::isDefined) ? decoded : null;
    } catch (CharacterCodingException e) {
      return null;
    }
  }

  /** Whether nobody would write this run where it stands. */
  private static boolean isDistinctive(String text, int start, int end, String decoded) {
    if (decoded.codePointCount(0, decoded.length()) > 1) {
      return true;
    }
    char first = text.charAt(start);
    char second = text.charAt(start + 1);
    if (end - start > 2) {
      // A lower-case letter and two or three symbols; â€ begins dashes and quotation marks.
      return first == '\u00e2' && second == '\u20ac'
          || text.substring(start + 1, end).chars().anyMatch(c -> !mayFollowAWord(c));
    }
    boolean letterFollows = end < text.length() && Character.isLetter(text.charAt(end));
    return switch (first) {
      // Â and Ã end few words, all in capitals.
      case '\u00c2', '\u00c3' ->
          letterFollows
              || !mayFollowAWord(second)
              || start == 0
              || !Character.isUpperCase(text.charAt(start - 1));
      // Ä and Å lead the letters of Polish, Czech and Turkish.
      case '\u00c4', '\u00c5' ->
          !mayFollowAWord(second) || letterFollows && CLOSING.indexOf(second) >= 0;
      // Others lead scripts of which one letter does not come alone.
      default -> false;
    };
  }

  private static boolean mayFollowAWord(int c) {
    return CLOSING.indexOf(c) >= 0 || JOINING.indexOf(c) >= 0;
  }
}
