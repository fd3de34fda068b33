/** Agents in processes of their own whose folder is new at each start, at a platform that demands signed events. */
import { ApiKeys } from "@agion/server"
import { FaultProxy, Platform } from "@agion/testing"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Queue, Schedule } from "effect"
import * as EventTargets from "./EventTargets.ts"
import { start } from "./faults/Children.ts"

/** What `podAgent.ts` says of itself. */
interface Said {
  readonly keyed: boolean
  readonly sent: number
  readonly kept: number
  readonly pending: number
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
  const proxy = yield* FaultProxy.make({ port: Number(new URL(platform.url).port) })
  /** A process on a folder, a new one unless named; answers with what it says at its start, and to each order. */
  const podOn = Effect.fnUntraced(function* (directory?: string, ...args: ReadonlyArray<string>) {
    const heard = yield* Queue.unbounded<string>()
    const options = {
      agentId,
      organizationId,
      apiKey,
      gatewayUrl: `http://127.0.0.1:${proxy.port}`,
      redisUrl: platform.redisUrl,
      directory: directory ?? (yield* EventTargets.folder),
      environment: "production",
      signingKey: { keyId: signing.key_id, publicKey: signing.public_key }
    }
    const child = yield* start("podAgent.ts", [JSON.stringify(options), ...args], (line) =>
      Queue.offerUnsafe(heard, line)
    )
    const next = Queue.take(heard).pipe(
      Effect.map((line): Said => JSON.parse(line)),
      Effect.timeoutOrElse({
        duration: "20 seconds",
        orElse: () => Effect.die(new Error(`the agent says nothing: ${child.complaints()}`))
      })
    )
    return { born: yield* next, next, order: (order: string) => Effect.andThen(child.say(order), next) }
  })
  const pod = podOn()
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
  return { ask, pod, podOn, proxy, reaches }
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

it.live(
  "EVENT-3 EVENT-4 TRUST-6 what an agent says before it is registered waits for its key, in its next start too",
  () =>
    Effect.gen(function* () {
      const { podOn, proxy, reaches } = yield* scene
      const directory = yield* EventTargets.folder
      yield* proxy.apply({ _tag: "Reset" })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { born } = yield* podOn(directory, "early")
          assert.deepInclude(born, { keyed: false, sent: 0, kept: 0, pending: 1 })
        })
      )
      const { born, next, order } = yield* podOn(directory, "early")
      assert.deepInclude(born, { keyed: false, sent: 0, kept: 0, pending: 1 })
      yield* proxy.apply({ _tag: "None" })
      assert.isTrue((yield* next).keyed)
      yield* reaches(36)
      assert.notInclude((yield* order("register")).problems.join(), "set aside")
    }).pipe(Effect.scoped),
  60_000
)
