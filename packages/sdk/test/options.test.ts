/** What a program without types, or an environment, gives the start: every option is judged by its name. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer, Redacted } from "effect"
import {
  AgentHost,
  AgionSdk,
  FailurePolicy,
  type HostedAgentOptions,
  type HostOptions,
  Settings,
  SettingsInvalid
} from "../src/index.ts"
import { Agion, type AgionOptions } from "../src/promise/index.ts"
import { AgionTest } from "../src/testing/index.ts"

const good = { agentId: "agent-1", gatewayUrl: "http://127.0.0.1:9", directory: false }

/** As a program without types gives them. */
const untyped = <O>(options: unknown): O => options as O

const refusedBy = async (attempt: Promise<unknown>): Promise<SettingsInvalid> => {
  const error: unknown = await attempt.then(
    () => undefined,
    (thrown: unknown) => thrown
  )
  assert.instanceOf(error, SettingsInvalid)
  return error as SettingsInvalid
}

const wrong: ReadonlyArray<readonly [setting: string, options: object]> = [
  ["agentID", { agentID: "agent-1" }],
  ["agentId", { agentId: 5 }],
  ["agentId", { agentId: undefined }],
  ["organizationId", { organizationId: "*" }],
  ["organizationId", { organizationId: null }],
  ["environment", { environment: 5 }],
  ["streamPrefix", { streamPrefix: 5 }],
  ["registration", { registration: "chat" }],
  ["registration.capabilities[1]", { registration: { capabilities: ["chat", 5] } }],
  ["registration.frameworks", { registration: { frameworks: "none" } }],
  ["directory", { directory: 5 }],
  ["directory", { directory: "" }],
  ["directory", { directory: "/tmp/\u0000agion" }],
  ["redisURL", { redisURL: "redis://127.0.0.1" }],
  ["redisUrl", { redisUrl: 5 }],
  ["redisUrl", { redisUrl: "127.0.0.1" }],
  ["redisUrl", { redisUrl: Redacted.make("http://secret@127.0.0.1") }],
  ["sharedCache", { sharedCache: "no" }],
  ["breaker.probes", { breaker: { probes: 0 } }],
  ["breaker.failureRate", { breaker: { failureRate: 2 } }],
  ["http.timeout", { http: { timeout: "5 sec" } }],
  ["http.timeout", { http: { timeout: 0 } }],
  ["http.deadline", { http: { deadline: Number.NaN } }],
  ["http.retries", { http: { retries: -1 } }],
  ["cache", { cache: 100 }],
  ["cache.capacity", { cache: { capacity: -1 } }],
  ["cache.capacity", { cache: { capacity: Number.NaN } }],
  ["cache.capacity", { cache: { capacity: "many" } }],
  ["policies.poll", { policies: { poll: "soon" } }],
  ["policies.maxAge", { policies: { maxAge: { hour: 1 } } }],
  ["events.flushAt", { events: { flushAt: 1.5 } }],
  ["events.flushInterval", { events: { flushInterval: -1 } }],
  ["events.fsync", { events: { fsync: "always" } }],
  ["events.classes.trust", { events: { classes: { trust: "lost" } } }],
  ["events.encryptionKey", { events: { encryptionKey: "secret" } }],
  ["dlp.kinds.emial", { dlp: { kinds: { emial: "block" } } }],
  ["dlp.kinds.email", { dlp: { kinds: { email: "stop" } } }],
  ["telemetry.sample", { telemetry: { sample: 2 } }],
  ["logLevel", { logLevel: "loud" }],
  ["otlp.url", { otlp: {} }],
  ["otlp.url", { otlp: { url: "http://user:secret@127.0.0.1:4318" } }],
  ["otlp.url", { otlp: { url: "htp://user:secret@127.0.0.1:4318" } }],
  ["otlp.headers.key", { otlp: { url: "http://127.0.0.1:9", headers: { key: 5 } } }],
  ["gatewayUrl", { gatewayUrl: "ftp://127.0.0.1" }],
  ["gatewayUrl", { gatewayUrl: "http://127.0.0.1/?a=1" }],
  ["gatewayUrl", { gatewayUrl: "http://127.0.0.1/#a" }],
  ["gatewayUrl", { gatewayUrl: "http://127.0.0.1/# " }],
  ["gatewayUrl", { gatewayUrl: " http://127.0.0.1/?\n" }],
  ["gatewayUrl", { gatewayUrl: "http://user:secret@127.0.0.1" }],
  ["gatewayUrl", { gatewayUrl: "http://127.0.0.1/api/v2" }],
  ["gatewayUrl", { gatewayUrl: "http://127.0.0.1/api/v1/agents" }]
]

