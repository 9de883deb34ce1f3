package io.sparsevideo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.djl.Device;
import java.util.List;
import org.junit.jupiter.api.Test;

class VideoPipelineTest {
  private static VideoRequest.Builder small() {
    return VideoRequest.builder()
        .setPrompt("a red circle")
        .optHeight(16)
        .optWidth(16)
        .optFrames(1)
        .optSteps(1);
  }

  @Test
  void staysClosed() {
    VideoRequest request = small().build();
    VideoPipeline pipeline = VideoPipeline.builder().optDevice(Device.cpu()).build();
    assertEquals(1, pipeline.generate(request).frames().size());
    pipeline.close();
    pipeline.close();
    assertThrows(IllegalStateException.class, () -> pipeline.generate(request));
  }

  @Test
  void aListenerCannotUseThePipelineThatCallsIt() {
    try (VideoPipeline pipeline = VideoPipeline.builder().optDevice(Device.cpu()).build()) {
      List<Runnable> uses = List.of(pipeline::close, () -> pipeline.generate(small().build()));
      for (Runnable use : uses) {
        ProgressListener listener =
            new ProgressListener() {
              @Override
              public void progress(Stage stage, int done, int total) {
                if (stage == Stage.DECODING) {
                  use.run();
                }
              }
            };
        VideoRequest request = small().optListener(listener).build();
        assertThrows(IllegalStateException.class, () -> pipeline.generate(request));
      }
      assertEquals(1, pipeline.generate(small().build()).frames().size());
    }
  }
}
