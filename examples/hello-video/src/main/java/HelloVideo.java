import io.sparsevideo.Video;
import io.sparsevideo.VideoPipeline;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import java.nio.file.Path;

/** Draws a video with the small model that comes with the library. */
public class HelloVideo {
  public static void main(String[] args) {
    AttentionMode attention = AttentionMode.svg2(); // the default; or svg1(), dense()
    try (VideoPipeline pipeline = VideoPipeline.builder().optAttention(attention).build()) {
      VideoRequest request =
          VideoRequest.builder()
              .setPrompt("a red circle moving right on a black background")
              .optSeed(1)
              .build();
      Video video = pipeline.generate(request);
      video.save(Path.of("circle.mp4"));
      System.out.printf("attention density: %.2f%n", video.report().meanDensity());
    }
  }
}
