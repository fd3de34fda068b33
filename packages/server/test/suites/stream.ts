import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Context, Effect, Queue, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import * as MissionMessages from "../../src/stream/MissionMessages.ts"
import { assertRefused, check, grant, type It, request, resource, unique } from "./words.ts"

/** An event as it was sent. */
interface Sent {
  readonly id: string | undefined
  readonly event: string
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever stands there.
  readonly data: any
}

const parse = (frame: string): Sent => {
  const field = (name: string) =>
    frame
      .split("\n")
      .find((line) => line.startsWith(`${name}: `))
      ?.slice(name.length + 2)
  return { id: field("id"), event: field("event") ?? "", data: JSON.parse(field("data") ?? "null") }
}

/** Listens as an agent, perhaps with a key; `next` waits for an event of a kind and leaves out the others. */
export const listen = (
  agentId: string,
  organizationId: string,
  lastEventId?: string,
  key?: string
): Effect.Effect<
  {
    readonly next: (event: string) => Effect.Effect<Sent>
    readonly all: ReadonlyArray<Sent>
    /** Waits for the end of the stream. */
    readonly end: Effect.Effect<void>
  },
  never,
  Platform.Platform | Scope.Scope
> =>
  Effect.gen(function* () {
    const platform = yield* Platform.Platform
    const controller = new AbortController()
    yield* Effect.addFinalizer(() => Effect.sync(() => controller.abort()))
    const url = `${platform.url}/api/v1/stream?agent_id=${agentId}&organization_id=${organizationId}`
    const response = yield* Effect.promise(() =>
      fetch(url, {
        signal: controller.signal,
        headers: {
          ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
          ...(key === undefined ? {} : { authorization: `Bearer ${key}` })
        }
      })
    )
    assert.strictEqual(response.status, 200)
    assert.include(response.headers.get("content-type") ?? "", "text/event-stream")
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    const all: Array<Sent> = []
    let rest = ""
    let at = 0
    let ended = false
    const read = Effect.promise(async () => {
      const { value = "", done = true } = (await reader?.read()) ?? {}
      ended = done
      const frames = (rest + value).split("\n\n")
      rest = frames.pop() ?? ""
      all.push(...frames.map(parse))
    })
    const next = (event: string): Effect.Effect<Sent> =>
      Effect.gen(function* () {
        for (;;) {
          for (; at < all.length; at++) {
            const sent = all[at]
            if (sent?.event !== event) continue
            at += 1
            return sent
          }
          yield* read
        }
      }).pipe(Effect.timeout("10 seconds"), Effect.orDie)
    const end = Effect.gen(function* () {
      while (!ended) yield* read
    }).pipe(Effect.timeout("10 seconds"), Effect.orDie)
    return { next, all, end }
  })

