/**
 * The shared cache in Redis, written by the platform alone (CACHE-3): answers to checks, scores and records of
 * resources, each signed with its organization, epoch and expiry, for agents to read before they ask.
 *
 * `layer` stands around `Checks`: an answer that may be shared is noted as it is given, and signed and written by
 * a fiber beside, a few at a time. What is written stays until it changes, the epoch rises, or half of its life is
 * over. While Redis is away nothing is kept for it.
 *
 * **Gotchas**: an answer of a replica that may have missed a change of another is not shared, so with several
 * replicas and many changes little is. Only the platform may write under these names: give agents Redis users
 * that read them.
 */
import type { CheckResult, Streams } from "@agion/domain"
import { RedisClient } from "@agion/redis"
import { Clock, Context, Effect, Layer, Option, Queue, Result } from "effect"
import { Changes } from "../changes/Changes.ts"
import { Names } from "../changes/Governance.ts"
import { Signing } from "../keys/Signing.ts"
import { type Asked, Checks } from "../permissions/Checks.ts"
import { Policies } from "../policies/Policies.ts"
import * as Shareable from "./Shareable.ts"

/** What has been shared. */
export interface SharedState {
  /** Entries that were written, since the start. */
  readonly written: number
  /** Answers that were not shared since too many waited, or Redis was away. */
  readonly dropped: number
  readonly waiting: number
}

/** What the platform shares. */
export class SharedCache extends Context.Service<SharedCache, { readonly stateUnsafe: () => SharedState }>()(
  "@agion/server/SharedCache"
) {
  /** `Checks` that share their answers. */
  static readonly layer: Layer.Layer<
    SharedCache | Checks,
    never,
    Checks | Changes | Signing | Policies | RedisClient
  > = Layer.suspend(() => Layer.effectContext(make))
}

interface Waiting {
  readonly asked: Asked
  readonly result: CheckResult
  /** Epoch milliseconds of the answer. */
  readonly at: number
}

interface Written {
  readonly epoch: number
  readonly value: string
  readonly until: number
}

const maxWaiting = 1000
const maxWritten = 30_000
/** A signature takes a twentieth of a millisecond, and an answer up to three. */
const atOnce = 8
/** How long a change of another replica may be unknown here. */
const settleMillis = 1000

/** Epochs that this replica has heard of, and from when on it has missed none of them. */
const steadiness = (changes: Changes["Service"], now: () => number) => {
  const heard = new Map<string, { epoch: number; from: number }>()
  let forgotAt = Number.NEGATIVE_INFINITY
  const remember = (organizationId: string, epoch: number, from: number) => {
    if (heard.size >= maxWritten && !heard.has(organizationId)) {
      heard.clear()
      forgotAt = now()
    }
    heard.set(organizationId, { epoch, from })
  }
  const listening = changes.listen(({ organizationId, message }) => {
    if (message.kind === "heartbeat") return
    const known = heard.get(organizationId)
    const follows = message.previous === (known?.epoch ?? 0)
    const from = follows ? (known?.from ?? 0) : now() + settleMillis
    // One that is lower came late, or the database went back.
    remember(organizationId, message.epoch, from)
  })
  /** True for an answer of the newest epoch by a replica that has heard of every change before it. */
  const isSteady = (organizationId: string, epoch: number): boolean => {
    if (changes.epoch(organizationId) !== epoch) return false
    const known = heard.get(organizationId)
    if (known === undefined) {
      remember(organizationId, epoch, forgotAt + settleMillis)
      return now() >= forgotAt + settleMillis
    }
    return now() >= known.from
  }
  return Effect.as(listening, isSteady)
}

/** What stands in Redis as far as this replica wrote it; the oldest go first. */
const ledger = () => {
  const written = new Map<string, Written>()
  return {
    holds: (name: string, epoch: number, value: string, now: number): boolean => {
      const known = written.get(name)
      return known?.epoch === epoch && known.value === value && now < known.until
    },
    note: (name: string, entry: Written): void => {
      written.delete(name)
      written.set(name, entry)
      if (written.size <= maxWritten) return
      for (const oldest of written.keys()) {
        written.delete(oldest)
        break
      }
    },
    clear: () => written.clear()
  }
}

