import { Effect } from "effect"
import { type Fault, isStale, none, onBoth } from "./Fault.ts"
import { World } from "./World.ts"

/** What happens to the platform and to the way there. */
export const serverFaults: ReadonlyArray<Fault> = [
  {
    name: "server dead at start",
    what: "the platform is killed before the agent starts, and comes 200 events later",
    shows: "OUTAGE-2 OUTAGE-5",
    body: (scene) =>
      Effect.gen(function* () {
        const { platform } = yield* World
        const agent = yield* scene.agent({ after: Effect.andThen(scene.breaks, platform.kill) })
        yield* agent.sees("granted", 0, ({ allowed }) => !allowed)
        yield* agent.tells(200)
        yield* platform.restart
        yield* scene.healed
      })
  },
  {
    name: "server dead later",
    what: "the platform is killed under two agents with warm approvals, at trust 72 and 64, and started again",
    shows: "OUTAGE-2 OUTAGE-3 OUTAGE-4 OUTAGE-6 FRESH-2",
    body: (scene) =>
      Effect.gen(function* () {
        const { platform } = yield* World
        const trusted = yield* scene.agent({ trust: 72 })
        const ordinary = yield* scene.agent({ trust: 64, redis: false })
        const at = yield* scene.breaks
        yield* platform.kill
        for (const agent of [trusted, ordinary]) {
          yield* agent.sees("granted", at, isStale)
          yield* agent.order({ _tag: "Ask", name: "unasked" })
        }
        yield* trusted.sees("unasked", at, ({ mode }) => mode === "degraded")
        yield* trusted.sees("unasked", at, ({ rule }) => rule === "budget")
        yield* ordinary.sees("unasked", at, ({ rule }) => rule === "low_trust")
        for (const name of ["critical", "write"])
          yield* trusted.sees(name, at, ({ rule }) => rule === "excluded")
        yield* platform.restart
        yield* scene.healed
      })
  },
  {
    name: "server hangs",
    what: "the platform is stopped (SIGSTOP) with its connections open, and goes on",
    shows: "OUTAGE-1 OUTAGE-2",
    body: (scene) =>
      Effect.gen(function* () {
        const { platform } = yield* World
        const agent = yield* scene.agent({ redis: false })
        const at = yield* scene.breaks
        yield* platform.signal("SIGSTOP")
        yield* agent.sees("granted", at, isStale)
        yield* agent.tells(200)
        yield* platform.signal("SIGCONT")
        yield* scene.healed
      })
  },
  {
    name: "server slow",
    what: "every answer of the platform takes 2 s, as long as the agent waits for one",
    shows: "OUTAGE-1 OUTAGE-2",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent({ redis: false })
        yield* scene.slow(2500)
        const at = yield* scene.breaks
        yield* scene.http.apply({ _tag: "Latency", millis: 1000 })
        yield* agent.sees("granted", at, isStale)
        yield* agent.tells(300)
        yield* scene.http.apply(none)
        // What is still on its way would come after what is no longer delayed.
        yield* scene.http.cut
        yield* scene.healed
      })
  },
  {
    name: "server alternating",
    what: "every connection is reset for a second and passes for a second, five times",
    shows: "OUTAGE-2 OUTAGE-7 FRESH-4",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent()
        yield* scene.breaks
        for (let turn = 0; turn < 5; turn++) {
          yield* onBoth(scene, { _tag: "Reset" })
          yield* agent.tells(100)
          yield* onBoth(scene, none)
          yield* agent.tells(100)
        }
        yield* scene.healed
      })
  },
  {
    name: "5xx storm",
    what: "every request is answered by 503, then 502, then 504",
    shows: "OUTAGE-1 OUTAGE-2",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent({ redis: false })
        const at = yield* scene.breaks
        for (const status of [503, 502, 504]) {
          yield* scene.http.apply({ _tag: "Status", status })
          yield* scene.http.cut
          yield* agent.sees("granted", at, isStale)
          yield* agent.tells(100)
        }
        yield* scene.http.apply(none)
        yield* scene.http.cut
        yield* scene.healed
      })
  },
  {
    name: "garbage answers",
    what: "every answer is overwritten by bytes that mean nothing",
    shows: "OUTAGE-2",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent({ redis: false })
        const at = yield* scene.breaks
        yield* scene.http.apply({ _tag: "Garbage" })
        yield* agent.sees("granted", at, isStale)
        yield* agent.tells(200)
        yield* scene.http.apply(none)
        yield* scene.healed
      })
  },
  {
    name: "truncated answers",
    what: "an answer ends in its middle and its connection with it, twenty times",
    shows: "OUTAGE-1 EVENT-5",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent({ redis: false })
        yield* scene.breaks
        for (let turn = 0; turn < 20; turn++) {
          yield* scene.http.apply({ _tag: "Truncate" })
          yield* agent.tells(10)
        }
        yield* scene.http.apply(none)
        yield* scene.healed
      })
  },
  {
    name: "lost answers",
    what: "every third piece of an answer is lost after the platform has done its work, and the connection reset",
    shows: "OUTAGE-1 EVENT-5 TRUST-4",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent({ redis: false })
        yield* scene.breaks
        yield* scene.http.apply({ _tag: "DropReplies", every: 3 })
        yield* agent.tells(400)
        yield* scene.http.apply(none)
        yield* scene.healed
      })
  },
  {
    name: "revoked over a half-open push link",
    what: "Redis' connection is open and silent while a permission is revoked; the platform answers",
    shows: "FRESH-2 FRESH-3",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent()
        yield* scene.wire.apply({ _tag: "BlackHole" })
        yield* scene.revoke(agent)
        yield* scene.denies(agent)
        yield* scene.wire.apply(none)
        yield* scene.wire.cut
        yield* scene.healed
      })
  },
  {
    name: "revoked over a late push link",
    what: "each push is later than the one before, up to 8 s, while a permission is revoked; the platform answers",
    shows: "FRESH-2 FRESH-3",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent()
        for (let millis = 1000; millis <= 8000; millis += 1000) {
          yield* scene.wire.apply({ _tag: "Latency", millis })
          yield* Effect.sleep("1 second")
        }
        yield* scene.revoke(agent)
        yield* scene.denies(agent)
        yield* scene.wire.apply(none)
        yield* scene.wire.cut
        yield* scene.healed
      })
  },
  {
    name: "revoked over half-open links",
    what: "both connections are open and silent while a permission is revoked: what is used then is marked stale",
    shows: "FRESH-2 FRESH-3 OUTAGE-2",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent()
        const at = yield* scene.breaks
        yield* onBoth(scene, { _tag: "BlackHole" })
        yield* scene.revoke(agent)
        yield* agent.sees("granted", at, isStale)
        yield* agent.tells(100)
        yield* onBoth(scene, none)
        yield* Effect.andThen(scene.http.cut, scene.wire.cut)
        yield* scene.denies(agent)
        yield* scene.healed
      })
  }
]
