/** What a program without types gives a call of the promise front: judged before anything runs or is told. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer } from "effect"
import { Governance, governed, InputInvalid, PermissionCache, PlatformRefused } from "../src/index.ts"
import { AgentClosed, Agion, ArgumentUnreadable, CallTimedOut } from "../src/promise/index.ts"
import { AgionTest, type Platform, TestPlatform, testUuid } from "../src/testing/index.ts"

const model = testUuid(1)
const agent = "agent-1"

/** The front as a program without types calls it. */
type Untyped = { readonly [K in keyof Agion]: (...args: ReadonlyArray<unknown>) => unknown }

const connect = async (): Promise<{ agion: Agion; untyped: Untyped; platform: Platform }> => {
  let platform: Platform | undefined
  const seen = Layer.effectDiscard(
    Effect.map(TestPlatform, (made) => {
      platform = made
    })
  )
  const agion = await Agion.over(seen.pipe(Layer.provideMerge(AgionTest.layer())))
  if (platform === undefined) throw new Error("no platform")
  platform.resource({ id: model, name: "orders", resourceType: "api" })
  platform.grant(agent, model)
  const untyped = Object.fromEntries(
    [
      "governed",
      "wrap",
      "tools",
      "stream",
      "check",
      "resource",
      "preload",
      "holdResources",
      "http",
      "publish"
    ].map((name) => [
      name,
      (...args: ReadonlyArray<unknown>) => Reflect.apply(Reflect.get(agion, name), agion, args)
    ])
  ) as Untyped
  return { agion, untyped, platform }
}

/** What an attempt throws or rejects with. */
const errorOf = async (attempt: () => unknown): Promise<unknown> => {
  try {
    return await attempt()
  } catch (error) {
    return error
  }
}

const read = async (all: unknown): Promise<ReadonlyArray<unknown>> => {
  const elements: Array<unknown> = []
  for await (const element of all as AsyncIterable<unknown>) elements.push(element)
  return elements
}

const circle: { self?: unknown } = {}
circle.self = circle

const wrongSpecs: ReadonlyArray<readonly [input: string, spec: unknown]> = [
  ["spec", undefined],
  ["spec", null],
  ["action", { resource: model }],
  ["action", { action: 5, resource: model }],
  ["resource", { action: "chat" }],
  ["resource", { action: "chat", resource: "orders" }],
  ...(
    [
      ["timeout", "5 sec"],
      ["timeout", -5],
      ["timeout", Number.NaN],
      ["signal", "stop"],
      ["permission", "reed"],
      ["contents", "never scanned"],
      ["content", 5],
      ["origin", "somebody"],
      ["tool", 5],
      ["executionId", ""],
      ["context", "text"],
      ["arguments", []],
      ["usage", 5],
      ["estimate", 5]
    ] as const
  ).map(([name, value]) => [name, { action: "chat", resource: model, [name]: value }] as const),
  ["arguments.order.id", { action: "chat", resource: model, arguments: { order: { id: 1n } } }],
  ["arguments", { action: "chat", resource: model, arguments: circle }],
  ["metadata.list[1]", { action: "chat", resource: model, metadata: { list: [1, Number.NaN] } }],
  ["estimate.token", { action: "chat", resource: model, estimate: { token: 5 } }],
  ["estimate.tokens", { action: "chat", resource: model, estimate: { tokens: "5" } }]
]

