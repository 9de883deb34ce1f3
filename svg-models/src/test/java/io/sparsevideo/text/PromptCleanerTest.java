package io.sparsevideo.text;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Expected values are those of the public pipeline's prompt cleaning with ftfy 6.3.1. */
class PromptCleanerTest {

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "A cat walks on the grass, realistic",
        "Un café très agréable à Montréal, « déjà vu »",
        "Größe über alles: Füße, Straße – und ging…",
        "El niño comió una piña. ¿Qué pasó? ¡Olé!",
        "一只猫在草地上行走、写实风格。",
        "東京の夜景「ネオン」が輝く。",
        "고양이가 잔디 위를 걷는다.",
        "Быстрая лиса прыгает",
        "قطة تمشي على العشب",
        "ไทยภาษา",
        "बिल्ली घास पर चलती है",
        "👩‍👩‍👧 😀 ❤️ 🏴󠁧󠁢󠁷󠁬󠁳󠁿",
        "Ã",
        "25°C, 10³, ½, ×, ©, €5",
        "AT&T and R&D",
        "\"quoted\" it's",
        "(red:1.2) [a|b] {x} \\n $1"
      })
  void keepsTextThatIsFine(String text) {
    assertEquals(text, PromptCleaner.clean(text));
  }

  @Test
  void resolvesEntitiesTwice() {
    assertEquals("a <b> & c", PromptCleaner.clean("a &lt;b&gt; &amp; c"));
    assertEquals("<", PromptCleaner.clean("&amp;lt;"));
    assertEquals("\"quoted\"", PromptCleaner.clean("&ldquo;quoted&rdquo;"));
    assertEquals("© ©", PromptCleaner.clean("&amp;amp;amp;copy &copy"));
    // Markup: entities are resolved last, and not repaired.
    assertEquals("<b> “quoted”", PromptCleaner.clean("<b> &ldquo;quoted&rdquo;"));
    assertEquals("< &lt;", PromptCleaner.clean("< &amp;amp;lt;"));
  }

  @Test
  void collapsesAllWhiteSpace() {
    assertEquals("a b c", PromptCleaner.clean("  a \t\r\n b\u3000\u00a0\u2028c\u2003 "));
    assertEquals("a b", PromptCleaner.clean("a\u1680\u2000\u200a\u2029\u202f\u205f\fb"));
    assertEquals("a\u200bb", PromptCleaner.clean("a\u200bb")); // zero width is not white space
    assertEquals("", PromptCleaner.clean("\u3000 \n"));
  }

  @Test
  void repairsDamagedEncodings() {
    assertEquals(
        "café, it's \"realistic\"", PromptCleaner.clean("cafÃ©, itâ€™s â€œrealisticâ€\u009d"));
    assertEquals("café", PromptCleaner.clean("caf&Atilde;&copy;"));
    assertEquals("it's … now", PromptCleaner.clean("it\u0092s \u0085 now"));
  }

  @Test
  void straightensQuotesAndLigaturesAndWidths() {
    assertEquals("\"it's\" 'so' \"x\"", PromptCleaner.clean("“it’s” ‘so’ „x‟"));
    assertEquals("«x» ‹y›", PromptCleaner.clean("«x» ‹y›"));
    assertEquals("fluffiest IJ dž", PromptCleaner.clean("ﬂuﬃeﬆ Ĳ ǆ"));
    assertEquals("LOUD NOISES, 1!", PromptCleaner.clean("ＬＯＵＤ　ＮＯＩＳＥＳ， １！"));
    assertEquals("ガパ ₩", PromptCleaner.clean("ｶﾞﾊﾟ ￦"));
    assertEquals("色调艳丽,过曝", PromptCleaner.clean("色调艳丽，过曝"));
  }

  @Test
  void removesWhatIsNotText() {
    assertEquals(
        "red cat", PromptCleaner.clean("\ufeff\u001b[31;1mred\u001b[0m c\u0000a\u007ft\ufffc"));
    assertEquals("ab", PromptCleaner.clean("a\u000b\u001c\u206ab"));
  }

  @Test
  void composesAndMendsSurrogates() {
    assertEquals("café", PromptCleaner.clean("cafe\u0301"));
    assertEquals("\ufffd 😀 \ufffd", PromptCleaner.clean("\ud83d \ud83d\ude00 \ude00"));
  }
}
