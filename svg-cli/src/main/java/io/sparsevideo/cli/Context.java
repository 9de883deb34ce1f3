package io.sparsevideo.cli;

/**
 * What the subcommands work with.
 *
 * @param library what generates
 * @param interrupt what stops them
 * @param terminal whether standard error is a terminal, where a progress bar can be drawn
 */
record Context(Library library, Interrupt interrupt, boolean terminal) {}