describe("what a call is given", () => {
  it("GOVERN-4 says where the text of a stream's elements stands, by two functions", async () => {
    const { agion, untyped } = await connect()
    await using _ = agion
    const wrong = [
      ["scan", "yes"],
      ["scan.set", { get: () => "" }],
      ["scan.get", { get: "text", set: () => "" }],
      ["scan.put", { get: () => "", set: () => "", put: () => "" }]
    ] as const
    for (const [input, scan] of wrong) {
      const error = await errorOf(() => untyped.stream({ action: "chat", resource: model, scan }, () => []))
      assert.instanceOf(error, InputInvalid)
      assert.deepInclude(error, { code: "input_invalid", input })
    }
    const scan = {
      get: (element: { said: string }) => element.said,
      set: (_: { said: string }, said: string) => ({ said })
    }
    const all = agion.stream({ action: "chat", resource: model, scan }, async function* () {
      yield { said: "write to ada@exam" }
      yield { said: "ple.org today" }
    })
    const said = (await read(all)) as ReadonlyArray<{ said: string }>
    assert.match(said.map((element) => element.said).join("|"), /^write to \[email:\w{8}\]\| today$/)
  })

  it("TRUST-5 is judged before it runs or is told of, and costs no trust", async () => {
    const { agion, platform, untyped } = await connect()
    await using _ = agion
    let ran = 0
    const work = () => ++ran
    for (const [input, spec] of wrongSpecs)
      for (const attempt of [
        () => untyped.governed(spec, work),
        () => (untyped.wrap(spec, work) as () => unknown)(),
        async () => (input === "usage" ? untyped.governed(spec, work) : read(untyped.stream(spec, work)))
      ]) {
        const error = await errorOf(attempt)
        assert.instanceOf(error, InputInvalid, input)
        assert.deepInclude(error, { code: "input_invalid", input })
        assert.include((error as InputInvalid).message, `\`${input}\``)
      }
    assert.strictEqual(ran, 0)
    await agion.flush()
    assert.deepStrictEqual(platform.events, [])
    assert.strictEqual(platform.actor(agent).score, 40)
  })

  it("says the nearest known name, and how a resource's id is found", async () => {
    const { agion, untyped } = await connect()
    await using _ = agion
    const spec = { action: "chat", resource: model }
    const misspelt = await errorOf(() => untyped.governed({ ...spec, contents: "x" }, () => 1))
    assert.include(String(misspelt), "did you mean `content`?")
    const named = await errorOf(() => untyped.governed({ ...spec, resource: "orders" }, () => 1))
    assert.include(String(named), "`agion.resource(name)`")
    const found = agion.resource("orders")
    const unawaited = await errorOf(() => untyped.tools(found, {}))
    assert.include(String(unawaited), "not a Promise; await it")
    assert.strictEqual(await found, model)
  })

  it("of the other methods is judged, too", async () => {
    const { agion, untyped } = await connect()
    await using _ = agion
    const spec = { action: "chat", resource: model }
    const attempts: ReadonlyArray<readonly [input: string, attempt: () => unknown]> = [
      ["work", () => untyped.governed(spec)],
      ["work", () => untyped.governed(spec, Promise.resolve(1))],
      ["work", () => untyped.wrap(spec)],
      ["work", () => untyped.stream(spec, ["a"])],
      ["functions", () => untyped.tools(model)],
      ["functions.refund", () => untyped.tools(model, { refund: 5 })],
      ["denied", () => untyped.tools(model, {}, { denied: "thrown" })],
      ["timeOut", () => untyped.tools(model, {}, { timeOut: 5 })],
      ["input", () => untyped.check()],
      ["resource", () => untyped.check({ resource: model })],
      ["resourceId", () => untyped.check({ resourceId: "orders" })],
      ["permissionType", () => untyped.check({ resourceId: model, permissionType: "reed" })],
      ["context.a", () => untyped.check({ resourceId: model, context: { a: 1n } })],
      ["options.signal", () => untyped.check({ resourceId: model }, { signal: 5 })],
      ["name", () => untyped.resource()],
      ["type", () => untyped.resource("orders", "tabel")],
      ["inputs", () => untyped.preload("all")],
      ["inputs[0].resourceId", () => untyped.preload([{}])],
      ["resourceIds", () => untyped.holdResources(model)],
      ["resourceIds[0]", () => untyped.holdResources([5])],
      ["f", () => untyped.http(5)],
      ["f", () => untyped.http(() => Promise.resolve(5))],
      ["layer", () => Reflect.apply(Agion.over, Agion, [])],
      ["layer", () => Reflect.apply(Agion.hostOver, Agion, [{}])],
      ["kind", () => untyped.publish("trus", {})],
      ["event", () => untyped.publish("trust", null)],
      ["query", () => Reflect.apply(agion.policies.check, undefined, [])],
      ["contents", () => Reflect.apply(agion.policies.explain, undefined, [{ action: "a", contents: "b" }])]
    ]
    for (const [input, attempt] of attempts) {
      const error = await errorOf(attempt)
      assert.instanceOf(error, InputInvalid, input)
      assert.strictEqual((error as InputInvalid).input, input)
    }
  })

  it("GOVERN-3 that policies cannot see is an answer of a tool that answers denials", async () => {
    const { agion } = await connect()
    await using _ = agion
    const list = async function* (_: unknown) {}
    const tools = agion.tools(model, { list, pay: async (_: unknown) => "paid" })
    const unreadable = { denied: true, code: "argument_unreadable", remedy: "change_content" } as const
    assert.deepInclude(await tools.pay(Promise.resolve(1)), unreadable)
    assert.deepInclude((await read(tools.list(new Blob())))[0], unreadable)
    const throwing = agion.tools(model, { pay: async (_: unknown) => "paid" }, { denied: "throw" })
    assert.instanceOf(await errorOf(() => throwing.pay(Promise.resolve(1))), ArgumentUnreadable)
  })

  it("may be a signal, with whose reason a check rejects", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    platform.fault = { _tag: "Hang" }
    const stop = new AbortController()
    const checked = errorOf(() => agion.check({ resourceId: model }, { signal: stop.signal }))
    const reason = new Error("enough")
    stop.abort(reason)
    assert.strictEqual(await checked, reason)
    platform.fault = { _tag: "None" }
  })

  it("finds a resource by its name, or says what to do", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    assert.strictEqual(await agion.resource("orders"), model)
    const missing = await errorOf(() => agion.resource("order"))
    assert.deepInclude(missing, { name: "ConfigMissing", code: "config_missing", key: "order" })
    platform.resource({ id: testUuid(2), name: "orders", resourceType: "tool" })
    const several = await errorOf(() => agion.resource("orders"))
    assert.deepInclude(several, { code: "resource_ambiguous", types: ["api", "tool"] })
    assert.strictEqual(await agion.resource("orders", "tool"), testUuid(2))
  })

  it("of a route is no outage where it cannot be sent", async () => {
    const { agion } = await connect()
    await using _ = agion
    const params: { readonly id: typeof testUuid extends () => infer A ? A : never } = JSON.parse("{}")
    const error = await errorOf(() => agion.http((api) => api.resources.get({ params })))
    assert.deepInclude(error, { code: "platform_refused", status: 400 })
    assert.include(String(error), '["id"]')
  })
})

