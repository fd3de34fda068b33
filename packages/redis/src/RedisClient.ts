/**
 * What Redis can do beyond one command at a time: many commands in one round
 * trip, transactions, and whether there is a connection.
 *
 * `Redis` of `effect/persistence` stays the service for single commands and
 * scripts; this one stands beside it, on the same connection.
 *
 * **Gotchas**: a command that ran into a time-out or a lost connection may have
 * been executed. `RedisClient.outcome` tells the three cases apart; only
 * `"unsent"` and `"refused"` are safe to repeat without a guard.
 */
import { Context, Effect, Result, type Stream } from "effect"
import { Redis } from "effect/persistence"

/** A command's failure, as `effect/persistence` defines it; `cause` is what the client or Redis said. */
export type RedisError = Redis.RedisError

/** A command's name and its arguments, as Redis reads them. */
export type Command = readonly [name: string, ...args: ReadonlyArray<string>]

/** Whether commands can be sent right now. */
export type Status = "connected" | "disconnected"

/** What a command did that failed: see `RedisClient.outcome`. */
export type Outcome = "refused" | "unsent" | "unknown"

/** A command's reply or its failure. */
export type Reply = Result.Result<unknown, RedisError>

/** What an implementation hands in; `transaction` follows from it. */
export interface RedisClientOptions {
  /** Sends commands at once; a reply for each, in order, an error as a value. */
  readonly pipeline: (commands: ReadonlyArray<Command>) => Effect.Effect<ReadonlyArray<Reply>>
  /** Whether the connection can be used now. */
  readonly status: Effect.Effect<Status>
  /** The status now, and every change from now on. */
  readonly statusChanges: Stream.Stream<Status>
}

/** Pipelines, transactions and the state of the connection. */
export class RedisClient extends Context.Service<
  RedisClient,
  {
    /** Sends all commands in one round trip; one result per command, in their order. Never fails as a whole. */
    readonly pipeline: (commands: ReadonlyArray<Command>) => Effect.Effect<ReadonlyArray<Reply>>
    /** Runs all commands in MULTI/EXEC in one round trip. Fails when nothing was executed, or when that is unknown. */
    readonly transaction: (
      commands: ReadonlyArray<Command>
    ) => Effect.Effect<ReadonlyArray<Reply>, RedisError>
    /** Whether commands can be sent right now. */
    readonly status: Effect.Effect<Status>
    /** The status now, then each change of it. */
    readonly statusChanges: Stream.Stream<Status>
  }
>()("@agion/redis/RedisClient") {
  /** Makes the service from what an implementation can do. */
  static make(options: RedisClientOptions): RedisClient["Service"] {
    return RedisClient.of({
      pipeline: options.pipeline,
      transaction: (commands) =>
        Effect.flatMap(options.pipeline([["MULTI"], ...commands, ["EXEC"]]), transactionReplies),
      status: options.status,
      statusChanges: options.statusChanges
    })
  }

  /**
   * What the failed command did: `"refused"`, Redis answered with an error;
   * `"unsent"`, it never left; `"unknown"`, it may have been executed.
   */
  static outcome(error: RedisError): Outcome {
    const cause = error.cause
    if (!(cause instanceof Error)) return "unknown"
    if (cause.name === "ReplyError") return "refused"
    return cause.name === "RedisUnsent" || cause.message.startsWith("Stream isn't writeable")
      ? "unsent"
      : "unknown"
  }

  /** Whether Redis answered with an error that begins with this code, such as `BUSYGROUP`. */
  static isReply(error: RedisError, code: string): boolean {
    const cause = error.cause
    return cause instanceof Error && cause.name === "ReplyError" && cause.message.startsWith(code)
  }

  /** An error reply as the clients represent it: `message` is Redis' own wording. */
  static replyError(message: string): RedisError {
    const cause = new Error(message)
    cause.name = "ReplyError"
    return new Redis.RedisError({ cause })
  }
}

const transactionReplies = (
  replies: ReadonlyArray<Reply>
): Effect.Effect<ReadonlyArray<Reply>, RedisError> => {
  const exec = replies.at(-1)
  if (exec === undefined) return Effect.succeed([])
  if (Result.isFailure(exec)) {
    const first = replies.find(Result.isFailure)
    return Effect.fail(first === undefined ? exec.failure : first.failure)
  }
  if (!Array.isArray(exec.success)) {
    return Effect.fail(
      RedisClient.replyError("EXECABORT the transaction was discarded: a watched key changed")
    )
  }
  return Effect.succeed(exec.success.map(toReply))
}

/** Inside EXEC's answer the clients put a failed command's error as a value. */
const toReply = (value: unknown): Reply =>
  value instanceof Error ? Result.fail(new Redis.RedisError({ cause: value })) : Result.succeed(value)
