/**
 * Runs every snippet of docs/sdk.md on a platform in memory. Programs of docs/telemetry.md run in packages/testing;
 * docs/reliability.md has no snippets. The types of all are checked in the long tier.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Domain from "@agion/domain"
import * as Policy from "@agion/policy"
import * as VitestModule from "@effect/vitest"
import { assert, describe, it } from "@effect/vitest"
import * as EffectModule from "effect"
import { Clock, Context, Effect, Fiber, Layer } from "effect"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import * as Sdk from "../src/index.ts"
import {
  AgentHost,
  AgionSdk,
  EventBuffer,
  EventTransport,
  FailurePolicy,
  governed,
  type HostOptions,
  PermissionCache,
  Pushes,
  ReportTransport
} from "../src/index.ts"
import { Agion, type AgionOptions } from "../src/promise/index.ts"
import * as Testing from "../src/testing/index.ts"
import { AgionTest, TestPlatform, testUuid } from "../src/testing/index.ts"
import { policy } from "./policies.ts"
import { run, runSync, type Snippet, snippetsOf, textOf } from "./Snippets.ts"

const blocks = snippetsOf("sdk.md")
const taken = new Set<Snippet>()

/** The snippets of a chapter, in its order; `the` is their reader. */
const chapter = (title: string) => {
  const own = blocks.filter((block) => block.chapter === title && block.language === "ts")
  return (index: number): Snippet => {
    const snippet = own[index]
    if (snippet === undefined) throw new Error(`\`${title}\` of docs/sdk.md has no snippet ${index + 1}`)
    taken.add(snippet)
    return snippet
  }
}