describe("a stream", () => {
  const spec = { action: "chat", resource: model, estimate: { tokens: 100 }, scan: false }

  it("TRUST-5 GOVERN-4 that outlasts its time-out stops its work, costs three and is settled by its estimate", async () => {
    const { agion, platform } = await connect()
    await using _ = agion
    platform.grant(agent, model, "use", { tokenLimitPerDay: 1000 })
    let stopped: AbortSignal | undefined
    const all = agion.stream({ ...spec, timeout: 20 }, async function* ({ signal }) {
      stopped = signal
      yield "one"
      await new Promise(() => {})
    })
    const error = await errorOf(() => read(all))
    assert.instanceOf(error, CallTimedOut)
    assert.isTrue(stopped?.aborted)
    await agion.flush()
    assert.deepInclude([...platform.reservations.values()][0], { state: "settled", tokens: 100 })
    assert.strictEqual(platform.actor(agent).score, 37)
  })

  it("GOVERN-4 whose reader leaves stops its work, and one that is complete does not", async () => {
    const { agion } = await connect()
    await using _ = agion
    const signals: Array<AbortSignal> = []
    const work = async function* ({ signal }: { readonly signal: AbortSignal }) {
      signals.push(signal)
      yield "one"
      yield "two"
    }
    for await (const _ of agion.stream({ ...spec, timeout: "1 minute" }, work)) break
    assert.lengthOf(await read(agion.stream({ ...spec, timeout: "1 minute" }, work)), 2)
    assert.deepStrictEqual(
      signals.map((signal) => signal.aborted),
      [true, false]
    )
  })

  it("GOVERN-4 whose caller aborts stops its work", async () => {
    const { agion } = await connect()
    await using _ = agion
    const stop = new AbortController()
    let stopped: AbortSignal | undefined
    const all = agion.stream({ ...spec, signal: stop.signal }, async function* ({ signal }) {
      stopped = signal
      yield "one"
      await new Promise(() => {})
    })
    const reading = all[Symbol.asyncIterator]()
    await reading.next()
    const next = errorOf(() => reading.next())
    stop.abort(new Error("enough"))
    assert.include(String(await next), "enough")
    assert.isTrue(stopped?.aborted)
  })

  it("says what its work may give", async () => {
    const { agion, untyped } = await connect()
    await using _ = agion
    const given = [["a"], new Map(), Promise.resolve([]), undefined]
    for (const one of given) {
      const error = await errorOf(() => read(untyped.stream(spec, () => one)))
      assert.instanceOf(error, InputInvalid)
      assert.include(String(error), "an async iterable or a ReadableStream")
    }
  })
})