const make = Effect.gen(function* () {
  const checks = yield* Checks
  const changes = yield* Changes
  const policies = yield* Policies
  const clock = yield* Clock.Clock
  const names = yield* Names
  const now = () => clock.currentTimeMillisUnsafe()
  const isSteady = yield* steadiness(changes, now)
  const signal = yield* Queue.sliding<void>(1)
  const waiting = new Map<string, Waiting>()
  const answered = ledger()
  const write = yield* writer(names)
  let dropped = 0

  const offer = (asked: Asked, result: CheckResult): void => {
    if (!Shareable.isShareable(asked, result)) return
    const epoch = result.metadata.epoch ?? 0
    const { organizationId } = asked
    if (!isSteady(organizationId, epoch)) return
    const compiled = policies.peek(organizationId)
    if (compiled === undefined || compiled.readsSpend || compiled.readsPeer) return
    const key = Shareable.keyOf(asked)
    const at = now()
    if (answered.holds(key, epoch, `${result.allowed}`, at)) return
    if (waiting.size >= maxWaiting && !waiting.has(key)) {
      dropped++
      return
    }
    waiting.set(key, { asked, result, at })
    Queue.offerUnsafe(signal, undefined)
  }

  const next = (): ReadonlyArray<readonly [string, Waiting]> => {
    const batch: Array<readonly [string, Waiting]> = []
    for (const one of waiting) {
      waiting.delete(one[0])
      const { asked, result } = one[1]
      if (isSteady(asked.organizationId, result.metadata.epoch ?? 0)) batch.push(one)
      if (batch.length === atOnce) break
    }
    return batch
  }

  const drain = Effect.gen(function* () {
    while (waiting.size > 0) {
      const batch = next()
      const done = yield* write.entries(batch.map(([, one]) => one))
      if (done) {
        for (const [key, { result, at }] of batch)
          answered.note(key, {
            epoch: result.metadata.epoch ?? 0,
            value: `${result.allowed}`,
            until: at + Shareable.lifeOf(result) / 2
          })
        continue
      }
      dropped += batch.length + waiting.size
      waiting.clear()
      answered.clear()
      yield* Effect.sleep("1 second")
    }
  })

  yield* Queue.take(signal).pipe(
    // The answers go first.
    Effect.andThen(Effect.sleep("2 millis")),
    Effect.andThen(drain),
    Effect.forever,
    Effect.forkScoped
  )

  const told = (asked: Asked) => (result: CheckResult) => {
    offer(asked, result)
    return result
  }
  const sharing = Checks.of({
    ...checks,
    check: (asked) => Effect.map(checks.check(asked), told(asked)),
    now: (asked) => {
      const result = checks.now(asked)
      if (result !== undefined) offer(asked, result)
      return result
    },
    batch: (asked) =>
      Effect.map(checks.batch(asked), (results) => {
        for (const [index, result] of results.entries()) {
          const one = asked[index]
          if (one !== undefined) offer(one, result)
        }
        return results
      })
  })
  const stateUnsafe = () => ({ written: write.countUnsafe(), dropped, waiting: waiting.size })
  return Context.make(Checks, sharing).pipe(Context.add(SharedCache, SharedCache.of({ stateUnsafe })))
})

/** Signs entries and sets them in one round trip; false when Redis did not take them. */
const writer = Effect.fnUntraced(function* (names: Streams.StreamNames) {
  const client = yield* RedisClient
  const signing = yield* Signing
  const written = ledger()
  let count = 0

  const entries = (answers: ReadonlyArray<Waiting>): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const noting: Array<() => void> = []
      const commands = answers.flatMap(({ asked, result, at }) => {
        const made = [
          Shareable.decisionEntry(names, asked, result),
          Shareable.trustEntry(names, asked, result),
          Shareable.resourceEntry(names, asked, result)
        ]
        const epoch = result.metadata.epoch ?? 0
        return made.flatMap((entry) => {
          if (entry === undefined) return []
          const { kind, life, name } = entry
          // An answer is new whenever it is written: the one who noted it has looked.
          const value = kind === "permission" ? "" : JSON.stringify(entry.value)
          if (kind !== "permission" && written.holds(name, epoch, value, at)) return []
          noting.push(() => {
            count++
            if (kind !== "permission") written.note(name, { epoch, value, until: at + life / 2 })
          })
          const request = { kind, organizationId: asked.organizationId, subject: name, epoch, ttl: life }
          const { payload, keyId, signature } = signing.sealAt({ ...request, value: entry.value }, at)
          const text = JSON.stringify({ payload, key_id: keyId, signature })
          return [["SET", name, text, "PX", String(life)] as const]
        })
      })
      if (commands.length === 0) return Effect.succeed(true)
      return Effect.map(Effect.timeoutOption(client.pipeline(commands), "1 second"), (replies) => {
        if (Option.isNone(replies) || replies.value.some(Result.isFailure)) {
          written.clear()
          return false
        }
        for (const note of noting) note()
        return true
      })
    })
  return { entries, countUnsafe: () => count }
})