/** The rows of a chapter's tables that begin with a name, cells without their bars. */
const rowsOf = (title: string): ReadonlyArray<ReadonlyArray<string>> => {
  const [, after = ""] = textOf("sdk.md").split(`\n## ${title}\n`)
  const [own = ""] = after.split("\n## ")
  return [...own.matchAll(/^\| `(\w+)[^`]*` \|.*$/gm)].map(([row, name = ""]) => [
    name,
    ...row.split(" | ").slice(1)
  ])
}

/** The names of what stands as code, without their arguments. */
const namesIn = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/`(\w+)[^`]*`/g)].map(([, name = ""]) => name)

const agentId = "agent-1"
const model = testUuid(1)
const notes = testUuid(2)
const other = testUuid(3)

/** Of an agent under a test's clock, which stands still when the agent is closed. */
const options: AgionOptions = {
  agentId,
  gatewayUrl: "http://platform.test",
  directory: false,
  events: { shutdownDeadline: 0 }
}

/** `A` with other values under some names. */
const withOthers = <A extends object>(target: A, others: { readonly [name: string]: unknown }): A =>
  new Proxy(target, {
    get: (of, key) =>
      typeof key === "string" && Object.hasOwn(others, key) ? others[key] : Reflect.get(of, key)
  })

type Connections = Layer.Success<ReturnType<typeof AgionTest.connections>>

/** What snippets import; the agents and hosts that they make are over connections that are there. */
const modulesOver = (connections: Context.Context<Connections>) => {
  const connected = Layer.succeedContext(connections)
  const agent = (given: AgionOptions) =>
    AgionSdk.layerOver({ ...given, directory: false }).pipe(Layer.provide(connected))
  const host = (given: HostOptions) =>
    AgentHost.layerOver({ ...given, directory: false }).pipe(Layer.provide(connected))
  return {
    effect: EffectModule,
    "@agion/sdk": {
      ...Sdk,
      AgionSdk: { ...AgionSdk, layer: agent },
      AgentHost: withOthers(AgentHost, { layer: host })
    },
    "@agion/sdk/promise": {
      Agion: withOthers(Agion, {
        connect: (given: AgionOptions) => Agion.over(agent(given)),
        host: (given: HostOptions) => Agion.hostOver(host(given))
      })
    }
  }
}

/** A platform in memory where `agent-1` may use a model, connections that only `modules` have, and `modules`. */
const ready = Effect.gen(function* () {
  const connections = yield* Layer.build(AgionTest.connections())
  const platform = Context.get(connections, TestPlatform)
  platform.resource({ id: model })
  platform.grant(agentId, model)
  return { connections, platform, modules: modulesOver(connections) }
})

/** Runs a snippet of the page; it must not fail. */
const ran = (...args: Parameters<typeof run>) => Effect.promise(() => run(...args))

/** `agent-1` for promises, its parts those of the test. */
const agionOfTest = Effect.gen(function* () {
  const parts = yield* Effect.context<AgionSdk.Services>()
  return yield* Effect.promise(() => Agion.over(Layer.succeedContext(parts)))
})

/** Moves time until a fiber has ended, for a minute at most: retries pause, and flushes have deadlines. */
const inTime = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.gen(function* () {
    for (let i = 0; i < 240 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("250 millis")
    return yield* Fiber.join(fiber)
  })

/** How a call goes on, or the rule that denies it while the platform is away. */
const attempt = (resource: string) =>
  Effect.gen(function* () {
    const call = governed("read", resource)(({ decision }) => Effect.succeed<string>(decision.mode))
    const told = Effect.catchTag(call, "GovernanceUnavailable", ({ rule }) => Effect.succeed(rule))
    return yield* inTime(yield* Effect.forkChild(told))
  })

describe("docs/sdk.md, a governed call", () => {
  const the = chapter("A governed call")

  it.live("runs, and tells what the model used", () =>
    Effect.gen(function* () {
      const { modules, platform } = yield* ready
      const asked: Array<string> = []
      const askModel = (content: string) => {
        asked.push(content)
        return Effect.succeed({ tokens: 640 })
      }
      yield* ran(the(0), { modules, modelId: model, prompt: "write to ada@example.com", askModel })
      assert.lengthOf(asked, 1)
      assert.match(asked[0] ?? "", /^write to (?!ada@)/)
      const [completed] = platform.events.filter((event) => event["event_type"] === "task_completed")
      assert.strictEqual(completed?.["agent_id"], agentId)
      const used = platform.arrived.filter(({ path }) => path.endsWith("/usage")).map(({ body }) => body)
      assert.deepInclude(used[0], { token_count: 640 })
    })
  )

  it.live("runs with promises, and a wrapped function is governed each time", () =>
    Effect.gen(function* () {
      const { modules, platform } = yield* ready
      const orders = platform.resource({ id: notes, name: "orders" })
      platform.grant(agentId, orders.id)
      const signals: Array<unknown> = []
      const given = {
        modules,
        modelId: model,
        ordersId: orders.id,
        prompt: "two and two",
        askModel: async (content: string, { signal }: { readonly signal: AbortSignal }) => {
          signals.push(signal)
          return `${content} is four`
        },
        pay: async ({ amount }: { readonly amount: number }) => `paid ${amount}`
      }
      const answers = yield* ran(the(1), given, "[answer, await refund({ amount: 50 })]")
      assert.deepStrictEqual(answers, ["two and two is four", "paid 50"])
      assert.instanceOf(signals[0], AbortSignal)
      const completed = platform.events.filter((event) => event["event_type"] === "task_completed")
      assert.lengthOf(completed, 2)
      const checks = platform.arrived.filter(({ path }) => path.startsWith("/permissions/check"))
      for (const id of [model, orders.id]) assert.include(JSON.stringify(checks), id)
    })
  )

  it.effect("GOVERN-3 tools answer, and a denial is an answer", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      platform.resource({ id: notes, name: "orders", resourceType: "api" })
      platform.grant(agentId, notes)
      platform.setPolicies([
        policy({ name: "Small refunds", expr: 'request.tool != "refund" || request.arguments.amount <= 100' })
      ])
      const agion = yield* agionOfTest
      yield* Effect.promise(() => agion.policies.sync())
      const lookUp = async ({ id }: { readonly id: string }) => `order ${id}`
      const refund = async ({ amount }: { readonly amount: number }) => `refunded ${amount}`
      const used = '[await tools.lookUp({ id: "7" }), await tools.refund({ amount: 500 })]'
      const answers = yield* ran(the(2), { modules: {}, agion, lookUp, refund }, used)
      assert.isArray(answers)
      const [found, denied] = answers as ReadonlyArray<unknown>
      assert.strictEqual(found, "order 7")
      assert.deepInclude(denied, { denied: true, code: "policy_violation" })
    }).pipe(Effect.provide(AgionTest.layer()))
  )

  it.live("GOVERN-4 a stream is scanned where the program says that its text is", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      platform.resource({ id: model })
      platform.grant(agentId, model)
      const agion = yield* agionOfTest
      const chunk = (text: string): object => ({ text, withText: chunk })
      const tokens = async function* () {
        yield* ["write to ada@exam", "ple.com", " today"].map(chunk)
      }
      const used = "await Array.fromAsync(tokens)"
      const given = { modules: {}, agion, modelId: model, prompt: "who?", model: { tokens } }
      const said = (yield* ran(the(3), given, used)) as ReadonlyArray<{ readonly text: string }>
      assert.match(said.map(({ text }) => text).join("|"), /^write to \[email:\w{8}\]\|\| today$/)
    }).pipe(Effect.provide(AgionTest.layer()))
  )

  it.live("GOVERN-4 a stream with a short hold-back is read while its work goes on", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      platform.resource({ id: model })
      platform.grant(agentId, model)
      const agion = yield* agionOfTest
      let given = 0
      const tokens = async function* () {
        for (; given < 1000; given++) yield `word ${given} `
      }
      const names = { modules: {}, agion, modelId: model, prompt: "who?", model: { tokens } }
      const chat = (yield* ran(the(4), names, "chat")) as AsyncIterable<string>
      const read = chat[Symbol.asyncIterator]()
      assert.strictEqual((yield* Effect.promise(() => read.next())).value, "word 0 ")
      assert.isBelow(given, 100)
    }).pipe(Effect.provide(AgionTest.layer()))
  )
})

