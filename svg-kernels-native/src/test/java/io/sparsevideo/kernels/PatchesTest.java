package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link SvgKernels#patchify} and {@link SvgKernels#unpatchify} against their definition. */
class PatchesTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(31);
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({
    // channels, frames, height, width, patch
    "1, 1, 1, 1, 1, 1, 1, CHANNEL_FRAME_ROW_COLUMN, F32, HEAD_MAJOR",
    "16, 3, 4, 10, 1, 2, 2, CHANNEL_FRAME_ROW_COLUMN, BF16, PADDED",
    "16, 3, 4, 10, 1, 2, 2, FRAME_ROW_COLUMN_CHANNEL, F32, HEAD_MAJOR",
    "3, 6, 9, 35, 2, 3, 5, CHANNEL_FRAME_ROW_COLUMN, F16, HEAD_MAJOR",
    "3, 6, 9, 35, 2, 3, 5, FRAME_ROW_COLUMN_CHANNEL, F32, PADDED",
    "3, 6, 9, 35, 2, 3, 5, ROW_COLUMN_FRAME_CHANNEL, BF16, PADDED",
  })
  void patches(
      int channels,
      int frames,
      int height,
      int width,
      int patchFrames,
      int patchHeight,
      int patchWidth,
      PatchOrder order,
      KernelType type,
      Layout layout) {
    PatchGrid grid =
        new PatchGrid(channels, frames, height, width, patchFrames, patchHeight, patchWidth, order);
    int size = channels * frames * height * width;
    Heads video = Tensors.random(arena, random, 1, type, Layout.HEAD_MAJOR, 1, 1, size);
    Heads tokens = Tensors.allocate(arena, type, layout, 1, grid.tokens(), grid.elements());

    kernels.patchify(video.data(), tokens, grid);
    for (int c = 0; c < channels; c++) {
      for (int f = 0; f < frames; f++) {
        for (int y = 0; y < height; y++) {
          for (int x = 0; x < width; x++) {
            int token =
                (f / patchFrames * (height / patchHeight) + y / patchHeight) * (width / patchWidth)
                    + x / patchWidth;
            int t = f % patchFrames;
            int row = y % patchHeight;
            int column = x % patchWidth;
            int element =
                switch (order) {
                  case CHANNEL_FRAME_ROW_COLUMN ->
                      ((c * patchFrames + t) * patchHeight + row) * patchWidth + column;
                  case FRAME_ROW_COLUMN_CHANNEL ->
                      ((t * patchHeight + row) * patchWidth + column) * channels + c;
                  case ROW_COLUMN_FRAME_CHANNEL ->
                      ((row * patchWidth + column) * patchFrames + t) * channels + c;
                };
            int at = ((c * frames + f) * height + y) * width + x;
            assertEquals(Tensors.get(video, 0, 0, at), Tensors.get(tokens, 0, token, element), 0.0);
          }
        }
      }
    }

    Heads back = Tensors.allocate(arena, type, Layout.HEAD_MAJOR, 1, 1, size);
    kernels.unpatchify(tokens, back.data(), grid);
    assertEquals(-1, video.data().mismatch(back.data()));
  }

  @Test
  void whatDoesNotFitIsRefused() {
    PatchGrid grid = new PatchGrid(2, 1, 4, 6, 1, 2, 2, PatchOrder.CHANNEL_FRAME_ROW_COLUMN);
    Heads video = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 1, 48);
    Heads tokens = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 6, 8);
    refuses(
        "video of shape [6, 8] needs 192 bytes, the memory has 188",
        () -> kernels.patchify(video.data().asSlice(0, 188), tokens, grid));
    refuses(
        "tokens.rows is 5, grid.tokens is 6",
        () -> kernels.patchify(video.data(), tokens.firstRows(5), grid));
    refuses(
        "video is written, but its memory is read-only",
        () -> kernels.unpatchify(tokens, video.data().asReadOnly(), grid));
    refuses("svg_patchify: video at [", () -> kernels.unpatchify(tokens, tokens.data(), grid));
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () -> new PatchGrid(2, 1, 5, 6, 1, 2, 2, PatchOrder.CHANNEL_FRAME_ROW_COLUMN));
    assertEquals("height must be a multiple of patchHeight, they are 5 and 2", e.getMessage());
  }

  private static void refuses(String message, Executable action) {
    KernelException e = assertThrows(KernelException.class, action);
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }
}
