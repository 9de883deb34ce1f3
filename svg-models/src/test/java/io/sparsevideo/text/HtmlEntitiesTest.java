package io.sparsevideo.text;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Expected values are those of Python's {@code html.unescape}. */
class HtmlEntitiesTest {

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "&lt;b&gt; &amp; &quot;&apos; | `<b> & \"'`",
        "caf&eacute; &Eacute; &ntilde | café É ñ",
        "&hellip;&mdash;&nbsp;x | …—\u00a0x",
        "&copy2024 &copycat; | ©2024 ©cat;",
        "&notit; &notin; &not; | ¬it; ∉ ¬",
        "&NotEqualTilde; &fjlig; &bne; | ≂̸ fj =⃥",
        "&Afr; &Jscr; | 𝔄 𝒥",
        "&CounterClockwiseContourIntegral; | ∳",
        "a&ampb &ampamp; | a&b &amp;",
        "&#65;&#x42;&#X43&#68 | ABCD",
        "&#128512; &#x1F600; | 😀 😀",
        "&#150;&#x80;&#133; | –€…",
        "&#0; &#xD800; &#x110000; &#99999999999999999999; | � � � �",
        "[&#1;&#x7f;&#xb;&#xfffe;&#xfdd0;&#x1ffff;] | []",
      })
  void resolves(String text, String expected) {
    assertEquals(expected, HtmlEntities.unescape(text));
  }

  @Test
  void keepsWhiteSpaceAndUndefinedControls() {
    assertEquals("\t\n\f\r\u0081\u009d", HtmlEntities.unescape("&#9;&#10;&#12;&#13;&#129;&#157;"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "&",
        "a & b",
        "&;",
        "&#;",
        "&#x;",
        "&#xg;",
        "& lt;",
        "AT&T",
        "R&D, Q&A",
        "&nosuch;",
        "&EACUTE;",
        "x=1&y=2",
        "back\\slash $1 {0} %s"
      })
  void keepsWhatIsNoReference(String text) {
    assertEquals(text, HtmlEntities.unescape(text));
  }

  @Test
  void resolvesOnceOnly() {
    assertEquals("&lt;", HtmlEntities.unescape("&amp;lt;"));
    assertEquals("&lt;", HtmlEntities.unescape("&#38;lt;"));
  }
}