describe("docs/sdk.md, the parts", () => {
  const the = chapter("The parts")

  /** The parts of `agent-1`, who may use a model, and a program of the page over them. */
  const asked = (index: number, given: object, answer: string) =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      platform.resource({ id: model, name: "acme-small" })
      platform.grant(agentId, model)
      platform.heartbeat()
      const modules = { effect: EffectModule, "@agion/sdk": Sdk, "@agion/domain": Domain }
      const program = yield* ran(the(index), { modules, ...given }, answer)
      return yield* program as Effect.Effect<unknown, unknown, AgionSdk.Services>
    }).pipe(Effect.provide(AgionTest.layer()))

  it.effect("each is asked by itself", () =>
    Effect.gen(function* () {
      const { content, ...rest } = (yield* asked(0, { modelId: model }, "program")) as { content: string }
      assert.notInclude(content, "ada@example.com")
      assert.deepInclude(rest, { allowed: true, tier: "verified" })
    })
  )

  it.effect("the contract's routes are methods", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* asked(1, {}, "names"), ["acme-small"])
    })
  )

  const known: { readonly [name: string]: object } = { ...Policy, ...Sdk }

  it("the drawing has parts that there are", () => {
    const drawing = blocks.find(({ language }) => language === "mermaid")
    const names = drawing?.code.match(/\b[A-Z][a-z]\w*\b(?!\[\[)/g) ?? []
    assert.isAbove(names.length, 20)
    assert.deepStrictEqual(
      names.filter((name) => !Object.hasOwn(known, name)),
      []
    )
  })

  it("the services have the layers that stand beside them", () => {
    const rows = rowsOf("The parts")
    assert.isAbove(rows.length, 12)
    const missing = rows.flatMap(([name = "", _, layers = ""]) =>
      namesIn(layers)
        .filter((layer) => Reflect.get(known[name] ?? {}, layer) === undefined)
        .map((layer) => `${name}.${layer}`)
    )
    assert.deepStrictEqual(missing, [])
  })

  it("the failure policies are those that there are", () => {
    const named = rowsOf("While the platform is away").map(([name]) => name)
    const own = Object.keys(FailurePolicy).filter((name) => name !== "FailurePolicy" && name !== "layer")
    assert.includeMembers(named, own)
  })
})

