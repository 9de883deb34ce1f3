package io.sparsevideo.video;

import static org.bytedeco.ffmpeg.global.avcodec.av_packet_alloc;
import static org.bytedeco.ffmpeg.global.avcodec.av_packet_free;
import static org.bytedeco.ffmpeg.global.avcodec.av_packet_unref;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_alloc_context3;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_find_decoder;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_free_context;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_open2;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_parameters_to_context;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_receive_frame;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_send_packet;
import static org.bytedeco.ffmpeg.global.avformat.av_read_frame;
import static org.bytedeco.ffmpeg.global.avformat.avformat_close_input;
import static org.bytedeco.ffmpeg.global.avformat.avformat_find_stream_info;
import static org.bytedeco.ffmpeg.global.avformat.avformat_open_input;
import static org.bytedeco.ffmpeg.global.avutil.AV_PIX_FMT_RGBA;
import static org.bytedeco.ffmpeg.global.avutil.av_frame_alloc;
import static org.bytedeco.ffmpeg.global.avutil.av_frame_free;
import static org.bytedeco.ffmpeg.global.avutil.av_frame_get_buffer;
import static org.bytedeco.ffmpeg.global.avutil.av_get_pix_fmt_name;
import static org.bytedeco.ffmpeg.global.swscale.SWS_ACCURATE_RND;
import static org.bytedeco.ffmpeg.global.swscale.SWS_BICUBIC;
import static org.bytedeco.ffmpeg.global.swscale.SWS_FULL_CHR_H_INT;
import static org.bytedeco.ffmpeg.global.swscale.sws_alloc_context;
import static org.bytedeco.ffmpeg.global.swscale.sws_freeContext;
import static org.bytedeco.ffmpeg.global.swscale.sws_scale_frame;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.Video;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.ffmpeg.avcodec.AVCodecContext;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.avformat.AVFormatContext;
import org.bytedeco.ffmpeg.avformat.AVStream;
import org.bytedeco.ffmpeg.avutil.AVDictionary;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.bytedeco.ffmpeg.swscale.SwsContext;
import org.bytedeco.javacpp.BytePointer;

/**
 * What a player sees in a file of one video stream.
 *
 * @param rateNumerator frames per second, as the file says, over {@code rateDenominator}
 * @param duration seconds
 * @param pixelFormat ffmpeg's name
 * @param matrix, range, primaries, transfer ffmpeg's numbers of the colour tags; 1 is BT.709, and
 *     limited for the range
 * @param durations of each frame in seconds
 * @param rgba decoded frames, converted as the tags say
 */
record DecodedVideo(
    int width,
    int height,
    int rateNumerator,
    int rateDenominator,
    double duration,
    String pixelFormat,
    int profile,
    int matrix,
    int range,
    int primaries,
    int transfer,
    List<Double> durations,
    List<byte[]> rgba) {

  double fps() {
    return (double) rateNumerator / rateDenominator;
  }

  Video video() {
    List<byte[]> rgb = rgba.stream().map(DecodedVideo::withoutAlpha).toList();
    return new Video(width, height, fps(), rgb, null);
  }

  static byte[] withoutAlpha(byte[] rgba) {
    byte[] rgb = new byte[rgba.length / 4 * 3];
    for (int i = 0; i < rgb.length; i++) {
      rgb[i] = rgba[i / 3 * 4 + i % 3];
    }
    return rgb;
  }

  static DecodedVideo of(Path file) {
    AVFormatContext container = new AVFormatContext(null);
    AVPacket packet = av_packet_alloc();
    AVFrame frame = av_frame_alloc();
    SwsContext scaler = sws_alloc_context();
    AVCodecContext codec = null;
    scaler.flags(SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT);
    try {
      assertEquals(0, avformat_open_input(container, file.toString(), null, null));
      assertTrue(avformat_find_stream_info(container, (AVDictionary) null) >= 0);
      assertEquals(1, container.nb_streams());
      AVStream stream = container.streams(0);
      var parameters = stream.codecpar();
      codec = avcodec_alloc_context3(avcodec_find_decoder(parameters.codec_id()));
      assertTrue(avcodec_parameters_to_context(codec, parameters) >= 0);
      assertEquals(0, avcodec_open2(codec, codec.codec(), (AVDictionary) null));
      List<Double> durations = new ArrayList<>();
      List<byte[]> rgba = new ArrayList<>();
      while (av_read_frame(container, packet) >= 0) {
        durations.add(
            (double) packet.duration() * stream.time_base().num() / stream.time_base().den());
        assertTrue(avcodec_send_packet(codec, packet) >= 0);
        av_packet_unref(packet);
        drain(codec, frame, scaler, rgba);
      }
      assertTrue(avcodec_send_packet(codec, null) >= 0);
      drain(codec, frame, scaler, rgba);
      return new DecodedVideo(
          parameters.width(),
          parameters.height(),
          stream.avg_frame_rate().num(),
          stream.avg_frame_rate().den(),
          (double) stream.duration() * stream.time_base().num() / stream.time_base().den(),
          av_get_pix_fmt_name(parameters.format()).getString(),
          parameters.profile(),
          parameters.color_space(),
          parameters.color_range(),
          parameters.color_primaries(),
          parameters.color_trc(),
          durations,
          rgba);
    } finally {
      if (codec != null) {
        avcodec_free_context(codec);
      }
      sws_freeContext(scaler);
      av_frame_free(frame);
      av_packet_free(packet);
      avformat_close_input(container);
    }
  }

  private static void drain(
      AVCodecContext codec, AVFrame frame, SwsContext scaler, List<byte[]> rgba) {
    while (avcodec_receive_frame(codec, frame) >= 0) {
      AVFrame picture = av_frame_alloc();
      try {
        picture.width(frame.width()).height(frame.height()).format(AV_PIX_FMT_RGBA);
        assertEquals(0, av_frame_get_buffer(picture, 0));
        assertTrue(sws_scale_frame(scaler, picture, frame) >= 0);
        int row = frame.width() * 4;
        byte[] bytes = new byte[frame.height() * row];
        BytePointer pixels = picture.data(0);
        for (int y = 0; y < frame.height(); y++) {
          pixels.position((long) y * picture.linesize(0)).get(bytes, y * row, row);
        }
        rgba.add(bytes);
      } finally {
        av_frame_free(picture);
      }
    }
  }
}
