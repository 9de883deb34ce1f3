package io.sparsevideo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ModelInfoTest {
  private static final VideoRequest DEFAULTS = VideoRequest.builder().setPrompt("").build();

  private static Map<String, Long> memory(Device device, VideoRequest request) {
    return ModelInfo.read(null, device, request).memory();
  }

  @Test
  void tellsWhatAGpuNeedsWhereThereIsNone() {
    ModelInfo info = ModelInfo.read(null, Device.gpu(99), DEFAULTS);
    assertTrue(info.device().startsWith("device cuda:99: "), info.device());
    Map<String, Long> memory = info.memory();
    assertEquals(
        List.of(
            "CUDA context",
            "weights of text_encoder, until the prompt is encoded",
            "encoding the prompt",
            "weights of transformer and vae",
            "denoising",
            "decoding",
            "most at a time"),
        List.copyOf(memory.keySet()));
    // Text encoder and transformer are not there together.
    long needed = memory.get("most at a time") - memory.get("CUDA context");
    long later = memory.get("weights of transformer and vae") + memory.get("decoding");
    assertTrue(needed >= later && needed < 1.1 * later, memory::toString);
  }

  @Test
  void tellsWhatTheCpuNeeds() {
    Map<String, Long> memory = memory(Device.cpu(), DEFAULTS);
    assertEquals(
        List.of(
            "Java and native libraries",
            "weights of text_encoder, until the prompt is encoded",
            "weights of transformer and vae",
            "denoising",
            "decoding",
            "video",
            "most at a time"),
        List.copyOf(memory.keySet()));
    // The demo model needs most to decode.
    long decoding =
        memory.get("Java and native libraries")
            + memory.get("weights of transformer and vae")
            + memory.get("decoding")
            + memory.get("video");
    assertEquals(decoding, memory.get("most at a time"));
  }

  @Test
  void largerVideosNeedMore() {
    VideoRequest large =
        VideoRequest.builder().setPrompt("").optHeight(384).optWidth(384).optFrames(25).build();
    for (Device device : List.of(Device.cpu(), Device.gpu(0))) {
      for (String purpose : List.of("denoising", "decoding")) {
        assertTrue(memory(device, large).get(purpose) > 2 * memory(device, DEFAULTS).get(purpose));
      }
    }
  }

  @Test
  void refusesWhatTheModelCannotDo() {
    VideoRequest odd = VideoRequest.builder().setPrompt("").optHeight(100).build();
    assertThrows(InvalidRequestException.class, () -> memory(Device.gpu(0), odd));
  }
}
