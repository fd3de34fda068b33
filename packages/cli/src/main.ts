#!/usr/bin/env -S node --conditions=@agion/source
/**
 * The process behind `agion`: runs a command, prints its failure as one line, exits with 1. A platform that was ready
 * and is told to end (SIGTERM, SIGINT) exits with 0; any other command that is interrupted, with 130.
 */
// By file: the package's index imports clients of Redis, too, and takes most of a second.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, Logger, Runtime } from "effect"
import { Command } from "effect/cli"
import { agion } from "./Cli.ts"
import { version } from "./Version.ts"

/** Logs stay off standard output, which belongs to the answer. */
const logs = Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])

// Whoever read the answer has gone, as `head` does: nothing is wrong, and nobody is left to be told.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0)
})

agion.pipe(
  Command.run({ version }),
  Effect.catchTag("CommandFailed", (error) =>
    Effect.sync(() => {
      process.stderr.write(`agion: ${error.message}\n`)
      process.exitCode = 1
    })
  ),
  Effect.provide(Layer.mergeAll(NodeServices.layer, logs)),
  NodeRuntime.runMain({
    teardown: (exit, end) =>
      Runtime.defaultTeardown(exit, (code) => end(code === 130 ? Number(process.exitCode ?? code) : code))
  })
)
