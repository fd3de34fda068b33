import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import {
  AgentClosed,
  Agion,
  PermissionDenied,
  PolicyViolation,
  SettingsInvalid
} from "../src/promise/index.ts"
import { AgionTest, type Platform, TestPlatform, testUuid } from "../src/testing/index.ts"
import { policy } from "./policies.ts"

const model = testUuid(1)
const agent = "agent-1"
// A key in the shape of a provider's; put together so that no file holds one.
const secret = ["sk", "proj", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"].join("-")

/** An agent on a platform in memory. */
const connect = async (
  options: Parameters<typeof AgionTest.layer>[0] = {}
): Promise<{ readonly agion: Agion; readonly platform: Platform }> => {
  let platform: Platform | undefined
  const seen = Layer.effectDiscard(
    Effect.map(TestPlatform, (made) => {
      platform = made
    })
  )
  const agion = await Agion.over(seen.pipe(Layer.provideMerge(AgionTest.layer(options))))
  if (platform === undefined) throw new Error("no platform")
  platform.resource({ id: model })
  platform.grant(agent, model)
  return { agion, platform }
}

describe("the promise front", () => {
  it("runs a governed call and tells of it", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    const answer = await agion.governed({ action: "chat", resource: model, content: "hi" }, async (call) => {
      call.report({ tokens: 3 })
      return call.content.length
    })
    assert.strictEqual(answer, 2)
    await agion.flush()
    assert.strictEqual(platform.events[0]?.["event_type"], "task_completed")
    assert.strictEqual((await agion.trust.score()).score, 42)
    const { permissions } = await agion.statistics()
    assert.strictEqual(permissions.misses, 1)
  })

  it("GOVERN-3 rejects with a class that has a code", async () => {
    const { agion } = await connect()
    await using _ = agion
    const error = await agion.governed({ action: "chat", resource: testUuid(5) }, () => 1).catch((e) => e)
    assert.instanceOf(error, PermissionDenied)
    assert.strictEqual(error.code, "permission_denied")
  })

  it("TRUST-5 a rejected promise costs two and arrives as it was thrown", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    const thrown = new RangeError("too far")
    const error = await agion
      .governed({ action: "chat", resource: model }, () => Promise.reject(thrown))
      .catch((e) => e)
    assert.strictEqual(error, thrown)
    await agion.flush()
    assert.strictEqual(platform.actor(agent).score, 38)
    assert.include(String(platform.events[0]?.["context"]), "RangeError: too far")
  })

  it.each([
    [{ code: "rate_limited", message: "slow down" }, "Rejected: rate_limited: slow down"],
    [{ name: "Overloaded", status: 529 }, "Overloaded"],
    [{ error: { code: 429, message: "slow down" } }, "Rejected: 429: slow down"],
    [{ status: 500, body: "left unsaid" }, "Rejected: an object with `status`, `body`"],
    [Object.create(null), "Rejected: an object"],
    [undefined, "Rejected: undefined"],
    ["no answer", "Rejected: no answer"]
  ])(
    "TRUST-5 a promise that rejects with %o says why, and it arrives as it was thrown",
    async (thrown, why) => {
      const { agion, platform } = await connect()
      await using _ = agion
      const error = await agion
        .governed({ action: "chat", resource: model }, () => Promise.reject(thrown))
        .catch((e) => e)
      assert.strictEqual(error, thrown)
      await agion.flush()
      assert.deepInclude(JSON.parse(String(platform.events[0]?.["context"])), { failure: why })
    }
  )

  it("DLP-4 what an error quotes is redacted before it is cut", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    const thrown = new Error(`${"word ".repeat(95)}${secret}`)
    await agion.governed({ action: "chat", resource: model }, () => Promise.reject(thrown)).catch(() => {})
    await agion.flush()
    const said = String(JSON.parse(String(platform.events[0]?.["context"])).failure)
    assert.isAtMost(said.length, 500)
    assert.notInclude(said, secret.slice(0, 8))
  })

  it("an aborted call stops its work and costs nothing", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    const stop = new AbortController()
    let stopped = false
    const call = agion.governed({ action: "chat", resource: model, signal: stop.signal }, (running) => {
      running.signal.addEventListener("abort", () => {
        stopped = true
      })
      stop.abort()
      return new Promise(() => {})
    })
    assert.isTrue(
      await call.then(
        () => false,
        () => true
      )
    )
    assert.isTrue(stopped)
    await agion.flush()
    assert.deepStrictEqual(
      platform.events.map((event) => event["decision"]),
      ["allow"]
    )
    assert.strictEqual(platform.actor(agent).score, 40)
  })

  it("a call whose signal has aborted before never runs its work, also where its permission is in memory", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    const reason = new Error("too late")
    const signal = AbortSignal.abort(reason)
    const ran: Array<string> = []
    const act = (name: string) => ran.push(name)
    const spec = { action: "chat", resource: model }
    await agion.governed(spec, () => act("first"))
    const late = [
      agion.governed({ ...spec, signal }, () => act("governed")),
      agion.wrap(spec, (_signal: AbortSignal) => act("wrap"))(signal),
      agion.tools(model, { pay: (_input: object, _more: object) => act("tool") }).pay({}, { signal })
    ]
    for (const end of await Promise.allSettled(late))
      assert.deepStrictEqual(end, { status: "rejected", reason })
    assert.deepStrictEqual(ran, ["first"])
    await agion.flush()
    assert.strictEqual(platform.actor(agent).score, 42)
  })

  it("a wrapped function keeps its form, and policies see its arguments", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    platform.setPolicies([policy({ name: "Small refunds", expr: "request.arguments.amount <= 100" })])
    await agion.policies.sync()
    const refund = agion.wrap(
      { action: "refund", resource: model },
      async (order: { amount: number }) => order.amount
    )
    assert.strictEqual(await refund({ amount: 50 }), 50)
    const error = await refund({ amount: 500 }).catch((e) => e)
    assert.instanceOf(error, PolicyViolation)
    assert.strictEqual(error.reason, "Policy violation: Small refunds")
  })

  it("DLP-2 arguments of a wrapped function are redacted", async () => {
    const { agion } = await connect()
    await using _ = agion
    const say = agion.wrap(
      { action: "say", resource: model },
      async (text: string, times: number) => text + times
    )
    const said = await say("write to ada@example.org", 2)
    assert.notInclude(said, "ada@example.org")
    assert.isTrue(said.startsWith("write to "))
    assert.isTrue(said.endsWith("2"))
  })

  it("GOVERN-4 streams of any kind are governed", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    async function* words() {
      yield "one "
      yield "two"
    }
    const seen: Array<string> = []
    for await (const text of agion.stream({ action: "chat", resource: model }, words)) seen.push(text)
    const readable = new ReadableStream<string>({
      start: (controller) => {
        controller.enqueue("three")
        controller.close()
      }
    })
    for await (const text of agion.stream({ action: "chat", resource: model }, () => readable))
      seen.push(text)
    assert.strictEqual(seen.join(""), "one twothree")
    await agion.flush()
    assert.strictEqual(platform.events.filter((event) => event["event_type"] === "task_completed").length, 2)
  })

  const pieces = ["the key: ", secret.slice(0, 20), secret.slice(20), " ok"]
  it.each([
    ["text", pieces],
    ["bytes", pieces.map((piece) => new TextEncoder().encode(piece))],
    ["parts of the AI SDK", pieces.map((delta) => ({ type: "text-delta", id: "0", delta }))],
    ["messages with content", pieces.map((content) => ({ content, role: "assistant" }))],
    ["chunks of OpenAI", pieces.map((content) => ({ choices: [{ index: 0, delta: { content } }] }))]
  ])("TRUST-5 GOVERN-4 a secret in %s ends a stream of any kind before any of it is out", async (_, all) => {
    const { agion, platform } = await connect()
    await using _agion = agion
    const elements: ReadonlyArray<unknown> = all
    const works = [
      () =>
        new ReadableStream<unknown>({
          start: (controller) => {
            for (const element of elements) controller.enqueue(element)
            controller.close()
          }
        }),
      async function* () {
        yield* elements
      }
    ]
    for (const work of works) {
      const { ended, first } = reading(agion.stream<unknown>({ action: "chat", resource: model }, work))
      const isOut = first.then(() => true)
      assert.instanceOf(await ended, PolicyViolation)
      assert.isFalse(await Promise.race([isOut, Promise.resolve(false)]))
    }
    await agion.flush()
    // Two in a row may lie in two minutes.
    const types = new Set(platform.events.map((event) => event["event_type"] ?? event["decision"]))
    assert.deepStrictEqual([...types], ["policy_violation", "allow"])
  })

  it("a check is answered, also without a permission", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    platform.heartbeat()
    assert.isTrue((await agion.check({ resourceId: model })).allowed)
    assert.deepInclude(await agion.check({ resourceId: model }), { source: "cache" })
    assert.isFalse((await agion.check({ resourceId: testUuid(7) })).allowed)
  })

  it("refuses options that cannot be, and says what to do", async () => {
    const error = await Agion.connect({ agentId: "a", gatewayUrl: "nowhere" }).catch((e) => e)
    assert.include(error.message, "`gatewayUrl` must be an http or https address")
    const production = { agentId: "a", gatewayUrl: "http://127.0.0.1:1", environment: "production" }
    const missing = await Agion.connect(production).catch((e) => e)
    assert.include(missing.message, "`signingKey` is required in production")
    const off = await Agion.connect({ ...production, governance: false }).catch((e) => e)
    assert.include(off.message, "cannot be switched off in production")
  })

  it("names in one line the variable that the environment lacks", async () => {
    const { AGION_AGENT_ID: before } = process.env
    delete process.env["AGION_AGENT_ID"]
    const error = await Agion.connect().catch((e) => e)
    if (before !== undefined) process.env["AGION_AGENT_ID"] = before
    assert.instanceOf(error, SettingsInvalid)
    assert.match(error.message, /^`AGION_AGENT_ID` of the environment is missing or wrong.*$/)
  })
})