describe("an agent that is closed", () => {
  it("EVENT-3 takes no event in", async () => {
    const { agion } = await connect()
    const event = { agentId: agent, eventType: "task_completed" } as const
    agion.publish("trust", event)
    await agion.close()
    assert.instanceOf(await errorOf(() => agion.publish("trust", event)), AgentClosed)
  })
})

/** The defect of an effect that must have one. */
const defectOf = <A, E>(exit: Exit.Exit<A, E>): unknown =>
  Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined

describe("the same in effects", () => {
  it.effect("TRUST-5 a call that cannot be is a defect before it runs, and told of nowhere", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      platform.resource({ id: model })
      const untyped: object = { timeout: "5 sec" }
      const governance = yield* Governance
      let ran = 0
      const work = Effect.sync(() => ++ran)
      const exits = [
        yield* Effect.exit(governance.run("chat", model, untyped)(work)),
        yield* Effect.exit(Effect.scoped(governance.open("chat", model, untyped))),
        yield* Effect.exit(work.pipe(governed("", model))),
        yield* Effect.exit(work.pipe(governed("chat", "orders")))
      ]
      assert.deepStrictEqual(
        exits.map((exit) => {
          const defect = defectOf(exit)
          return defect instanceof InputInvalid ? defect.input : defect
        }),
        ["timeout", "timeout", "action", "resource"]
      )
      assert.strictEqual(ran, 0)
      assert.deepStrictEqual(
        platform.arrived.filter(({ path }) => path.startsWith("/permissions")),
        []
      )
    }).pipe(Effect.provide(AgionTest.layer()))
  )

  it.effect("a check that cannot be sent names what is wrong", () =>
    Effect.gen(function* () {
      const cache = yield* PermissionCache
      const untyped: { readonly permissionType: "use" } = JSON.parse('{ "permissionType": "reed" }')
      const wrong = [
        ["permissionType", { resourceId: model, ...untyped }],
        ["resourceId", { resourceId: "orders" }],
        ["context.note", { resourceId: model, context: { fine: "x", note: "\u0000" } }],
        ["context.n", { resourceId: model, context: { n: Number.NaN } }]
      ] as const
      for (const [field, input] of wrong) {
        const error = yield* Effect.flip(cache.check(input))
        assert.instanceOf(error, PlatformRefused)
        assert.include(error.message, `\`${field}\``)
      }
    }).pipe(Effect.provide(AgionTest.layer()))
  )
})