describe("an option that cannot be", () => {
  it("is refused by its name, and quotes no secret", async () => {
    for (const [setting, more] of wrong) {
      const error = await refusedBy(Agion.connect(untyped<AgionOptions>({ ...good, ...more })))
      assert.deepInclude(error, { code: "settings_invalid", setting })
      assert.notInclude(error.message, "secret")
    }
    for (const none of [null, 5, "http://127.0.0.1", []])
      assert.strictEqual((await refusedBy(Agion.connect(untyped<AgionOptions>(none)))).setting, "options")
  })

  it("is refused of a host and of its agents", async () => {
    const { agentId: _, ...shared } = good
    const host = (options: unknown) => refusedBy(Agion.host(untyped<HostOptions>(options)))
    assert.strictEqual((await host(undefined)).setting, "options")
    assert.strictEqual((await host({})).setting, "gatewayUrl")
    for (const [setting, more] of [
      ["registrations", { registrations: 0 }],
      ["hostId", { hostId: "" }],
      ["agentId", { agentId: "agent-1" }],
      ["cache", { cache: {} }],
      ["http.timeout", { http: { timeout: "5 sec" } }]
    ] as const)
      assert.strictEqual((await host({ ...shared, ...more })).setting, setting)
    await using running = await Agion.host(untyped<HostOptions>(shared))
    const agent = (options: unknown) => refusedBy(running.connect(untyped<HostedAgentOptions>(options)))
    assert.strictEqual((await agent(undefined)).setting, "options")
    assert.strictEqual((await agent({})).setting, "agentId")
    assert.strictEqual((await agent({ agentId: "a", gatewayUrl: "http://127.0.0.1" })).setting, "gatewayUrl")
    assert.strictEqual((await agent({ agentId: "a", cache: { capacity: 0 } })).setting, "cache.capacity")
    assert.strictEqual(running.connected(), 0)
  })

  it("says the nearest known name", async () => {
    const near = await refusedBy(Agion.connect(untyped<AgionOptions>({ ...good, redisURL: "" })))
    assert.include(near.message, "did you mean `redisUrl`?")
    const far = await refusedBy(Agion.connect(untyped<AgionOptions>({ ...good, cache: { entries: 5 } })))
    assert.include(far.message, "there are `capacity`")
  })

  it("does not stand beside those that can be", async () => {
    const options = {
      ...good,
      gatewayUrl: new URL("http://127.0.0.1:9/agion/api/v1/"),
      apiKey: null,
      signingKey: null,
      organizationId: undefined,
      http: { timeout: "1 second", deadline: { seconds: 5 }, retries: 0 },
      events: { shutdownDeadline: 0, encryptionKey: Redacted.make("a".repeat(32)) },
      policies: { maxAge: "Infinity" },
      dlp: { kinds: { phone: "redact" } },
      breaker: { probes: 1 },
      logLevel: "None"
    }
    await using agion = await Agion.connect(untyped<AgionOptions>(options))
    assert.strictEqual((await agion.health()).status, "degraded")
  })
})

describe("an option that is undefined", () => {
  it("was left out", async () => {
    const host = await Agion.hostOver(
      AgentHost.layerOver({
        gatewayUrl: "http://platform.test",
        directory: false,
        enforcement: "observe",
        logLevel: "None"
      }).pipe(Layer.provide(AgionTest.connections()))
    )
    await using _ = host
    await using agent = await host.connect(
      untyped<HostedAgentOptions>({ agentId: "agent-1", enforcement: undefined })
    )
    assert.strictEqual((await agent.health()).enforcement, "observe")
    const decide = (options?: object) =>
      FailurePolicy.trustAware(options).decide({
        now: 1000,
        permissionType: "use",
        resource: { riskLevel: "low", tags: [] },
        last: { allowed: true, reason: "Permission granted", confirmedAt: 0, deniedUntil: null },
        trust: null,
        open: false,
        budget: 20
      })
    assert.deepStrictEqual(decide({ graceMs: undefined }), decide())
  })

  it("DLP-1 switches no kind off", async () => {
    const kinds = { api_key: undefined, email: undefined }
    await using agion = await Agion.over(AgionTest.layer(untyped({ dlp: { kinds, keyedHash: undefined } })))
    const key = ["AK", "IA", "QZ3M5TXW7YB2LK4N"].join("")
    assert.strictEqual((await agion.policies.check({ action: "say", content: key })).decision, "block")
    const { content } = await agion.policies.check({ action: "say", content: "write to ada@example.org" })
    assert.match(content, /^write to \[email:[0-9a-f]{8}\]$/)
  })
})

