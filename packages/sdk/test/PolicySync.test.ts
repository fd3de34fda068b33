import { copyFile, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { toBase64Url } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { PlatformKeys, PolicyEngine, PolicySync } from "../src/index.ts"
import { AgionTest, TestPlatform } from "../src/testing/index.ts"
import { policy } from "./policies.ts"

const fresh = (options = {}) => Effect.provide(AgionTest.layer(options))
const parts = Effect.all({
  platform: TestPlatform,
  sync: PolicySync,
  engine: PolicyEngine,
  keys: PlatformKeys
})
const noRefunds = policy({ name: "No refunds", expr: 'action != "refund"' })
const broken = policy({ name: "Broken", expr: "actor.trust_scor > 1.0" })

describe("policies in the agent", () => {
  it.effect("POLICY-7 a set is swapped whole, and told", () =>
    Effect.gen(function* () {
      const { engine, platform, sync } = yield* parts
      yield* sync.sync
      const changed = yield* engine.changes.pipe(Stream.runHead, Effect.forkChild({ startImmediately: true }))
      platform.setPolicies([noRefunds])
      assert.strictEqual(yield* sync.sync, 1)
      assert.deepInclude(
        (yield* Fiber.join(changed)).pipe((option) => (option._tag === "Some" ? option.value : {})),
        {
          version: 1,
          policies: 1
        }
      )
      assert.isFalse((yield* engine.check({ action: "refund" })).allowed)
      assert.isTrue((yield* engine.check({ action: "chat" })).allowed)
    }).pipe(fresh())
  )

  it.effect("POLICY-7 a set that does not compile is refused whole and the old one stays", () =>
    Effect.gen(function* () {
      const { engine, platform, sync } = yield* parts
      platform.setPolicies([noRefunds])
      yield* sync.sync
      platform.setPolicies([policy({ name: "Fine", expr: "true" }), broken])
      yield* sync.sync
      assert.isFalse((yield* engine.check({ action: "refund" })).allowed)
      const state = yield* sync.state
      assert.deepInclude(state, { version: 1, refused: 1 })
      assert.include(state.problem ?? "", "trust_scor")
    }).pipe(fresh())
  )

  it.effect(
    "POLICY-7 a version that comes again with other policies is refused, and the set in force stays",
    () =>
      Effect.gen(function* () {
        const { engine, platform, sync } = yield* parts
        platform.setPolicies([noRefunds])
        assert.strictEqual(yield* sync.sync, 1)
        platform.setPolicies([policy({ name: "All", expr: "true" })])
        platform.policyVersion = 1
        assert.strictEqual(yield* sync.sync, 1)
        const state = yield* sync.state
        assert.deepInclude(state, { version: 1, refused: 1 })
        assert.include(state.problem ?? "", "other content")
        assert.isFalse((yield* engine.check({ action: "refund" })).allowed)
      }).pipe(fresh())
  )

  it.effect("OUTAGE-5 a bundle that another key signed is refused", () =>
    Effect.gen(function* () {
      const { engine, keys, platform, sync } = yield* parts
      yield* sync.sync
      platform.rotateKey("test-key-2")
      platform.setPolicies([policy({ name: "Anything", expr: "true" })])
      yield* sync.sync
      assert.include((yield* sync.state).problem ?? "", "unknown key")
      assert.strictEqual(yield* engine.version, 0)
      assert.strictEqual(keys.stateUnsafe().pinned, "test-key-1")
    }).pipe(fresh())
  )

  it.effect("OUTAGE-5 a payload that was changed on the way is refused", () =>
    Effect.gen(function* () {
      const { keys, platform } = yield* parts
      yield* keys.pin
      const signed = platform.sign("trust", { entity_id: "agent-1", entity_type: "agent", score: 10 })
      const text = new TextDecoder().decode(
        Uint8Array.from(atob(signed.payload.replaceAll("-", "+").replaceAll("_", "/")), (c) =>
          c.charCodeAt(0)
        )
      )
      const payload = toBase64Url(new TextEncoder().encode(text.replace('"score":10', '"score":90')))
      assert.strictEqual((yield* keys.open(signed)).kind, "trust")
      const refused = yield* Effect.flip(keys.open({ ...signed, payload }))
      assert.strictEqual(refused.reason, "bad signature")
    }).pipe(fresh())
  )

  it.effect("OUTAGE-5 a signature ends with its life, and holds in one organization", () =>
    Effect.gen(function* () {
      const { keys, platform } = yield* parts
      yield* keys.pin
      const signed = platform.sign("trust", {}, 1, 60_000)
      yield* TestClock.adjust("61 seconds")
      assert.strictEqual((yield* Effect.flip(keys.open(signed))).reason, "expired")
    }).pipe(fresh())
  )

  it.effect("a policy whose facts only the platform holds is deferred, not evaluated", () =>
    Effect.gen(function* () {
      const { engine, platform, sync } = yield* parts
      platform.setPolicies([policy({ name: "Trusted", expr: "actor.trust_score >= 50.0" })])
      yield* sync.sync
      assert.deepInclude(yield* engine.check({ action: "chat" }), { allowed: true, deferred: ["Trusted"] })
      assert.isFalse((yield* engine.check({ action: "chat", actor: { trust_score: 20 } })).allowed)
      const explained = yield* engine.explain({ action: "chat", actor: { trust_score: 20 } })
      assert.strictEqual(explained.policies[0]?.outcome, "violated")
    }).pipe(fresh())
  )

  it.effect("GOVERN-8 what only the platform sees of a call is never the call's own", () =>
    Effect.gen(function* () {
      const { engine, platform, sync } = yield* parts
      platform.setPolicies([
        policy({ name: "Office", expr: 'context.client_ip == "10.1.2.3"' }),
        policy({ name: "Live", expr: 'context.environment == "prod"' }),
        policy({ name: "Ticket", expr: 'context.ticket == "T-1"' })
      ])
      yield* sync.sync
      const claims = { client_ip: "10.1.2.3", environment: "prod", ticket: "T-1" }
      const full = { action: "chat", actor: { trust_score: 50 }, resource: {}, context: claims }
      const said = yield* engine.check(full)
      assert.deepInclude(said, { allowed: true, policiesEvaluated: 1 })
      assert.sameMembers([...said.deferred], ["Office", "Live"])
      platform.setPolicies([policy({ name: "Ticket", expr: 'context.ticket == "T-1"' })])
      yield* sync.sync
      assert.deepInclude(yield* engine.check(full), { policiesEvaluated: 1, deferred: [] })
    }).pipe(fresh())
  )

  it.effect("what policies want redacted is redacted, of deferred ones too", () =>
    Effect.gen(function* () {
      const { engine, platform, sync } = yield* parts
      platform.setPolicies([
        policy({
          name: "Basic",
          expr: "actor.trust_score < 50.0",
          enforcement: "allow",
          redact: ["phone"]
        })
      ])
      yield* sync.sync
      const query = { action: "chat", content: "ring +44 20 7946 0958" }
      const deferred = yield* engine.check(query)
      assert.deepInclude(deferred, { allowed: true, deferred: ["Basic"] })
      assert.match(deferred.content, /^ring \[phone:\w{8}\]$/)
      assert.deepStrictEqual(
        deferred.obligations.map(({ redact }) => redact),
        [["phone"]]
      )
      const trusted = yield* engine.check({ ...query, actor: { trust_score: 80 } })
      assert.deepInclude(trusted, { content: query.content, obligations: [] })
    }).pipe(fresh())
  )

  it.effect("OUTAGE-2 the last good set is there at the next start, also without a platform", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "agion-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true }))
      )
      const key = yield* Effect.gen(function* () {
        const { platform, sync } = yield* parts
        platform.setPolicies([noRefunds])
        yield* sync.sync
        return platform.publicKey
      }).pipe(fresh({ directory }))
      yield* Effect.gen(function* () {
        const { engine, sync } = yield* parts
        assert.deepInclude(yield* sync.state, { fromDisk: true, version: 1 })
        assert.isFalse((yield* engine.check({ action: "refund" })).allowed)
      }).pipe(fresh({ directory, signingKey: key }))
    }).pipe(Effect.scoped)
  )

  it.effect("OUTAGE-5 an older bundle that is put in the place of the kept one is not in force", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "agion-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true }))
      )
      const old = join(directory, "old")
      const key = yield* Effect.gen(function* () {
        const { platform, sync } = yield* parts
        platform.setPolicies([policy({ name: "All", expr: "true" })])
        yield* sync.sync
        const names = yield* Effect.promise(() => readdir(directory))
        const kept = join(directory, names.find((name) => /^policies-[^.]*\.json$/.test(name)) ?? "")
        yield* Effect.promise(() => copyFile(kept, old))
        platform.setPolicies([noRefunds])
        yield* sync.sync
        yield* Effect.promise(() => copyFile(old, kept))
        return platform.publicKey
      }).pipe(fresh({ directory }))
      yield* Effect.gen(function* () {
        const { sync } = yield* parts
        assert.deepInclude(yield* sync.state, { fromDisk: false, version: null })
      }).pipe(fresh({ directory, signingKey: key }))
    }).pipe(Effect.scoped)
  )

  it.effect(
    "OUTAGE-5 a kept bundle that has the version of what was in force and another content is not",
    () =>
      Effect.gen(function* () {
        const directory = yield* Effect.acquireRelease(
          Effect.promise(() => mkdtemp(join(tmpdir(), "agion-"))),
          (path) => Effect.promise(() => rm(path, { recursive: true }))
        )
        const key = yield* Effect.gen(function* () {
          const { platform, sync } = yield* parts
          platform.setPolicies([noRefunds])
          yield* sync.sync
          return platform.publicKey
        }).pipe(fresh({ directory }))
        const names = yield* Effect.promise(() => readdir(directory))
        const mark = join(directory, names.find((name) => name.endsWith(".version.json")) ?? "")
        yield* Effect.promise(() => writeFile(mark, JSON.stringify({ version: 1, digest: "another" })))
        yield* Effect.gen(function* () {
          const { sync } = yield* parts
          assert.deepInclude(yield* sync.state, { fromDisk: false, version: null })
        }).pipe(fresh({ directory, signingKey: key }))
      }).pipe(Effect.scoped)
  )
})