/** Reads all: the `first` element is there, and what `ended` the `for await`. */
const reading = (all: AsyncIterable<unknown>) => {
  const { promise: first, resolve } = Promise.withResolvers<void>()
  const read = async () => {
    for await (const _ of all) resolve()
    return "complete"
  }
  return { first, ended: read().catch((error: unknown) => error) }
}

const assertClosed = (error: unknown) => {
  assert.instanceOf(error, AgentClosed)
  assert.include(error, { code: "closed", message: "this agent is closed; connect again" })
}

describe("a stream whose signal aborts", () => {
  const spec = { action: "chat", resource: model, estimate: { tokens: 100 }, scan: false }
  const reason = new Error("enough")

  it("GOVERN-4 midway rejects with the signal's reason, settled by its estimate", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    platform.grant(agent, model, "use", { tokenLimitPerDay: 1000 })
    const stop = new AbortController()
    const all = agion.stream({ ...spec, signal: stop.signal }, async function* () {
      yield "one"
      await new Promise(() => {})
    })
    const { first, ended } = reading(all)
    await first
    stop.abort(reason)
    assert.strictEqual(await ended, reason)
    await agion.flush()
    assert.deepInclude([...platform.reservations.values()][0], { state: "settled", tokens: 100 })
  })

  it("GOVERN-4 before it begins rejects with the signal's reason, and its work never starts", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    let started = false
    const all = agion.stream({ ...spec, signal: AbortSignal.abort(reason) }, async function* () {
      started = true
      yield "one"
    })
    assert.strictEqual(await reading(all).ended, reason)
    assert.isFalse(started)
    assert.strictEqual(platform.reservations.size, 0)
  })
})