describe("a folder that cannot be used", () => {
  const within = async (use: (folder: string) => Promise<void>) => {
    const folder = mkdtempSync(join(tmpdir(), "agion-options-"))
    try {
      await use(folder)
    } finally {
      rmSync(folder, { recursive: true })
    }
  }

  it("EVENT-2 is an error of the start", () =>
    within(async (folder) => {
      const file = join(folder, "file")
      writeFileSync(file, "")
      const dangling = join(folder, "link")
      symlinkSync(join(folder, "nowhere"), dangling)
      const circle = join(folder, "circle")
      symlinkSync(circle, circle)
      const directories = [
        file,
        join(file, "below"),
        dangling,
        join(circle, "below"),
        join(folder, "a".repeat(300))
      ]
      for (const directory of directories) {
        const error = await refusedBy(Agion.connect(untyped<AgionOptions>({ ...good, directory })))
        assert.strictEqual(error.setting, "directory")
        assert.include(error.message, `cannot be used`)
        const { agentId: _, ...shared } = good
        const ofHost = await refusedBy(Agion.host(untyped<HostOptions>({ ...shared, directory })))
        assert.strictEqual(ofHost.setting, "directory")
      }
    }))

  // Others have no such folder.
  it.skipIf(process.platform !== "linux")(
    "EVENT-2 does not hold the process up where nothing can be made",
    async () => {
      for (const directory of ["/proc/agion", "/proc/agion/deep", "/proc"]) {
        const error = await refusedBy(Agion.connect(untyped<AgionOptions>({ ...good, directory })))
        assert.strictEqual(error.setting, "directory")
      }
    }
  )

  // Root may write anywhere.
  it.skipIf(process.getuid?.() === 0)("EVENT-2 is one that this process may not write to", () =>
    within(async (folder) => {
      mkdirSync(join(folder, "locked"), { mode: 0o500 })
      const directory = join(folder, "locked", "below")
      const error = await refusedBy(Agion.connect(untyped<AgionOptions>({ ...good, directory })))
      assert.include(error.message, "may not write there")
    })
  )

  it("EVENT-2 is made where it can be, and nothing is left of the trial", () =>
    within(async (folder) => {
      const directory = join(folder, "deep", "er")
      await using _ = await Agion.connect(untyped<AgionOptions>({ ...good, directory }))
      assert.deepStrictEqual(
        readdirSync(directory).filter((name) => name.startsWith(".")),
        []
      )
    }))
})

