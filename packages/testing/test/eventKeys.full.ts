/** Agents in processes of their own whose folder is new at each start, at a platform that demands signed events. */
import { ApiKeys } from "@agion/server"
import { Platform } from "@agion/testing"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Queue, Schedule } from "effect"
import * as EventTargets from "./EventTargets.ts"
import { start } from "./faults/Children.ts"

/** What `podAgent.ts` says of itself. */
interface Said {
  readonly keyed: boolean
  readonly sent: number
  readonly kept: number
  readonly problems: ReadonlyArray<string>
}

const organizationId = "acme"
const agentId = "pod"

/** A platform with authentication whose organization demands signatures. */
const scene = Effect.gen(function* () {
  const platform = yield* Platform.make({ authentication: "keys" })
  const keys = Context.get(platform.services, ApiKeys)
  const made = (agent: string | null) => keys.create({ organizationId, name: "test", agentId: agent })
  const { key: operator } = yield* made(null)
  const { key: apiKey } = yield* made(agentId)
  const ask = (method: string, path: string, body?: unknown) =>
    platform.request(method, path, body, { authorization: `Bearer ${operator}` })
  yield* ask("PUT", `/organizations/${organizationId}`, { event_signature: "required" })
  const [signing] = (yield* ask("GET", "/signing-keys")).body.keys
  /** A process on a new folder; answers with what it says at its start, and to each order. */
  const pod = Effect.gen(function* () {
    const heard = yield* Queue.unbounded<string>()
    const options = {
      agentId,
      organizationId,
      apiKey,
      gatewayUrl: platform.url,
      redisUrl: platform.redisUrl,
      directory: yield* EventTargets.folder,
      environment: "production",
      signingKey: { keyId: signing.key_id, publicKey: signing.public_key }
    }
    const child = yield* start("podAgent.ts", [JSON.stringify(options)], (line) =>
      Queue.offerUnsafe(heard, line)
    )
    const next = Queue.take(heard).pipe(
      Effect.map((line): Said => JSON.parse(line)),
      Effect.timeoutOrElse({
        duration: "20 seconds",
        orElse: () => Effect.die(new Error(`the agent says nothing: ${child.complaints()}`))
      })
    )
    return { born: yield* next, order: (order: string) => Effect.andThen(child.say(order), next) }
  })
  const reaches = (wanted: number) =>
    ask("GET", `/trust/score/${agentId}?entity_type=agent`).pipe(
      Effect.repeat({
        until: ({ body }) => body.data?.score === wanted,
        schedule: Schedule.spaced("50 millis")
      }),
      Effect.timeoutOrElse({
        duration: "15 seconds",
        orElse: () => Effect.die(new Error(`the score never reached ${wanted}`))
      })
    )
  return { ask, pod, reaches }
})

it.live(
  "EVENT-7 TRUST-6 an agent whose disk is new at each start is heard over Redis, beside another one of its id",
  () =>
    Effect.gen(function* () {
      const { pod, reaches } = yield* scene
      yield* Effect.scoped(
        Effect.gen(function* () {
          assert.isTrue((yield* (yield* pod).order("fail")).keyed)
          yield* reaches(38)
        })
      )
      const [one, other] = [yield* pod, yield* pod]
      assert.isTrue((yield* one.order("fail")).keyed)
      yield* reaches(36)
      assert.isTrue((yield* other.order("fail")).keyed)
      yield* reaches(34)
      yield* one.order("fail")
      yield* reaches(32)
    }).pipe(Effect.scoped),
  60_000
)

it.live(
  "TRUST-6 EVENT-6 a running agent goes on over a replaced key, and hears what was set aside meanwhile",
  () =>
    Effect.gen(function* () {
      const { ask, pod, reaches } = yield* scene
      const agent = yield* pod
      const rotate = (overlap_seconds: number) =>
        ask("POST", `/agents/${agentId}/event-key/rotate`, { overlap_seconds })
      yield* rotate(3600)
      yield* agent.order("fail")
      yield* reaches(38)
      yield* agent.order("register")
      // Now nothing but the new key is good.
      yield* rotate(0)
      assert.deepInclude(yield* agent.order("fail"), { sent: 2, kept: 0 })
      const { problems } = yield* agent.order("hear")
      assert.include(problems.join(), "set aside 1 events in this agent's name")
      yield* agent.order("fail")
      yield* reaches(36)
      assert.notInclude((yield* agent.order("register")).problems.join(), "set aside")
    }).pipe(Effect.scoped),
  60_000
)
