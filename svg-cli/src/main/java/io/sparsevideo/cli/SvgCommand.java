package io.sparsevideo.cli;

import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code svg}: the parent of the subcommands. */
@Command(
    name = "svg",
    description = "Generate video with diffusion transformers and sparse attention.",
    versionProvider = Version.class,
    exitCodeListHeading = "%nExit status:%n",
    exitCodeList = {
      "0:done",
      "1:failed: a checkpoint, the output or the computation",
      "2:usage: an unknown option, or a value or size that cannot be used",
      "130:interrupted with Ctrl-C; nothing is left under the output's name"
    },
    footer = {"", "Example: svg generate \"a red circle moving right\" --out circle.mp4"})
final class SvgCommand implements Runnable {
  @Spec private CommandSpec command;

  @Override
  public void run() {
    throw new ParameterException(command.commandLine(), "which command?");
  }

  /** The whole command, ready to execute. */
  static CommandLine commandLine(Context context) {
    CommandLine svg =
        new CommandLine(new SvgCommand())
            .addSubcommand(new GenerateCommand(context))
            .addSubcommand(new CompareCommand(context))
            .addSubcommand(new ConformanceCommand(context))
            .addSubcommand(new InfoCommand(context));
    addHelp(svg);
    svg.getSubcommands().values().forEach(SvgCommand::addHelp);
    Errors errors = new Errors(context.interrupt());
    return svg.setUsageHelpWidth(100)
        // A prompt may start with an @.
        .setExpandAtFiles(false)
        .setExecutionStrategy(errors::execute)
        .setParameterExceptionHandler(errors::usage)
        .setExecutionExceptionHandler(errors::failure);
  }

  private static void addHelp(CommandLine command) {
    command.getCommandSpec().mixinStandardHelpOptions(true).versionProvider(new Version());
  }
}
