package io.sparsevideo.video;

import static org.bytedeco.ffmpeg.global.avcodec.av_packet_alloc;
import static org.bytedeco.ffmpeg.global.avcodec.av_packet_free;
import static org.bytedeco.ffmpeg.global.avcodec.av_packet_rescale_ts;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_alloc_context3;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_find_encoder_by_name;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_free_context;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_open2;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_parameters_from_context;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_receive_packet;
import static org.bytedeco.ffmpeg.global.avcodec.avcodec_send_frame;
import static org.bytedeco.ffmpeg.global.avfilter.av_buffersink_get_format;
import static org.bytedeco.ffmpeg.global.avfilter.av_buffersink_get_frame;
import static org.bytedeco.ffmpeg.global.avfilter.av_buffersrc_add_frame;
import static org.bytedeco.ffmpeg.global.avfilter.avfilter_graph_alloc;
import static org.bytedeco.ffmpeg.global.avfilter.avfilter_graph_config;
import static org.bytedeco.ffmpeg.global.avfilter.avfilter_graph_free;
import static org.bytedeco.ffmpeg.global.avfilter.avfilter_graph_get_filter;
import static org.bytedeco.ffmpeg.global.avfilter.avfilter_graph_parse_ptr;
import static org.bytedeco.ffmpeg.global.avformat.AVIO_FLAG_WRITE;
import static org.bytedeco.ffmpeg.global.avformat.av_interleaved_write_frame;
import static org.bytedeco.ffmpeg.global.avformat.av_write_trailer;
import static org.bytedeco.ffmpeg.global.avformat.avformat_alloc_output_context2;
import static org.bytedeco.ffmpeg.global.avformat.avformat_free_context;
import static org.bytedeco.ffmpeg.global.avformat.avformat_new_stream;
import static org.bytedeco.ffmpeg.global.avformat.avformat_write_header;
import static org.bytedeco.ffmpeg.global.avformat.avio_closep;
import static org.bytedeco.ffmpeg.global.avformat.avio_open;
import static org.bytedeco.ffmpeg.global.avutil.AVERROR_EOF;
import static org.bytedeco.ffmpeg.global.avutil.AV_LOG_FATAL;
import static org.bytedeco.ffmpeg.global.avutil.AV_PIX_FMT_RGB24;
import static org.bytedeco.ffmpeg.global.avutil.av_d2q;
import static org.bytedeco.ffmpeg.global.avutil.av_dict_count;
import static org.bytedeco.ffmpeg.global.avutil.av_dict_free;
import static org.bytedeco.ffmpeg.global.avutil.av_dict_set;
import static org.bytedeco.ffmpeg.global.avutil.av_frame_alloc;
import static org.bytedeco.ffmpeg.global.avutil.av_frame_free;
import static org.bytedeco.ffmpeg.global.avutil.av_frame_get_buffer;
import static org.bytedeco.ffmpeg.global.avutil.av_frame_unref;
import static org.bytedeco.ffmpeg.global.avutil.av_log_set_level;
import static org.bytedeco.ffmpeg.global.avutil.av_make_q;
import static org.bytedeco.ffmpeg.global.avutil.av_strerror;
import static org.bytedeco.ffmpeg.presets.avutil.AVERROR_EAGAIN;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import org.bytedeco.ffmpeg.avcodec.AVCodec;
import org.bytedeco.ffmpeg.avcodec.AVCodecContext;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.avfilter.AVFilterContext;
import org.bytedeco.ffmpeg.avfilter.AVFilterGraph;
import org.bytedeco.ffmpeg.avformat.AVFormatContext;
import org.bytedeco.ffmpeg.avformat.AVIOContext;
import org.bytedeco.ffmpeg.avformat.AVStream;
import org.bytedeco.ffmpeg.avutil.AVDictionary;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.bytedeco.ffmpeg.avutil.AVRational;
import org.bytedeco.javacpp.BytePointer;

/**
 * One video stream written to one file: libavfilter converts the frames, libavcodec encodes them
 * and libavformat packs them. Frames go in with {@link #write}, {@link #finish} completes the file;
 * {@link #close} frees everything, whatever happened before.
 */