describe("an environment", () => {
  const base = {
    AGION_AGENT_ID: "agent-1",
    AGION_GATEWAY_URL: "http://127.0.0.1:9",
    AGION_DIRECTORY: "false"
  }
  const start = (env: Record<string, string>) =>
    Effect.scoped(
      Layer.build(
        AgionSdk.layerConfig.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
      )
    )

  it.live("names the variable that is wrong", () =>
    Effect.gen(function* () {
      const faults: ReadonlyArray<readonly [setting: string, env: Record<string, string>]> = [
        ["AGION_AGENTID", { AGION_AGENTID: "agent-1" }],
        ["AGION_ENVIRONMENT", { AGION_ENVIRONMENT: "production" }],
        ["AGION_SIGNINGKEY", { AGION_SIGNINGKEY: "a:b" }],
        ["AGION_SIGNING_KEY", { AGION_ENV: "production" }],
        ["AGION_SIGNING_KEY", { AGION_SIGNING_KEY: "a:b" }],
        ["AGION_REDIS_URL", { AGION_REDIS_URL: "127.0.0.1" }],
        ["AGION_GATEWAY_URL", { AGION_GATEWAY_URL: "http://127.0.0.1/api" }],
        ["AGION_API_KEY", { AGION_API_KEY: "a b" }],
        ["AGION_ORG_ID", { AGION_ORG_ID: "*" }],
        ["AGION_AGENT_ID", { AGION_AGENT_ID: " \n" }],
        ["AGION_ENV", { AGION_ENV: "prodution", ENABLE_GOVERNANCE: "false" }],
        ["AGION_ENV", { AGION_ENV: "productions" }],
        ["AGION_ENFORCEMENT", { AGION_ENFORCEMENT: "observed" }],
        ["ENABLE_GOVERNANCE", { ENABLE_GOVERNANCE: "maybe" }],
        ["OTEL_EXPORTER_OTLP_ENDPOINT", { OTEL_EXPORTER_OTLP_ENDPOINT: "http://user:secret@127.0.0.1:4318" }],
        ["OTEL_EXPORTER_OTLP_ENDPOINT", { OTEL_EXPORTER_OTLP_ENDPOINT: "htp://user:secret@127.0.0.1" }],
        ["AGION_DIRECTORY", { AGION_DIRECTORY: join(process.execPath, "below") }]
      ]
      for (const [setting, more] of faults) {
        const error = yield* Effect.flip(start({ ...base, ...more }))
        assert.instanceOf(error, SettingsInvalid)
        assert.strictEqual(error.setting, setting)
        assert.notInclude(error.message, "secret")
      }
    })
  )

  it.live("says the same with blanks and line ends around it, and nothing with blanks alone", () =>
    Effect.gen(function* () {
      const settings = (env: Record<string, string>) =>
        Effect.map(start({ ...base, ...env }), (services) => Context.get(services, Settings))
      const names = [
        ...["AGION_ORG_ID", "AGION_API_KEY", "AGION_REDIS_URL", "AGION_ENV", "AGION_SIGNING_KEY"],
        ...["AGION_ENFORCEMENT", "ENABLE_GOVERNANCE"]
      ]
      const blank = yield* settings(Object.fromEntries(names.map((name) => [name, " \n"])))
      assert.deepStrictEqual(
        [blank.organizationId, blank.apiKey, blank.production, blank.signingKey],
        ["default", null, false, null]
      )
      const signingKey = { keyId: "key", publicKey: "A".repeat(43) }
      const { agentId, apiKey, directory, gatewayUrl, organizationId, production, ...more } = yield* settings(
        {
          AGION_AGENT_ID: "agent-1\n",
          AGION_GATEWAY_URL: " http://127.0.0.1:9 ",
          AGION_ORG_ID: "acme ",
          AGION_API_KEY: "agion_1_x\n",
          AGION_ENV: "production ",
          AGION_DIRECTORY: " FALSE",
          AGION_ENFORCEMENT: "observe\n",
          ENABLE_GOVERNANCE: " True\r\n",
          AGION_SIGNING_KEY: `${signingKey.keyId}:${signingKey.publicKey}\r\n`
        }
      )
      assert.deepStrictEqual(
        [agentId, gatewayUrl, organizationId, production, directory, more.signingKey],
        ["agent-1", "http://127.0.0.1:9", "acme", true, null, signingKey]
      )
      assert.deepStrictEqual([more.enforcement, more.governance], ["observe", true])
      assert.strictEqual(apiKey === null ? null : Redacted.value(apiKey), "agion_1_x")
    })
  )

  it.live("takes a flag in each of its words", () =>
    Effect.forEach(
      [
        ...["true", "1", "yes", "on", "y", "YES"].map((word) => [word, true] as const),
        ...["false", "0", "no", "off", "n", "Off"].map((word) => [word, false] as const)
      ],
      ([word, governance]) =>
        Effect.map(start({ ...base, ENABLE_GOVERNANCE: word }), (services) =>
          assert.strictEqual(Context.get(services, Settings).governance, governance, word)
        )
    )
  )

  it.live("may hold the platform's own variables", () =>
    start({
      ...base,
      AGION_AUTHENTICATION: "off",
      AGION_SECRET_KEY: "x",
      AGION_PREVIOUS_SECRET_KEYS: "x",
      AGION_SHARED_CACHE: "false"
    })
  )

  it.live("is no production by any other name than one that is near to it", () =>
    Effect.forEach(["development", "staging", "test", "preprod", "pre-production", "qa"], (name) =>
      start({ ...base, AGION_ENV: name })
    )
  )
})

describe("the same in effects", () => {
  it.effect("options of the wrong shape are typed errors, of every layer", () =>
    Effect.gen(function* () {
      const misspelt = { ...good, agentID: "agent-1" }
      const { agentId: _, ...shared } = misspelt
      const layers: ReadonlyArray<Layer.Layer<never, SettingsInvalid>> = [
        AgionSdk.layer(untyped<AgionOptions>(misspelt)),
        AgionSdk.layerObserve(untyped<AgionOptions>(misspelt)),
        AgionTest.layer(untyped<AgionOptions>(misspelt)),
        AgionSdk.layerConnections(untyped<AgionOptions>(misspelt)),
        AgentHost.layer(untyped<HostOptions>(shared))
      ]
      for (const layer of layers) {
        const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
        assert.strictEqual(error.setting, "agentID")
      }
    })
  )
})
