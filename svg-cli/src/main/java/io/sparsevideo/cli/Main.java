package io.sparsevideo.cli;

import io.sparsevideo.tensor.DjlSettings;
import java.util.List;
import picocli.CommandLine;

/** The command {@code svg}. */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) {
    // Before any class of DJL is loaded.
    DjlSettings.apply();
    System.exit(run(Library.REAL, arguments));
  }

  /** Runs a command line so that it stops in order when the process is asked to end. */
  static int run(Library library, String[] arguments) {
    Interrupt interrupt = new Interrupt(Thread.currentThread());
    interrupt.install();
    try {
      Context context = new Context(library, interrupt, Terminal.drawsOnStandardError());
      return execute(SvgCommand.commandLine(context), interrupt, arguments);
    } finally {
      interrupt.finish();
    }
  }

  /** Also reports errors, which picocli passes on. */
  static int execute(CommandLine svg, Interrupt interrupt, String... arguments) {
    try {
      return svg.execute(arguments);
    } catch (Error e) {
      boolean trace = List.of(arguments).contains(Errors.VERBOSE);
      return new Errors(interrupt).report(e, svg.getErr(), trace);
    }
  }
}