final class FfmpegEncoder implements AutoCloseable {
  private static final String SOURCE = "buffer@source";
  private static final String SINK = "buffersink@sink";
  private static final int ERROR_LENGTH = 256;

  private final int width;
  private final int height;
  private final int paddedWidth;
  private final int paddedHeight;
  private final AVFilterGraph graph;
  private final AVFrame frame;
  private final AVPacket packet;
  private AVFilterContext source;
  private AVFilterContext sink;
  private AVCodecContext codec;
  private AVFormatContext container;
  private AVStream stream;
  private long framesIn;

  /** Loads the native libraries and stops them from printing; any failure is a LinkageError. */
  static void load() {
    av_log_set_level(AV_LOG_FATAL);
    avfilter_graph_free(avfilter_graph_alloc());
  }

  /**
   * Opens the file and writes its header.
   *
   * @throws FfmpegException when ffmpeg refuses
   */
  FfmpegEncoder(Path file, VideoFormat.Recipe recipe, int width, int height, double fps) {
    this.width = width;
    this.height = height;
    paddedWidth = Math.ceilDiv(width, recipe.sideMultiple()) * recipe.sideMultiple();
    paddedHeight = Math.ceilDiv(height, recipe.sideMultiple()) * recipe.sideMultiple();
    graph = avfilter_graph_alloc();
    frame = av_frame_alloc();
    packet = av_packet_alloc();
    try {
      AVRational rate = rate(fps);
      openFilters(recipe, rate);
      openCodec(recipe, rate);
      openContainer(recipe, file, rate);
    } catch (Throwable e) {
      close();
      throw e;
    }
  }

  /**
   * The fraction a rate written in decimals means. The broadcast rates are 1000/1001 of a whole
   * number and always written rounded: 23.976, 29.97, 59.94.
   */
  private static AVRational rate(double fps) {
    long whole = Math.round(fps * 1.001);
    if (fps != Math.rint(fps) && Math.abs(fps - whole / 1.001) < 1e-3) {
      return av_make_q(Math.toIntExact(whole * 1000), 1001);
    }
    return av_d2q(fps, 1_000_000);
  }

  private void openFilters(VideoFormat.Recipe recipe, AVRational rate) {
    String chain =
        SOURCE
            + String.format(
                Locale.ROOT, // ffmpeg reads ASCII digits only
                "=width=%d:height=%d:pix_fmt=rgb24:time_base=%d/%d:frame_rate=%d/%d,",
                paddedWidth,
                paddedHeight,
                rate.den(),
                rate.num(),
                rate.num(),
                rate.den())
            + recipe.filters()
            + ","
            + SINK;
    graph.nb_threads(1);
    check(avfilter_graph_parse_ptr(graph, chain, null, null, null), "parsing " + chain);
    check(avfilter_graph_config(graph, null), "setting up " + chain);
    source = avfilter_graph_get_filter(graph, SOURCE);
    sink = avfilter_graph_get_filter(graph, SINK);
  }

  private void openCodec(VideoFormat.Recipe recipe, AVRational rate) {
    AVCodec encoder = avcodec_find_encoder_by_name(recipe.encoder());
    if (encoder == null) {
      throw new FfmpegException("this build of ffmpeg has no encoder " + recipe.encoder());
    }
    codec = avcodec_alloc_context3(encoder);
    codec.width(paddedWidth).height(paddedHeight).pix_fmt(av_buffersink_get_format(sink));
    codec.time_base().num(rate.den()).den(rate.num());
    codec.framerate().num(rate.num()).den(rate.den());
    withOptions(
        recipe.encoderOptions(),
        options -> avcodec_open2(codec, encoder, options),
        "opening " + recipe.encoder());
  }

