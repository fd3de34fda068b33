import { createSecretKey } from "node:crypto"
import { Readable } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { AgionSdk } from "../src/index.ts"
import {
  Agion,
  ApprovalRequired,
  ArgumentUnreadable,
  CallTimedOut,
  InputInvalid,
  PermissionDenied,
  PolicyViolation
} from "../src/promise/index.ts"
import { AgionTest, type Platform, TestPlatform, testUuid } from "../src/testing/index.ts"
import { policy } from "./policies.ts"

const orders = testUuid(1)
const agent = "agent-1"

/** An agent that may use `orders`, on a platform in memory. */
const connect = async (
  ...policies: ReadonlyArray<Parameters<typeof policy>[0]>
): Promise<{ readonly agion: Agion; readonly platform: Platform }> => {
  let platform: Platform | undefined
  const seen = Layer.effectDiscard(
    Effect.map(TestPlatform, (made) => {
      platform = made
    })
  )
  const agion = await Agion.over(seen.pipe(Layer.provideMerge(AgionTest.layer())))
  if (platform === undefined) throw new Error("no platform")
  platform.resource({ id: orders, name: "orders", resourceType: "api" })
  platform.grant(agent, orders)
  platform.setPolicies(policies.map(policy))
  await agion.policies.sync()
  return { agion, platform }
}

const refund = async ({ amount }: { amount: number }) => `refunded ${amount}`

