package io.sparsevideo.cli;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;

/** Asks the C library about the terminal; Java knows only of standard input and output. */
final class Terminal {
  private static final int STANDARD_ERROR = 2;

  private Terminal() {}

  /** Whether standard error is a terminal that can draw a line anew. */
  static boolean drawsOnStandardError() {
    if ("dumb".equals(System.getenv("TERM"))) {
      return false;
    }
    Linker linker = Linker.nativeLinker();
    return linker
        .defaultLookup()
        .find("isatty")
        .map(
            isatty -> {
              try {
                return (int)
                        linker
                            .downcallHandle(
                                isatty,
                                FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT))
                            .invokeExact(STANDARD_ERROR)
                    == 1;
              } catch (Throwable e) {
                throw new AssertionError("isatty takes an int and does not throw", e);
              }
            })
        .orElse(false);
  }
}
