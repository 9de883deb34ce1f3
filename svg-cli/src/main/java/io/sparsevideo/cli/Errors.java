package io.sparsevideo.cli;

import ai.djl.engine.EngineException;
import io.sparsevideo.GenerationCancelledException;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.SparseVideoException;
import io.sparsevideo.cuda.CudaException;
import io.sparsevideo.cuda.engine.CudaOutOfMemoryException;
import io.sparsevideo.kernels.KernelException;
import io.sparsevideo.kernels.KernelLoadException;
import io.sparsevideo.tensor.DeviceUnavailableException;
import java.io.PrintWriter;
import picocli.CommandLine;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.RunLast;
import picocli.CommandLine.UnmatchedArgumentException;

/** Says what went wrong in one line, and turns it into the exit status. */
final class Errors {
  static final String VERBOSE = "--verbose";

  private static final String REMEDY =
      "ask for a smaller size or fewer frames; 'svg info' with the same sizes says what they need";

  private static final String OUT_OF_NATIVE_MEMORY = "out of memory for tensors: " + REMEDY;

  private final Interrupt interrupt;

  Errors(Interrupt interrupt) {
    this.interrupt = interrupt;
  }

  /** Runs a parsed command line; with --verbose the libraries' logs are shown. */
  int execute(ParseResult parsed) {
    if (verbose(parsed)) {
      // Read once, when the first logger is made.
      System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "info");
    }
    return new RunLast().execute(parsed);
  }

  private static boolean verbose(ParseResult parsed) {
    return parsed.hasSubcommand() ? verbose(parsed.subcommand()) : parsed.hasMatchedOption(VERBOSE);
  }

  /** An option or argument that cannot be used. */
  int usage(ParameterException e, String[] arguments) {
    CommandLine command = e.getCommandLine();
    PrintWriter err = command.getErr();
    err.println("svg: " + e.getMessage() + hint(e));
    UnmatchedArgumentException.printSuggestions(e, err);
    err.println("Try '" + command.getCommandSpec().qualifiedName() + " --help' for what there is.");
    err.flush();
    return ExitCode.USAGE;
  }

  /** What the usual cause of surplus words is: a prompt without quotes. */
  private static String hint(ParameterException e) {
    boolean words = e instanceof UnmatchedArgumentException u && !u.isUnknownOption();
    return words && !e.getCommandLine().getCommandSpec().positionalParameters().isEmpty()
        ? "; several words that are one argument, such as a prompt, go in quotes"
        : "";
  }

  /** A command that ran and failed. */
  int failure(Exception e, CommandLine command, ParseResult parsed) {
    return report(e, command.getErr(), verbose(parsed));
  }

  /** Also for errors, which picocli passes on. */
  int report(Throwable e, PrintWriter err, boolean trace) {
    boolean interrupted =
        e instanceof GenerationCancelledException || interrupt.cancellation().isCancelled();
    err.println("svg: " + (interrupted ? "interrupted" : oneLine(message(e))));
    if (trace) {
      e.printStackTrace(err);
    }
    err.flush();
    if (interrupted) {
      return ExitCode.INTERRUPTED;
    }
    return e instanceof InvalidRequestException ? ExitCode.USAGE : ExitCode.FAILED;
  }

  /** Some messages are lists; --verbose shows them as they are. */
  private static String oneLine(String message) {
    return message.replaceAll(":\\s*\\R\\s*", ": ").replaceAll("\\s*\\R\\s*", " | ");
  }

  /** PyTorch tells by its message alone. */
  private static boolean isOutOfMemory(EngineException e) {
    return e.getMessage() != null && e.getMessage().contains("can't allocate memory");
  }

  private static String message(Throwable e) {
    return switch (e) {
      case SparseVideoException known -> known.getMessage();
      case DeviceUnavailableException known -> known.getMessage();
      case KernelLoadException known -> known.getMessage();
      case CudaOutOfMemoryException known -> known.getMessage() + "; " + REMEDY;
      case CudaException cuda when cuda.isOutOfMemory() -> OUT_OF_NATIVE_MEMORY;
      case EngineException engine when isOutOfMemory(engine) -> OUT_OF_NATIVE_MEMORY;
      case KernelException kernel when kernel.status() == KernelException.Status.OUT_OF_MEMORY ->
          OUT_OF_NATIVE_MEMORY;
      case OutOfMemoryError memory ->
          "out of memory (%s; the Java heap may take %s): ask for a smaller size or fewer frames,"
                  .formatted(memory.getMessage(), Text.bytes(Runtime.getRuntime().maxMemory()))
              + " or give the JVM more with -Xmx";
      default -> "unexpected error: " + e + "; " + VERBOSE + " shows where";
    };
  }
}