describe("docs/sdk.md, putting others in their place", () => {
  const the = chapter("Putting others in their place")

  it.effect("OUTAGE-2 GOVERN-7 the failure policy and the prices are those that are provided", () =>
    Effect.gen(function* () {
      const { modules, platform } = yield* ready
      platform.trust(agentId, 72)
      platform.resource({ id: notes })
      platform.grant(agentId, notes)
      const live = (yield* ran(the(0), { modules, options }, "live")) as Layer.Layer<AgionSdk.Services>
      yield* Effect.gen(function* () {
        // The first push tells the agent where the organization's epoch stands.
        platform.heartbeat()
        yield* (yield* PermissionCache).holdResources([notes])
        yield* governed("chat", model, { model: "large-model" })((call) =>
          Effect.sync(() => call.report({ tokens: 2000 }))
        )
        yield* (yield* EventBuffer).flush()
        const used = platform.arrived.filter(({ path }) => path.endsWith("/usage")).map(({ body }) => body)
        assert.deepInclude(used[0], { token_count: 2000, cost_usd: 0.02 })
        platform.fault = { _tag: "Refuse" }
        platform.line(false)
        assert.strictEqual(yield* attempt(model), "stale")
        assert.strictEqual(yield* attempt(notes), "stale_only")
        yield* TestClock.adjust("61 seconds")
        assert.strictEqual(yield* attempt(model), "stale_only")
      }).pipe(Effect.provide(live))
    })
  )

  it.effect("OUTAGE-2 GOVERN-7 rules of the program's own are functions", () =>
    Effect.gen(function* () {
      const { modules, platform } = yield* ready
      const live = (yield* ran(the(1), { modules, options }, "live")) as Layer.Layer<AgionSdk.Services>
      yield* Effect.gen(function* () {
        platform.heartbeat()
        yield* governed("chat", model)((call) => Effect.sync(() => call.report({ tokens: 2000 })))
        yield* (yield* EventBuffer).flush()
        const used = platform.arrived.filter(({ path }) => path.endsWith("/usage")).map(({ body }) => body)
        assert.deepInclude(used[0], { token_count: 2000, cost_usd: 0.04 })
        platform.fault = { _tag: "Refuse" }
        platform.line(false)
        assert.strictEqual(yield* attempt(notes), "only_reads")
      }).pipe(Effect.provide(live))
    })
  )

  it.effect("an agent is over connections of the program's own", () =>
    Effect.gen(function* () {
      const { connections, modules, platform } = yield* ready
      const given = {
        modules,
        options,
        MyEventTransport: Layer.succeed(EventTransport, Context.get(connections, EventTransport)),
        MyReportTransport: Layer.succeed(ReportTransport, Context.get(connections, ReportTransport)),
        MyHttpClient: Layer.succeed(HttpClient.HttpClient, Context.get(connections, HttpClient.HttpClient))
      }
      const { hub, live } = (yield* ran(the(2), given, "{ hub, live }")) as {
        readonly hub: Sdk.Hub
        readonly live: Layer.Layer<AgionSdk.Services>
      }
      yield* Effect.gen(function* () {
        const pushes = yield* Pushes
        assert.strictEqual(pushes.lineUnsafe(), "lost")
        hub.tell({ _tag: "Up" })
        assert.strictEqual(pushes.lineUnsafe(), "up")
        yield* governed("chat", model)(Effect.succeed("four"))
        yield* (yield* EventBuffer).flush()
        assert.strictEqual(platform.events[0]?.["event_type"], "task_completed")
      }).pipe(Effect.provide(live))
    })
  )

  it.effect("OUTAGE-7 a breaker is put around a client of the program's own", () =>
    Effect.gen(function* () {
      const { connections, modules, platform } = yield* ready
      const MyHttpClient = Layer.succeed(
        HttpClient.HttpClient,
        Context.get(connections, HttpClient.HttpClient)
      )
      const guarded = yield* ran(the(3), { modules, MyHttpClient }, "Guarded")
      const client = Context.get(
        yield* Layer.build(guarded as Layer.Layer<HttpClient.HttpClient>),
        HttpClient.HttpClient
      )
      platform.fault = { _tag: "Refuse" }
      const asks = () => Effect.flip(client.get("http://platform.test/api/v1/resources"))
      for (let i = 0; i < 3; i++) yield* asks()
      platform.fault = { _tag: "None" }
      assert.include(JSON.stringify(yield* asks()), "CircuitOpen")
    })
  )

  it.effect("a part that only the program asks is put in front", () =>
    Effect.gen(function* () {
      const { modules } = yield* ready
      const live = (yield* ran(the(4), { modules, options }, "live")) as Layer.Layer<AgionSdk.Services>
      const missing = yield* Effect.flip(
        Effect.flatMap(Sdk.AgentConfig, (config) => config.model("chat")).pipe(Effect.provide(live))
      )
      assert.include(missing.message, "there is no model `chat`")
    })
  )

  it.effect("POLICY-3 parts are put together by hand", () =>
    Effect.gen(function* () {
      const { connections, modules, platform } = yield* ready
      const given = {
        modules,
        MyPushes: Layer.succeed(Pushes, Context.get(connections, Pushes)),
        MyHttpClient: Layer.succeed(HttpClient.HttpClient, Context.get(connections, HttpClient.HttpClient))
      }
      const live = (yield* ran(the(5), given, "live")) as Layer.Layer<Sdk.Governance | Sdk.EventRecorder>
      yield* Effect.gen(function* () {
        platform.heartbeat()
        assert.strictEqual(yield* governed("chat", model)(Effect.succeed("four")), "four")
        const drop = governed("chat", model, { content: "DROP TABLE customers" })(Effect.void)
        assert.strictEqual((yield* Effect.flip(drop))._tag, "PolicyViolation")
        const events = yield* (yield* Sdk.EventRecorder).of("trust")
        assert.deepStrictEqual(
          events.map(({ eventType }) => eventType),
          ["task_completed", "policy_violation"]
        )
      }).pipe(Effect.provide(live))
    })
  )
})

