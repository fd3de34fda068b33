/**
 * Users of a machine in this process: texts in, texts out, errors as effects,
 * time-outs by the machine's clock.
 */

import {
  type Command,
  type PubSubHandlers,
  type PubSubLink,
  RedisClient,
  type RedisError
} from "@agion/redis"
import { Clock, Effect, Result, type Scope } from "effect"
import { Redis } from "effect/persistence"
import { formatScore, fromBytes, toBytes } from "./Bytes.ts"
import { Blocked, type Machine, type Session } from "./Machine.ts"
import {
  Double,
  Failure,
  Members,
  NilList,
  Pairs,
  type Reply,
  Scored,
  Silent,
  Status,
  Streams,
  Verbatim
} from "./Reply.ts"

/** A reply as a client library under RESP2 gives it; errors inside of lists stay values. */
const toValue = (reply: Reply): unknown => {
  if (typeof reply === "string") return fromBytes(reply)
  if (typeof reply === "number" || reply === null) return reply
  if (typeof reply === "bigint") return Number(reply)
  if (reply instanceof Status) return fromBytes(reply.text)
  if (reply instanceof Failure) return toError(reply).cause
  if (reply instanceof Pairs) return reply.flat.map(toValue)
  if (reply instanceof Streams) return reply.entries.map(([name, value]) => [fromBytes(name), toValue(value)])
  if (reply instanceof Scored)
    return reply.pairs.flatMap(([member, score]) => [fromBytes(member), formatScore(score)])
  if (reply instanceof Double) return formatScore(reply.value)
  if (reply instanceof Members) return reply.items.map(fromBytes)
  if (reply instanceof Verbatim) return fromBytes(reply.text)
  if (reply instanceof NilList || reply instanceof Silent) return null
  return reply.map(toValue)
}

const toError = (failure: Failure): RedisError => RedisClient.replyError(fromBytes(failure.message))

const toResult = (reply: Reply): Result.Result<unknown, RedisError> =>
  reply instanceof Failure ? Result.fail(toError(reply)) : Result.succeed(toValue(reply))

/** What was asked of a connection that is gone. */
const closed = () => {
  const cause = new Error("the connection to redis-memory is closed")
  cause.name = "RedisUnsent"
  return new Redis.RedisError({ cause })
}

const cut = () => new Redis.RedisError({ cause: new Error("the connection to redis-memory was cut") })

/** One connection in this process. */
export interface Local {
  readonly session: Session
  readonly send: Redis.Connection["send"]
  readonly pipeline: (commands: ReadonlyArray<Command>) => ReadonlyArray<Result.Result<unknown, RedisError>>
  readonly close: Effect.Effect<void>
}

/** Opens a connection; closing it fails what still waits. */
export const open = (machine: Machine, clock: Clock.Clock): Local => {
  const session = machine.open(() => {})
  const waiting = new Set<() => void>()
  let isOpen = true

  const wait = (call: ReadonlyArray<string>, blocked: Blocked) => {
    const answer = Effect.callback<Reply, RedisError>((resume) => {
      const fail = () => {
        release()
        resume(Effect.fail(cut()))
      }
      const release = machine.wait(session, call, blocked, (reply) => {
        waiting.delete(fail)
        resume(Effect.succeed(reply))
      })
      waiting.add(fail)
      return Effect.sync(() => {
        waiting.delete(fail)
        release()
      })
    })
    if (blocked.until === Number.POSITIVE_INFINITY) return answer
    const millis = blocked.until - clock.currentTimeMillisUnsafe()
    return Effect.timeoutOrElse(answer, {
      duration: millis,
      orElse: () => Effect.succeed(blocked.otherwise)
    }).pipe(Effect.provideService(Clock.Clock, clock))
  }

  const run = (call: ReadonlyArray<string>): Effect.Effect<unknown, RedisError> => {
    if (!isOpen) return Effect.fail(closed())
    const reply = machine.execute(session, call, true)
    if (!(reply instanceof Blocked)) return Effect.fromResult(toResult(reply))
    return Effect.flatMap(wait(call, reply), (late) => Effect.fromResult(toResult(late)))
  }

  return {
    session,
    send: <A = unknown>(command: string, ...args: ReadonlyArray<string>) =>
      Effect.suspend(() => run([command, ...args.map(toBytes)]) as Effect.Effect<A, RedisError>),
    pipeline: (commands) =>
      commands.map((command) => {
        const reply = machine.execute(session, command.map(toBytes), false)
        return toResult(reply instanceof Blocked ? reply.otherwise : reply)
      }),
    close: Effect.sync(() => {
      isOpen = false
      for (const fail of [...waiting]) fail()
      machine.close(session)
    })
  }
}

/** The link of `RedisPubSub`, with a way to cut it as a broken network would. */
export const makeLink = Effect.fnUntraced(function* (
  machine: Machine,
  main: Local
): Effect.fn.Return<PubSubLink & { readonly cut: () => void }, never, Scope.Scope> {
  let generation = 0
  let handlers: PubSubHandlers | undefined
  let session: Session | undefined

  const up = () => {
    session = machine.open((message) => {
      const [kind, ...rest] = message.map((part) => (typeof part === "string" ? fromBytes(part) : ""))
      if (kind === "message") handlers?.onMessage(rest[0] ?? "", undefined, rest[1] ?? "")
      if (kind === "pmessage") handlers?.onMessage(rest[1] ?? "", rest[0], rest[2] ?? "")
    })
    generation += 1
    handlers?.onUp()
  }
  const down = () => {
    if (session === undefined) return
    machine.close(session)
    session = undefined
    handlers?.onDown()
  }
  const call = (name: string) => (kind: "channel" | "pattern", names: ReadonlyArray<string>) =>
    Effect.suspend(() => {
      if (session === undefined) return Effect.fail(closed())
      machine.execute(session, [kind === "channel" ? name : `P${name}`, ...names.map(toBytes)], false)
      return Effect.void
    })

  yield* Effect.addFinalizer(() => Effect.sync(down))
  const cutLink = () => {
    if (session === undefined) return
    down()
    up()
  }
  return {
    open: (given) =>
      Effect.sync(() => {
        handlers = given
        up()
      }),
    generation: () => (session === undefined ? 0 : generation),
    subscribe: call("SUBSCRIBE"),
    unsubscribe: call("UNSUBSCRIBE"),
    reset: Effect.sync(cutLink),
    publish: (channel, message) => main.send<number>("PUBLISH", channel, message),
    cut: cutLink
  }
})