describe("the tools of a framework", () => {
  it("GOVERN-3 a denial is an answer that a model can read", async () => {
    const { agion } = await connect({ name: "Small refunds", expr: "request.arguments.amount <= 100" })
    await using _ = agion
    const tools = agion.tools(orders, { refund })
    assert.strictEqual(await tools.refund({ amount: 50 }), "refunded 50")
    const denied = await tools.refund({ amount: 500 })
    assert.deepInclude(denied, { denied: true, code: "policy_violation" })
    assert.include(JSON.stringify(denied), "Small refunds")
  })

  it("GOVERN-3 a denial is thrown where the framework makes results of errors", async () => {
    const { agion } = await connect()
    await using _ = agion
    const tools = agion.tools(testUuid(9), { refund }, { denied: "throw" })
    const error = await tools.refund({ amount: 50 }).catch((thrown: unknown) => thrown)
    assert.instanceOf(error, PermissionDenied)
  })

  it("policies see the tool's name, and each tool by its own", async () => {
    const { agion } = await connect({ name: "No refunds", expr: 'request.tool != "refund"' })
    await using _ = agion
    const tools = agion.tools(orders, { refund, lookUp: async (order: string) => `order ${order}` })
    assert.deepInclude(await tools.refund({ amount: 1 }), { denied: true })
    assert.strictEqual(await tools.lookUp("A-1"), "order A-1")
  })

  it("what is no object is seen as `input`, and what the framework adds is not seen", async () => {
    const { agion } = await connect({
      name: "Only A",
      expr: 'request.arguments == {"input": "A"}'
    })
    await using _ = agion
    const tools = agion.tools(orders, {
      lookUp: async (order: string, more: { readonly toolCallId: string }) => order + more.toolCallId
    })
    assert.strictEqual(await tools.lookUp("A", { toolCallId: "7" }), "A7")
    assert.deepInclude(await tools.lookUp("B", { toolCallId: "7" }), { denied: true })
  })

  it("what LangGraph, the AI SDK and MCP add is not seen", async () => {
    const { agion } = await connect({ name: "Only A", expr: 'request.arguments == {"order": "A"}' })
    await using _ = agion
    const { signal } = new AbortController()
    const tools = agion.tools(orders, { lookUp: async (_input: object, _more: object) => "found" })
    const added = [
      { tags: [], metadata: {}, recursionLimit: 25, runId: undefined, runName: "lookUp" },
      { tags: [], metadata: {}, recursionLimit: 25, runId: undefined, signal, toolCall: { id: "7" } },
      { toolCallId: "7", messages: [{ role: "user", content: "4111 1111 1111 1111" }], abortSignal: signal },
      { signal, requestId: 7, sendNotification: async () => {} }
    ]
    for (const more of added) assert.strictEqual(await tools.lookUp({ order: "A" }, more), "found")
  })

  it("a tool without parameters is given only what the framework adds", async () => {
    const { agion } = await connect({ name: "No arguments", expr: "request.arguments == {}" })
    await using _ = agion
    const tools = agion.tools(orders, {
      count: async (extra: { readonly signal: AbortSignal; readonly sessionId: string }) => extra.sessionId
    })
    assert.strictEqual(await tools.count({ signal: new AbortController().signal, sessionId: "s" }), "s")
  })

  it("DLP-2 an address in what the model gave is redacted on its way", async () => {
    const { agion } = await connect()
    await using _ = agion
    const tools = agion.tools(orders, {
      write: async ({ to }: { to: string }) => to,
      say: async (text: string) => text
    })
    assert.notInclude(JSON.stringify(await tools.write({ to: "ada@example.org" })), "ada@example.org")
    assert.notInclude(JSON.stringify(await tools.say("to ada@example.org")), "ada@example.org")
  })

  describe("DLP-1 a card number is blocked wherever an argument holds it", () => {
    const card = "4111 1111 1111 1111"
    const circle: { note: string; self?: unknown } = { note: card }
    circle.self = circle
    class Note {
      readonly #text = card
      get text() {
        return this.#text
      }
    }
    const places: { readonly [place: string]: ReadonlyArray<unknown> } = {
      "beside a bigint": [{ note: card, order: 7n }],
      "as a bigint": [{ order: 4111111111111111n }],
      "in a circle": [circle],
      "in a map": [{ notes: new Map([["one", card]]) }],
      "in a set": [new Set([card])],
      "in a key of a map": [new Map([[{ note: card }, 1]])],
      "in a buffer": [{ body: Buffer.from(`pay ${card}`) }],
      "in wide bytes": [{ body: Buffer.from(card, "utf16le") }],
      "in an array buffer": [new TextEncoder().encode(card).buffer],
      "in a second argument": [{ order: "A" }, { note: card }],
      "in a third argument": ["A", "B", card],
      "beside an argument of that name": [{ $2: "A" }, card],
      "under a toJSON": [{ note: card, toJSON: () => ({ order: "A" }) }],
      "in what toJSON gives": [{ toJSON: () => card }],
      "in a getter": [new Note()],
      "beside a signal": [{ note: card, signal: new AbortController().signal }],
      "beside a signal in a second argument": [{}, { note: card, signal: new AbortController().signal }],
      "in a hidden property": [Object.defineProperty({}, "note", { value: card })],
      "under a symbol": [{ [Symbol("note")]: card }],
      "beside a date": [Object.assign(new Date(0), { note: card })],
      "beside an address": [Object.assign(new URL("http://example.org"), { note: card })],
      "beside a pattern": [Object.assign(/a/, { note: card })],
      "beside a boxed text": [Object.assign(new String("a"), { note: card })],
      "beside a buffer": [{ body: Object.assign(Buffer.from("a"), { note: card }) }],
      "beside an array buffer": [Object.assign(new ArrayBuffer(1), { note: card })],
      "beside a function": [{ done: Object.assign(() => {}, { note: card }) }],
      "hung on a signal": ["A", { signal: Object.assign(new AbortController().signal, { note: card }) }]
    }
    for (const [place, args] of Object.entries(places))
      for (const front of ["tools", "wrap"] as const)
        it(`${place}, of \`${front}\``, async () => {
          const { agion } = await connect()
          await using _ = agion
          let ran = false
          const pay = async (..._args: ReadonlyArray<unknown>) => {
            ran = true
          }
          const error = await (front === "wrap"
            ? agion.wrap({ action: "pay", resource: orders }, pay)
            : agion.tools(orders, { pay }, { denied: "throw" }).pay)(...args).catch(
            (thrown: unknown) => thrown
          )
          assert.instanceOf(error, PolicyViolation)
          assert.include(String(error), "Content blocked")
          assert.isFalse(ran)
        })
  })

  it("DLP-1 what cannot be read refuses the call before it runs, and costs no trust", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    let ran = false
    const pay = async (_input: unknown) => {
      ran = true
    }
    const throwing = Object.defineProperty({}, "note", {
      enumerable: true,
      get: () => {
        throw new Error("no")
      }
    })
    for (const input of [{ body: new Blob(["x"]) }, throwing])
      for (const front of [
        agion.tools(orders, { pay }, { denied: "throw" }).pay,
        agion.wrap({ action: "pay", resource: orders }, pay)
      ]) {
        const error = await front(input).catch((thrown: unknown) => thrown)
        assert.include(String(error), "cannot be shown to policies")
      }
    assert.isFalse(ran)
    await agion.flush()
    assert.strictEqual(platform.actor(agent).score, 40)
    assert.lengthOf(platform.events, 0)
  })

  describe("DLP-1 what is used up by reading it, or of no known kind, is refused", () => {
    class Later extends Promise<string> {
      override get [Symbol.toStringTag]() {
        return "Thing"
      }
    }
    const settles = "then"
    const things: { readonly [thing: string]: () => unknown } = {
      "an iterator of a list": () => ["a"].values(),
      "an iterator of a map": () => new Map([["a", 1]]).values(),
      "an iterator of a text": () => "a"[Symbol.iterator](),
      "an iterator helper": () => Reflect.apply(Reflect.get(["a"].values(), "take"), ["a"].values(), [1]),
      "a weak reference": () => new WeakRef({ a: 1 }),
      "a stream of Node's": () => Readable.from(["a"]),
      "a promise under another name": () => Later.resolve("a"),
      "a promise of the program's": () => Object.defineProperty({}, settles, { value: () => {} }),
      "a key of Node's": () => createSecretKey(Buffer.from("a")),
      "an iterable of the program's": () => ({ *[Symbol.iterator]() {} }),
      "an async iterable of the program's": () => ({ async *[Symbol.asyncIterator]() {} }),
      "a proxy": () => new Proxy({}, {}),
      "a module's memory": () => new WebAssembly.Memory({ initial: 1 })
    }
    for (const [thing, make] of Object.entries(things))
      for (const front of ["tools", "wrap"] as const)
        it(`${thing}, by \`${front}\``, async () => {
          const { agion, platform } = await connect()
          await using _ = agion
          let ran = false
          const pay = async (_input: unknown) => {
            ran = true
          }
          const paying =
            front === "wrap"
              ? agion.wrap({ action: "pay", resource: orders }, pay)
              : agion.tools(orders, { pay }, { denied: "throw" }).pay
          for (const input of [make(), { deep: [make()] }]) {
            const error = await paying(input).catch((thrown: unknown) => thrown)
            assert.instanceOf(error, ArgumentUnreadable)
          }
          assert.isFalse(ran)
          await agion.flush()
          assert.lengthOf(platform.events, 0)
        })
  })

  describe("DLP-1 what is judged is what runs", () => {
    const card = "4111 1111 1111 1111"
    for (const front of ["tools", "wrap"] as const) {
      const governedBy = <A>(agion: Agion, work: (input: A) => unknown) =>
        front === "wrap"
          ? agion.wrap({ action: "send", resource: orders }, async (input: A) => work(input))
          : agion.tools(orders, { send: async (input: A) => work(input) }, { denied: "throw" }).send

      it(`by \`${front}\`, also where the program changes it while the permission is asked`, async () => {
        const { agion } = await connect()
        await using _ = agion
        const input = {
          messages: ["hi"],
          tags: new Set(["a"]),
          notes: new Map([["a", ["b"]]]),
          body: Buffer.from("0123456789012345678"),
          done: () => "done"
        }
        const sent = governedBy(agion, (given: typeof input) => given)(input)
        input.messages.push(card)
        input.tags.add(card)
        input.notes.get("a")?.push(card)
        input.body.write(card)
        const given = await sent
        assert.deepInclude(given, {
          messages: ["hi"],
          tags: new Set(["a"]),
          notes: new Map([["a", ["b"]]]),
          body: Buffer.from("0123456789012345678"),
          done: input.done
        })
      })

      it(`by \`${front}\`, where a getter says something else each time`, async () => {
        const { agion } = await connect()
        await using _ = agion
        let times = 0
        const input = {
          get note() {
            return ++times > 1 ? card : "clean"
          }
        }
        const sent = governedBy(agion, (given: typeof input) => `${given.note} ${given.note}`)
        assert.strictEqual(await sent(input), "clean clean")
      })

      it(`by \`${front}\`, and is the very object where nothing changed it`, async () => {
        const { agion } = await connect()
        await using _ = agion
        const input = { messages: ["hi"], when: new Date(0) }
        assert.strictEqual(await governedBy(agion, (given: typeof input) => given)(input), input)
      })
    }
  })

  it("DLP-2 only the argument that is redacted is replaced, and policies see a second one as `$2`", async () => {
    const { agion } = await connect({ name: "Second", expr: 'request.arguments["$2"].startsWith("to")' })
    await using _ = agion
    const when = new Map([["day", 1n]])
    const say = async (input: { readonly when: Map<string, bigint> }, text: string) => ({ input, text })
    const answer = await agion.tools(orders, { say }, { denied: "throw" }).say({ when }, "to ada@example.org")
    assert.deepInclude(answer, { input: { when } })
    assert.notInclude(String(Reflect.get(answer, "text")), "ada@example.org")
  })

  it("DLP-2 an object that is redacted keeps its signal", async () => {
    const { agion } = await connect()
    await using _ = agion
    const say = async (input: { readonly to: string; readonly signal: AbortSignal }) => input
    const input = { to: "ada@example.org", signal: new AbortController().signal }
    const answer = await agion.tools(orders, { say }, { denied: "throw" }).say(input)
    assert.notInclude(answer.to, "ada@example.org")
    assert.instanceOf(answer.signal, AbortSignal)
  })

  for (const name of ["signal", "abortSignal"])
    it(`an aborted \`${name}\` stops the tool, rejects with its reason and costs nothing`, async () => {
      const { agion, platform } = await connect()
      await using _ = agion
      const stop = new AbortController()
      const heard: Array<string> = []
      const tools = agion.tools(orders, {
        wait: (_input: object, more: { readonly [name: string]: unknown }) => {
          const signal = more[name]
          if (signal instanceof AbortSignal) signal.addEventListener("abort", () => heard.push("stopped"))
          stop.abort(new Error("enough"))
          return new Promise<never>(() => {})
        }
      })
      const error = await tools.wait({}, { [name]: stop.signal }).catch((thrown: unknown) => thrown)
      assert.strictEqual(String(error), "Error: enough")
      assert.deepStrictEqual(heard, ["stopped"])
      await agion.flush()
      assert.strictEqual(platform.actor(agent).score, 40)
    })

  it("a time-out is an error, and aborts the signal that the tool was given", async () => {
    const { agion } = await connect()
    await using _ = agion
    const heard: Array<string> = []
    const tools = agion.tools(
      orders,
      {
        wait: (_input: object, more: { readonly signal: AbortSignal }) => {
          more.signal.addEventListener("abort", () => heard.push("stopped"))
          return new Promise<never>(() => {})
        }
      },
      { timeout: "1 millis" }
    )
    const error = await tools
      .wait({}, { signal: new AbortController().signal })
      .catch((thrown: unknown) => thrown)
    assert.instanceOf(error, CallTimedOut)
    assert.deepStrictEqual(heard, ["stopped"])
  })

  it("GOVERN-4 a generator keeps its elements and what it returns", async () => {
    const { agion, platform } = await connect({
      name: "Few",
      expr: "request.arguments.count < 3",
      enforcement: "allow"
    })
    await using _ = agion
    const tools = agion.tools(orders, {
      async *list({ count }: { count: number }) {
        for (let at = 1; at <= count; at++) yield { at }
        return "done"
      }
    })
    const all: Array<unknown> = []
    const running = tools.list({ count: 2 })
    for (let step = await running.next(); ; step = await running.next()) {
      all.push(step.value)
      if (step.done === true) break
    }
    assert.deepStrictEqual(all, [{ at: 1 }, { at: 2 }, "done"])
    await agion.flush()
    assert.strictEqual(platform.events[0]?.["event_type"], "task_completed")
  })

  it("GOVERN-4 a generator goes on when its element was taken, which is given as it is", async () => {
    const { agion } = await connect()
    await using _ = agion
    const steps: Array<string> = []
    const tools = agion.tools(orders, {
      async *look() {
        steps.push("begun")
        yield "write to ada@example.com"
        steps.push("gone on")
        yield "done"
      }
    })
    const running = tools.look()
    assert.strictEqual((await running.next()).value, "write to ada@example.com")
    assert.deepStrictEqual(steps, ["begun"])
    assert.strictEqual((await running.next()).value, "done")
    assert.deepStrictEqual(steps, ["begun", "gone on"])
  })

  it("GOVERN-4 a generator whose elements would come after the call is refused", async () => {
    const { agion } = await connect()
    await using _ = agion
    const list = async function* () {
      yield "a"
    }
    const count = function* () {
      yield 1
    }
    const wrapping = () => agion.wrap({ action: "list", resource: orders }, list)
    assert.throws(wrapping, InputInvalid, "`agion.stream`")
    assert.throws(() => agion.tools(orders, { count }), InputInvalid, "`functions.count`")
  })

  it("GOVERN-3 a denied generator yields the denial", async () => {
    const { agion } = await connect({ name: "Ask first", expr: "true", enforcement: "require_approval" })
    await using _ = agion
    const list = async function* (_input: object) {
      yield "never"
    }
    const all: Array<unknown> = []
    for await (const one of agion.tools(orders, { list }).list({})) all.push(one)
    assert.lengthOf(all, 1)
    assert.deepInclude(all[0], { denied: true, code: "approval_required" })
    const thrown = await agion
      .tools(orders, { list }, { denied: "throw" })
      .list({})
      .next()
      .catch((error: unknown) => error)
    assert.instanceOf(thrown, ApprovalRequired)
  })
})

