package io.sparsevideo.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionPreset;
import io.sparsevideo.attention.ModelFamily;
import org.junit.jupiter.api.Test;

class GenerationSettingsTest {
  private static final GenerationDefaults OWN =
      new GenerationDefaults(480, 832, 81, 16.0, 50, 5.0, 3.0, 512, "");
  private static final AttentionMode REFERENCE =
      AttentionMode.svg2().optPreset(AttentionPreset.REFERENCE);

  private static GenerationSettings resolve(
      VideoRequest.Builder request, GenerationDefaults file, AttentionMode mode) {
    return GenerationSettings.resolve(
        request.setPrompt("x").build(), file, mode, ModelFamily.WAN, false, OWN);
  }

  private static GenerationDefaults file(
      Integer height, Integer width, Integer steps, Double shift) {
    return new GenerationDefaults(height, width, null, null, steps, null, shift, null, null);
  }

  @Test
  void theComponentsOwnValuesComeLast() {
    // 480 x 832 is a table size; its column says shift 3 and 50 steps.
    GenerationSettings s =
        resolve(VideoRequest.builder(), GenerationDefaults.NONE, AttentionMode.svg2());
    assertEquals(480, s.height());
    assertEquals(3, s.flowShift());
    s =
        resolve(
            VideoRequest.builder().optHeight(320), GenerationDefaults.NONE, AttentionMode.svg2());
    assertEquals(50, s.steps());
    assertEquals(512, s.maxPromptTokens());
  }

  @Test
  void aTableSizeBringsItsPreset() {
    GenerationSettings s =
        resolve(
            VideoRequest.builder().optHeight(720).optWidth(1280),
            GenerationDefaults.NONE,
            AttentionMode.dense());
    assertEquals(5, s.flowShift());
    s =
        resolve(
            VideoRequest.builder().optHeight(1280).optWidth(720),
            GenerationDefaults.NONE,
            AttentionMode.dense());
    assertEquals(5, s.flowShift());
  }

  @Test
  void aNamedPresetBringsSizesToo() {
    GenerationSettings s = resolve(VideoRequest.builder(), GenerationDefaults.NONE, REFERENCE);
    assertEquals(720, s.height());
    assertEquals(1280, s.width());
    assertEquals(5, s.flowShift());
    // At a size without an entry the named preset's values still hold.
    s =
        resolve(
            VideoRequest.builder().optHeight(320).optWidth(320),
            GenerationDefaults.NONE,
            REFERENCE);
    assertEquals(320, s.height());
    assertEquals(5, s.flowShift());
  }

  @Test
  void theFileBeatsThePresetAndTheRequestBeatsBoth() {
    GenerationDefaults file = file(192, 192, 20, 4.0);
    GenerationSettings s = resolve(VideoRequest.builder(), file, REFERENCE);
    assertEquals(192, s.height());
    assertEquals(20, s.steps());
    assertEquals(4, s.flowShift());
    s = resolve(VideoRequest.builder().optSteps(7).optFlowShift(9).optWidth(64), file, REFERENCE);
    assertEquals(7, s.steps());
    assertEquals(9, s.flowShift());
    assertEquals(64, s.width());
    assertEquals(192, s.height());
  }

  @Test
  void valuesOutOfRangeAreRefusedByName() {
    refused("steps", VideoRequest.builder().optSteps(0));
    refused("height", VideoRequest.builder().optHeight(-16));
    refused("width", VideoRequest.builder().optWidth(0));
    refused("frames", VideoRequest.builder().optFrames(0));
    refused("guidance", VideoRequest.builder().optGuidance(Double.NaN));
    refused("guidance", VideoRequest.builder().optGuidance(-1));
    refused("fps", VideoRequest.builder().optFps(0));
    refused("flow shift", VideoRequest.builder().optFlowShift(0));
  }

  private static void refused(String what, VideoRequest.Builder request) {
    String message =
        assertThrows(
                InvalidRequestException.class,
                () -> resolve(request, GenerationDefaults.NONE, AttentionMode.dense()))
            .getMessage();
    assertTrue(message.contains(what), message);
  }

  @Test
  void guidanceUpToOneRunsOnePass() {
    assertTrue(
        resolve(VideoRequest.builder(), GenerationDefaults.NONE, AttentionMode.dense()).guided());
    assertFalse(
        resolve(
                VideoRequest.builder().optGuidance(1),
                GenerationDefaults.NONE,
                AttentionMode.dense())
            .guided());
  }
}
