package io.sparsevideo.cli;

import java.io.PrintWriter;
import java.io.StringWriter;
import picocli.CommandLine;

/**
 * A command line that ran in this process.
 *
 * @param status exit status
 * @param out what it wrote to standard output
 * @param err what it wrote to standard error
 */
record CommandRun(int status, String out, String err) {

  static CommandRun of(Library library, String... arguments) {
    return of(library, new Interrupt(Thread.currentThread()), arguments);
  }

  static CommandRun of(Library library, Interrupt interrupt, String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    CommandLine svg =
        SvgCommand.commandLine(new Context(library, interrupt, false))
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err));
    int status = Main.execute(svg, interrupt, arguments);
    svg.getOut().flush();
    return new CommandRun(status, out.toString(), err.toString());
  }
}