describe("docs/sdk.md, while the platform is away", () => {
  const the = chapter("While the platform is away")

  /** The snippet has run, all three resources are approved, and the platform goes away. */
  const away = Effect.gen(function* () {
    const platform = yield* TestPlatform
    // As it was before the agent listened.
    platform.pushing = false
    for (const id of [model, notes, other]) {
      platform.resource({ id })
      platform.grant(agentId, id)
    }
    platform.pushing = true
    platform.trust(agentId, 72)
    const agion = yield* agionOfTest
    yield* Effect.promise(() => agion.policies.sync())
    yield* ran(the(0), { modules: {}, agion, notesId: notes, modelId: model })
    platform.fault = { _tag: "Refuse" }
    platform.line(false)
    return platform
  })

  it.effect(
    "OUTAGE-2 OUTAGE-3 what was preloaded or held goes on for five minutes, what was never called does not",
    () =>
      Effect.gen(function* () {
        yield* away
        assert.strictEqual(yield* attempt(model), "stale")
        assert.strictEqual(yield* attempt(notes), "degraded")
        assert.strictEqual(yield* attempt(other), "excluded")
        yield* TestClock.adjust("5 minutes")
        assert.strictEqual(yield* attempt(model), "unknown_trust")
        assert.strictEqual(yield* attempt(notes), "unknown_trust")
      }).pipe(Effect.provide(AgionTest.layer()))
  )

  it.effect("GOVERN-8 a record that is held brings no facts of the actor, and an answer does", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      platform.setPolicies([policy({ name: "No guests", expr: '!has(actor.role) || actor.role != "guest"' })])
      yield* away
      assert.strictEqual(yield* attempt(model), "stale")
      assert.strictEqual(yield* attempt(notes), "platform_facts")
    }).pipe(Effect.provide(AgionTest.layer()))
  )

  const folder = Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "agion-docs-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )

  it.effect(
    "EVENT-3 a flush right after an outage ends at its deadline, and what it kept goes out later",
    () =>
      Effect.gen(function* () {
        const platform = yield* TestPlatform
        const agion = yield* agionOfTest
        platform.fault = { _tag: "Hang" }
        agion.publish("trust", { agentId, eventType: "task_completed" })
        yield* TestClock.adjust("5 seconds")
        platform.fault = { _tag: "None" }
        const lines: Array<string> = []
        const console = { log: (line: string) => lines.push(line) }
        const before = yield* Clock.currentTimeMillis
        const flushing = yield* Effect.forkChild(ran(the(1), { modules: {}, agion, console }, "pending"))
        assert.strictEqual(yield* inTime(flushing), 1)
        assert.strictEqual((yield* Clock.currentTimeMillis) - before, 5000)
        assert.deepStrictEqual(lines, ["events kept for later: 1"])
        assert.lengthOf(platform.events, 0)
        const events = yield* EventBuffer
        assert.isAbove((yield* events.statistics).fileBytes, 0)
        yield* TestClock.adjust("10 seconds")
        assert.lengthOf(platform.events, 1)
      }).pipe(Effect.provide(Layer.unwrap(Effect.map(folder, (directory) => AgionTest.layer({ directory })))))
  )
})