export const stream = (it: It) => {
  it.effect("FRESH-2 a listener gets a heartbeat at once and each second, with the epoch", () =>
    Effect.gen(function* () {
      const [org, agent] = [unique("org"), unique("agent")]
      yield* resource(org)
      const line = yield* listen(agent, org)
      const first = yield* line.next("heartbeat")
      assert.strictEqual(first.data.previous, first.data.epoch)
      assert.strictEqual(first.id, String(first.data.epoch))
      const second = yield* line.next("heartbeat")
      assert.strictEqual(second.data.epoch, first.data.epoch)
    }).pipe(Effect.scoped)
  )

  it.effect(
    "FRESH-3 a revocation, a change of score and an approval reach the agent by push, epoch after epoch",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const [org, agent] = [unique("org"), unique("agent")]
        const { id: resourceId } = yield* resource(org)
        const { id } = yield* request(agent, resourceId)
        const line = yield* listen(agent, org)
        yield* line.next("heartbeat")
        yield* platform.post(`/permissions/${id}/approve`, { approved_by: "boss" })
        const approved = yield* line.next("invalidation")
        assert.deepStrictEqual(approved.data.ids, [id, agent, resourceId])
        const approval = yield* line.next("approval")
        assert.deepInclude(approval.data, { permission_id: id, status: "approved" })
        yield* platform.post("/trust/evaluate", {
          entity_id: agent,
          entity_type: "agent",
          event_type: "positive",
          impact: 20,
          description: "well done",
          organization_id: org
        })
        const trusted = yield* line.next("trust")
        assert.strictEqual(trusted.data.previous, approved.data.epoch)
        const [push] = trusted.data.trust
        assert.deepInclude(push, { actor_id: agent, score: 60, tier_changed: true })
        assert.isString(push.signed.signature)
        yield* platform.post(`/permissions/${id}/revoke`, { revoked_by: "boss", reason: "over" })
        const revoked = yield* line.next("invalidation")
        assert.strictEqual(revoked.data.previous, trusted.data.epoch)
        assert.isFalse((yield* check(org, agent, resourceId)).allowed)
      }).pipe(Effect.scoped)
  )

  it.effect("an approval is told once, however many changes of its permission leave it as it was", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const { id: resourceId } = yield* resource(org)
      const { id } = yield* request(agent, resourceId)
      const line = yield* listen(agent, org)
      yield* line.next("heartbeat")
      const status = Effect.map(line.next("approval"), ({ data }) => data.status)
      yield* platform.post(`/permissions/${id}/approve`, { approved_by: "boss" })
      assert.strictEqual(yield* status, "approved")
      const narrowed = yield* platform.put(`/permissions/${id}`, {
        constraints: { rate_limit_rpm: 5 },
        updated_by: "boss"
      })
      assert.strictEqual(narrowed.status, 200, narrowed.text)
      yield* platform.post(`/permissions/${id}/revoke`, { revoked_by: "boss", reason: "over" })
      assert.strictEqual(yield* status, "revoked")
      yield* request(agent, resourceId)
      yield* platform.post(`/permissions/${id}/approve`, { approved_by: "boss" })
      for (let said = yield* status; said !== "approved"; said = yield* status)
        assert.strictEqual(said, "pending")
    }).pipe(Effect.scoped)
  )

  it.effect("FRESH-2 who listens to an organization that is not there hears heartbeats, and makes none", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const sql = Context.get(platform.services, SqlClient.SqlClient)
      const [org, agent] = [unique("org"), unique("agent")]
      const line = yield* listen(agent, org)
      assert.deepInclude((yield* line.next("heartbeat")).data, { previous: 0, epoch: 0 })
      assert.deepInclude((yield* line.next("heartbeat")).data, { previous: 0, epoch: 0 })
      assert.deepStrictEqual(yield* Effect.orDie(sql`SELECT id FROM organizations WHERE id = ${org}`), [])
      yield* resource(org)
      assert.deepInclude((yield* line.next("invalidation")).data, { previous: 0, epoch: 1 })
    }).pipe(Effect.scoped)
  )

  it.effect("Last-Event-ID resumes after that epoch; an unknown one tells the agent to drop everything", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const { id: resourceId } = yield* resource(org)
      const first = yield* Effect.scoped(Effect.flatMap(listen(agent, org), (line) => line.next("heartbeat")))
      const permission = yield* grant(agent, resourceId)
      yield* platform.post(`/permissions/${permission.id}/revoke`, { revoked_by: "b", reason: "r" })
      const line = yield* listen(agent, org, first.id)
      const missed = [yield* line.next("invalidation"), yield* line.next("invalidation")]
      assert.strictEqual(missed[0]?.data.previous, first.data.epoch)
      assert.strictEqual(missed[1]?.data.previous, missed[0]?.data.epoch)
      const lost = yield* listen(agent, org, "123456789")
      const reset = yield* lost.next("invalidation")
      assert.deepStrictEqual(reset.data.ids, [])
      assert.strictEqual(reset.data.kind, "organization")
      const nonsense = yield* listen(agent, org, "nonsense")
      assert.deepStrictEqual((yield* nonsense.next("invalidation")).data.ids, [])
      assertRefused(yield* platform.get("/stream"), 400)
    }).pipe(Effect.scoped)
  )

  it.effect("MISSION-2 a participant hears of messages for it and for everyone, and of no others", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, mission, agent] = [unique("org"), unique("mission"), unique("agent")]
      for (const participant_id of [agent, "other", "third"])
        yield* platform.post(`/missions/${mission}/join`, { participant_id, organization_id: org })
      const line = yield* listen(agent, org)
      yield* line.next("heartbeat")
      const send = (to: string | undefined, n: number) =>
        platform.post(`/missions/${mission}/messages`, {
          from_participant: "third",
          to_participant: to,
          message_type: "note",
          content: { n }
        })
      yield* send("other", 1)
      yield* send(agent, 2)
      yield* send(undefined, 3)
      const heard = [yield* line.next("mission"), yield* line.next("mission")]
      assert.deepStrictEqual(
        heard.map(({ data }) => data.content.n),
        [2, 3]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("MISSION-2 the first who listens hears of what is sent as soon as it is connected, once", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, mission] = [unique("org"), unique("mission")]
      for (const participant_id of ["one", "two"])
        yield* platform.post(`/missions/${mission}/join`, { participant_id, organization_id: org })
      const send = (n: number) =>
        platform.post(`/missions/${mission}/messages`, {
          from_participant: "one",
          message_type: "note",
          content: { n }
        })
      const heard = yield* Queue.unbounded<unknown>()
      const messages = MissionMessages.make(
        20,
        () => true,
        ({ data, organizationId }) => {
          if (organizationId === org) Queue.offerUnsafe(heard, JSON.parse(data).content.n)
        }
      )
      yield* send(1)
      yield* Effect.gen(function* () {
        yield* messages.begin
        yield* send(2)
        yield* Effect.forkScoped(messages.follow)
        assert.strictEqual(yield* Queue.take(heard), 2)
        yield* messages.begin
        yield* send(3)
        assert.strictEqual(yield* Queue.take(heard), 3)
      }).pipe(Effect.provide(platform.services), Effect.timeout("10 seconds"), Effect.orDie)
    }).pipe(Effect.scoped)
  )
}