describe("a resource by its name", () => {
  it("is found, by its type where the name is not enough", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    assert.strictEqual(await agion.resource("orders"), orders)
    platform.resource({ id: testUuid(2), name: "orders", resourceType: "database" })
    const error = await agion.resource("orders").catch((thrown: unknown) => thrown)
    assert.include(String(error), "there are 2 resources `orders` (api, database); name the type")
    assert.strictEqual(await agion.resource("orders", "database"), testUuid(2))
  })

  it("is found once, though it moves to a later page meanwhile, and its type is asked for", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    const named = (n: number, name: string) => platform.resource({ id: testUuid(n), name })
    for (let n = 2000; n < 2998; n++) named(n, `filler ${n}`)
    named(9000, "moving")
    const list = platform.resources.values.bind(platform.resources)
    // Another is added before each page but the first, and shifts what follows.
    let asked = 0
    platform.resources.values = () => {
      if (asked++ > 0) platform.resources.set(testUuid(10_000 + asked), named(9000, "moving"))
      return list()
    }
    assert.strictEqual(await agion.resource("moving"), testUuid(9000))
    assert.strictEqual(await agion.resource("orders", "api"), orders)
  })

  it("ends its search where a platform answers the same page for ever", async () => {
    let pages = 0
    const firstPage = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(
        HttpClient.HttpClient,
        HttpClient.mapRequest((request) => {
          const isList = request.url.endsWith("/resources")
          if (isList && ++pages > 3) throw new Error("asked for the same page again and again")
          return isList ? HttpClientRequest.setUrlParam(request, "offset", "0") : request
        })
      )
    )
    const full = Layer.effectDiscard(
      Effect.map(TestPlatform, (platform) => {
        for (let n = 2000; n < 3000; n++) platform.resource({ id: testUuid(n), name: `filler ${n}` })
      })
    )
    const parts = AgionSdk.layerOver({
      agentId: agent,
      gatewayUrl: "http://platform.test",
      directory: false,
      events: { shutdownDeadline: 0 }
    })
    const layer = parts.pipe(
      Layer.provide(firstPage),
      Layer.provideMerge(full),
      Layer.provideMerge(AgionTest.connections())
    )
    await using agion = await Agion.over(layer)
    const error = await agion.resource("nothing").catch((thrown: unknown) => thrown)
    assert.include(String(error), "there is no resource `nothing`")
  })

  it("that is not there is said so", async () => {
    const { agion } = await connect()
    await using _ = agion
    const error = await agion.resource("nothing").catch((thrown: unknown) => thrown)
    assert.include(String(error), "there is no resource `nothing`")
  })
})