describe("docs/sdk.md, many agents in one process", () => {
  const the = chapter("Many agents in one process")

  it.live("every snippet makes a governed call of an agent of its own", () =>
    Effect.gen(function* () {
      const { modules, platform } = yield* ready
      const asked: Array<string> = []
      for (const i of [0, 1, 2]) {
        platform.grant(`agent-${i + 1}`, model)
        const askModel = (prompt: string) => {
          asked.push(prompt)
          return i === 2 ? Promise.resolve("four") : Effect.succeed("four")
        }
        yield* ran(the(i), { modules, modelId: model, prompt: "two and two", askModel })
      }
      assert.deepStrictEqual(asked, ["two and two", "two and two", "two and two"])
      const succeeded = platform.events.filter((event) => event["event_type"] === "task_completed")
      assert.deepStrictEqual(
        succeeded.map((event) => event["agent_id"]),
        ["agent-1", "agent-2", "agent-3"]
      )
    })
  )
})

describe("docs/sdk.md, testing an agent", () => {
  const the = chapter("Testing an agent")
  const modules = {
    effect: EffectModule,
    "@agion/sdk": Sdk,
    "@agion/sdk/testing": Testing,
    "@effect/vitest": VitestModule
  }
  // The snippet is a test, which stands here under its own name.
  runSync(the(0), { modules, callModel: governed("chat", testUuid(1))(Effect.succeed("four")) })
})

describe("the snippets of docs/sdk.md and docs/telemetry.md", () => {
  it("are run, all of them", () => {
    const isRun = (block: Snippet) =>
      block.page === "telemetry.md" ? block.language === "ts run" : taken.has(block)
    const others = [...snippetsOf("telemetry.md"), ...snippetsOf("reliability.md")]
    const unrun = [...blocks, ...others].filter((block) => block.language !== "mermaid" && !isRun(block))
    assert.deepStrictEqual(
      unrun.map(({ page, line }) => `${page}:${line}`),
      []
    )
  })
})