describe("an agent that closes", () => {
  const spec = { action: "chat", resource: model, estimate: { tokens: 100 } }

  it("GOVERN-2 ends a stream under way, which is charged by its estimate", async () => {
    const { agion, platform } = await connect({ events: { shutdownDeadline: "2 seconds" } })
    platform.grant(agent, model, "use", { tokenLimitPerDay: 1000 })
    const { promise: left, resolve } = Promise.withResolvers<void>()
    async function* endless() {
      try {
        for (;;) {
          yield "on "
          await new Promise((go) => setImmediate(go))
        }
      } finally {
        resolve()
      }
    }
    const { first, ended } = reading(agion.stream({ ...spec, scan: false }, endless))
    await first
    const idle = agion.stream({ ...spec, scan: false }, async function* () {
      yield "one"
      yield "two"
    })
    const iterator = idle[Symbol.asyncIterator]()
    await iterator.next()
    await agion.close()
    assertClosed(await ended)
    await left
    assertClosed(await iterator.next().catch((error: unknown) => error))
    assert.deepStrictEqual(
      [...platform.reservations.values()].map(({ state, tokens }) => [state, tokens]),
      [
        ["settled", 100],
        ["settled", 100]
      ]
    )
  })

  it("ends a call under way and the changes that somebody waits for", async () => {
    const { agion } = await connect()
    const { promise: begun, resolve } = Promise.withResolvers<void>()
    const call = agion.governed(spec, () => {
      resolve()
      return new Promise(() => {})
    })
    const ended = call.catch((error: unknown) => error)
    const changes = [reading(agion.trust.changes()), reading(agion.policies.changes())]
    await begun
    await agion.close()
    assertClosed(await ended)
    for (const change of changes) assertClosed(await change.ended)
  })

  it("refuses whatever is asked of it after", async () => {
    const { agion } = await connect()
    assert.isTrue((await agion.check({ resourceId: model })).allowed)
    const known = agion.stream(spec, async function* () {
      yield "never"
    })
    await agion.close()
    await agion.close()
    const asked = [
      agion.governed(spec, () => "never"),
      agion.check({ resourceId: model }),
      agion.trust.score(),
      agion.flush(),
      agion.statistics(),
      reading(known).ended,
      reading(agion.trust.changes()).ended
    ]
    for (const answer of asked) assertClosed(await answer.catch((error: unknown) => error))
  })
})

describe("the SDK's own logs", () => {
  it("stay off standard output, and are those from Warn on", async () => {
    const out: Array<string> = []
    const err: Array<string> = []
    const { error, log } = console
    console.log = (...values: ReadonlyArray<unknown>) => out.push(values.join(" "))
    console.error = (...values: ReadonlyArray<unknown>) => err.push(values.join(" "))
    try {
      await using _ = await Agion.over(AgionTest.layer({ governance: false }))
    } finally {
      console.log = log
      console.error = error
    }
    assert.include(err.join("\n"), "governance is switched off")
    assert.isFalse(out.some((line) => line.includes("governance")))
  })
})
