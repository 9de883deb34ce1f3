package io.sparsevideo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.djl.Device;
import org.junit.jupiter.api.Test;

class VideoPipelineTest {
  @Test
  void staysClosed() {
    VideoRequest request =
        VideoRequest.builder()
            .setPrompt("a red circle")
            .optHeight(16)
            .optWidth(16)
            .optFrames(1)
            .optSteps(1)
            .build();
    VideoPipeline pipeline = VideoPipeline.builder().optDevice(Device.cpu()).build();
    assertEquals(1, pipeline.generate(request).frames().size());
    pipeline.close();
    pipeline.close();
    assertThrows(IllegalStateException.class, () -> pipeline.generate(request));
  }
}