  private void openContainer(VideoFormat.Recipe recipe, Path file, AVRational rate) {
    container = new AVFormatContext(null);
    check(
        avformat_alloc_output_context2(container, null, recipe.muxer(), file.toString()),
        "allocating a " + recipe.muxer() + " file");
    stream = avformat_new_stream(container, null);
    check(avcodec_parameters_from_context(stream.codecpar(), codec), "describing the stream");
    stream.time_base().num(rate.den()).den(rate.num());
    stream.avg_frame_rate().num(rate.num()).den(rate.den());
    AVIOContext io = new AVIOContext(null);
    // The protocol is named, so that a colon in a file name is just a colon.
    check(avio_open(io, "file:" + file, AVIO_FLAG_WRITE), "opening the file");
    container.pb(io);
    withOptions(
        recipe.muxerOptions(),
        options -> avformat_write_header(container, options),
        "writing the header");
  }

  private interface Opening {
    int open(AVDictionary options);
  }

  /** Opens something with options, every one of which must be known to it. */
  private void withOptions(Map<String, String> values, Opening opening, String what) {
    AVDictionary options = new AVDictionary(null);
    try {
      values.forEach((key, value) -> av_dict_set(options, key, value, 0));
      check(opening.open(options), what);
      if (av_dict_count(options) > 0) {
        throw new FfmpegException(what + " failed: an option of " + values + " is unknown");
      }
    } finally {
      av_dict_free(options);
    }
  }

  /**
   * Encodes one more frame.
   *
   * @param rgb {@code height · width · 3} bytes, rows from the top, red first
   */
  void write(byte[] rgb) {
    frame.width(paddedWidth).height(paddedHeight).format(AV_PIX_FMT_RGB24);
    check(av_frame_get_buffer(frame, 0), "allocating a frame");
    BytePointer pixels = frame.data(0);
    int rowBytes = width * 3;
    for (int y = 0; y < paddedHeight; y++) {
      int row = Math.min(y, height - 1) * rowBytes;
      pixels.position((long) y * frame.linesize(0)).put(rgb, row, rowBytes);
      for (int x = width; x < paddedWidth; x++) {
        pixels.position((long) y * frame.linesize(0) + x * 3L).put(rgb, row + rowBytes - 3, 3);
      }
    }
    frame.pts(framesIn++);
    check(av_buffersrc_add_frame(source, frame), "converting a frame");
    encodeConverted();
  }

  /** Encodes what is still held back and completes the file. */
  void finish() {
    check(av_buffersrc_add_frame(source, null), "converting the last frames");
    encodeConverted();
    check(avcodec_send_frame(codec, null), "encoding the last frames");
    packEncoded();
    check(av_write_trailer(container), "completing the file");
    AVIOContext io = container.pb();
    container.pb(null);
    check(avio_closep(io), "closing the file");
  }

  private void encodeConverted() {
    while (more(av_buffersink_get_frame(sink, frame), "converting a frame")) {
      check(avcodec_send_frame(codec, frame), "encoding a frame");
      av_frame_unref(frame);
      packEncoded();
    }
  }

  private void packEncoded() {
    while (more(avcodec_receive_packet(codec, packet), "encoding a frame")) {
      // Without a duration the last frame would not be shown and the file's rate would be wrong.
      packet.duration(1);
      av_packet_rescale_ts(packet, codec.time_base(), stream.time_base());
      packet.stream_index(stream.index());
      check(av_interleaved_write_frame(container, packet), "writing a frame");
    }
  }

  /** Whether a "get next" call gave something; false when it wants more input or is at its end. */
  private boolean more(int status, String what) {
    if (status == AVERROR_EAGAIN() || status == AVERROR_EOF) {
      return false;
    }
    check(status, what);
    return true;
  }

  private void check(int status, String what) {
    if (status < 0) {
      byte[] text = new byte[ERROR_LENGTH];
      av_strerror(status, text, text.length);
      String reason = new String(text, StandardCharsets.UTF_8);
      throw new FfmpegException(what + " failed: " + reason.substring(0, reason.indexOf('\0')));
    }
  }

  @Override
  public void close() {
    if (container != null && !container.isNull()) {
      if (container.pb() != null) {
        avio_closep(container.pb());
      }
      avformat_free_context(container);
    }
    if (codec != null) {
      avcodec_free_context(codec);
    }
    av_packet_free(packet);
    av_frame_free(frame);
    avfilter_graph_free(graph);
  }
}
