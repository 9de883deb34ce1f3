package io.sparsevideo.text;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class MojibakeTest {

  @ParameterizedTest
  @CsvSource({
    "cafÃ©, café",
    "Ãœbermut und GrÃ¶ÃŸe, Übermut und Größe",
    "itâ€™s, it’s",
    "â€œrealisticâ€\u009d, “realistic”",
    "walks â€” slowlyâ€¦, walks — slowly…",
    "voilÃ\u00a0 le chat, voilà le chat",
    "25Â°C, 25°C",
    "El NiÃ±o, El Niño",
    "GRÃ–SSE, GRÖSSE",
    "ðŸ˜€, 😀",
    "ï»¿cat, \ufeffcat",
    "Ä°stanbul, İstanbul",
    "koÅ¡, koš",
    "ä¸€å\u008fªçŒ«, 一只猫",
    "ÐºÐ¾Ñ‚, кот",
    "×—×ª×•×œ, חתול",
    "cafÃƒÂ©, café",
    "itÃ¢â‚¬â„¢s, it’s",
  })
  void repairs(String damaged, String text) {
    assertEquals(text, Mojibake.repair(damaged));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "Un café très agréable à Montréal, où l’on mange bien.",
        "„Das ist schön“, sagte sie – und ging…",
        "Zażółć gęślą jaźń, łódź i ćma.",
        "İstanbul'da güneşli bir gün",
        "Быстрая лиса",
        "一只猫在草地上行走，写实风格。",
        "고양이가 잔디 위를 걷는다.",
        "قطة تمشي على العشب",
        "A cat 😀 walks — it’s “realistic” 4K… 25°C ©2024 ½ ×"
      })
  void repairsWhatWasReadWrongly(String text) {
    for (int passes = 1; passes <= 3; passes++) {
      String latin1 = text;
      String windows = text;
      for (int i = 0; i < passes; i++) {
        latin1 = new String(latin1.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
        windows = readAsWindows1252(windows);
      }
      assertEquals(text, Mojibake.repair(latin1));
      assertEquals(text, Mojibake.repair(windows));
    }
  }

  /** One damaged sentence pasted to a good one: what is clear is repaired, the good is kept. */
  @Test
  void repairsTheDamagedPartOfAMixture() {
    assertEquals("café «été» it’s", Mojibake.repair("cafÃ© «été» itâ€™s"));
    assertEquals("naïve «CAFÉ»: it’s", Mojibake.repair("naïve «CAFÉ»: itâ€™s"));
  }

  /** Real words whose bytes happen to be valid UTF-8, or that hold the usual suspects. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "plain",
        "Ã",
        "à Â Ã",
        "NÃO, SÃO PAULO, IRMÃ",
        "«IRM\u00c3\u00bb",
        "«CAFÉ» “CAFÉ” ‘CAFÉ’ »CAFÉ«",
        "the CAFÉ’s door",
        "CAFÉ™ CAFÉ® CAFÉ© CAF\u00c9\u00b2",
        "CAFÉ… CAFÉ–BAR CAFÉ—BAR CAF\u00c9\u00b0",
        "CAFÉ\u00a0! DÉJÀ\u00a0;",
        "»Spaß« und „Spaß“",
        "Å…",
        "ÚŽASNÝ KNÍŽKA VÝŠKA Úžasný Íšší",
        "“«café»”",
        "café…” café®™",
        "2×½ in, ×½×¼, Ø½ in",
        "CŒUR, Œuvre, œuf",
        "Ñandú, ÑANDÚ",
        "ÅÄÖ åäö ÆØÅ æøå ÐÞ ðþ",
        "10 £, 10 €, ¿Qué?, ¡Olé!",
        "naïve façade, résumé, Zoë",
        "日本語 한국어 Привет Ελληνικά",
        "😀 👩‍👩‍👧",
      })
  void keepsWhatIsFine(String text) {
    assertEquals(text, Mojibake.repair(text));
  }

  @Test
  void readsC1ControlsAsWindows1252() {
    assertEquals(
        "“cat” – … \u0081", Mojibake.replaceC1Controls("\u0093cat\u0094 \u0096 \u0085 \u0081"));
    assertEquals("é€日", Mojibake.replaceC1Controls("é\u0080日"));
  }

  private static String readAsWindows1252(String text) {
    StringBuilder read = new StringBuilder();
    for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
      read.append(Windows1252.decode(Byte.toUnsignedInt(b)));
    }
    return read.toString();
  }
}
