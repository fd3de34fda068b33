/** Keys without a platform around them: ciphers, decision ids; and the services over a database. */
import { randomBytes } from "node:crypto"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { ApiKeys, parseKey } from "../../src/keys/ApiKeys.ts"
import * as Cipher from "../../src/keys/Cipher.ts"
import * as DecisionId from "../../src/keys/DecisionId.ts"
import { Secrets } from "../../src/keys/Secrets.ts"
import { Signing } from "../../src/keys/Signing.ts"
import { database } from "../events/Live.ts"
import { opened } from "../suites/trust.ts"

describe("ciphers", () => {
  it.prop(
    "what was encrypted decrypts by its key and for its place, and by no other",
    [Schema.String, Schema.String, Schema.String],
    ([plain, place, other]) => {
      const key = Cipher.makeKey()
      const secret = Cipher.encrypt(key, plain.toWellFormed(), place)
      assert.strictEqual(Cipher.decrypt(key, secret, place), plain.toWellFormed())
      assert.strictEqual(Cipher.keyIdOf(secret), key.id)
      if (other.toWellFormed() !== place.toWellFormed())
        assert.isUndefined(Cipher.decrypt(key, secret, other))
      assert.isUndefined(Cipher.decrypt({ ...Cipher.makeKey(), id: key.id }, secret, place))
    }
  )

  it("a changed byte anywhere after the key's id is noticed, and bytes of others are no secret", () => {
    const key = Cipher.makeKey()
    const secret = Cipher.encrypt(key, "some words", "here")
    for (let at = 2 + key.id.length; at < secret.length; at++) {
      const changed = Uint8Array.from(secret)
      changed[at] = (changed[at] ?? 0) ^ 1
      assert.isUndefined(Cipher.decrypt(key, changed, "here"), `byte ${at}`)
    }
    for (const length of [0, 1, 2, 30]) assert.isUndefined(Cipher.keyIdOf(new Uint8Array(length)))
    assert.isUndefined(Cipher.keyOf(randomBytes(31)))
  })
})

describe("decision ids", () => {
  const secret = randomBytes(32)
  const facts = { organizationId: "o", actorId: "a", allowed: true, now: 1_700_000_000_000 }

  it("EVENT-5 no two ids are the same, however many are made in a millisecond", () => {
    // Ids that overflow a millisecond are ahead of it: a day before those of the other tests.
    const now = facts.now - 86_400_000
    const ids = new Set(Array.from({ length: 20_000 }, () => DecisionId.make(secret, { ...facts, now })))
    assert.strictEqual(ids.size, 20_000)
    for (const id of ids) assert.isAtMost(DecisionId.timeOf(id) - now, 10)
  })

  it("TRUST-6 an id shows that the actor was allowed something, and a denial's or an invented one does not", () => {
    const id = DecisionId.make(secret, facts)
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.strictEqual(DecisionId.timeOf(id), facts.now)
    assert.isTrue(DecisionId.isAllowed(secret, id, "o", "a"))
    assert.isFalse(DecisionId.isAllowed(secret, id, "o", "b"))
    assert.isFalse(DecisionId.isAllowed(secret, id, "other", "a"))
    assert.isFalse(DecisionId.isAllowed(randomBytes(32), id, "o", "a"))
    const denied = DecisionId.make(secret, { ...facts, allowed: false })
    assert.isFalse(DecisionId.isAllowed(secret, denied, "o", "a"))
    for (const invented of ["", "x", crypto.randomUUID(), id.slice(0, -1), id.toUpperCase()])
      assert.isFalse(DecisionId.isAllowed(secret, invented, "o", "a"))
  })
})

const services = Layer.mergeAll(Signing.layer, ApiKeys.layer).pipe(
  Layer.provideMerge(Secrets.layer()),
  Layer.provideMerge(database({ _tag: "Memory" }))
)

layer(services, { timeout: "90 seconds" })("keys in a database", (it) => {
  it.effect("OUTAGE-5 a signature is handed out again until the value changes or half its life is over", () =>
    Effect.gen(function* () {
      const signing = yield* Signing
      const sign = (value: unknown, epoch: number) =>
        signing.sign({ kind: "trust", organizationId: "o", subject: "s", epoch, value, ttl: "10 minutes" })
      const keys = signing.keys.map((key) => ({ key_id: key.keyId, public_key: key.publicKey }))
      const open = (signed: { payload: string; keyId: string; signature: string }) =>
        opened(keys, { ...signed, key_id: signed.keyId })
      const first = yield* sign({ score: 40 }, 1)
      assert.strictEqual(yield* sign({ score: 40 }, 2), first)
      const changed = yield* sign({ score: 42 }, 3)
      assert.deepInclude(open(changed), { epoch: 3, value: { score: 42 } })
      assert.deepInclude(open(yield* sign({ score: 40 }, 4)), { epoch: 4 })
      const kept = yield* sign({ score: 40 }, 5)
      yield* TestClock.adjust("299 seconds")
      assert.strictEqual(yield* sign({ score: 40 }, 6), kept)
      yield* TestClock.adjust("1 second")
      const fresh = open(yield* sign({ score: 40 }, 7))
      assert.strictEqual(fresh.epoch, 7)
      assert.strictEqual(Date.parse(fresh.expires_at) - Date.parse(fresh.issued_at), 600_000)
    })
  )

  it.effect("OUTAGE-5 the key is made once and found again by the next start", () =>
    Effect.gen(function* () {
      const signing = yield* Signing
      const again = yield* Signing.pipe(Effect.provide(Layer.fresh(Signing.layer)))
      assert.deepStrictEqual(again.keys, signing.keys)
      const id = signing.decisionId("o", "a", true, 1_700_000_000_000)
      assert.isTrue(again.isAllowed(id, "o", "a"))
    })
  )

  it.effect("an API key is shown once, stored as a hash, and refused once it is removed", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeys
      const sql = yield* SqlClient.SqlClient
      const made = yield* keys.create({ organizationId: "o", name: "ci", agentId: "agent-1" })
      const key = made.key ?? ""
      assert.isDefined(parseKey(key))
      const [listed] = yield* keys.list("o")
      assert.deepStrictEqual<unknown>({ ...listed, key }, made)
      const rows = yield* sql`SELECT * FROM api_keys`
      assert.notInclude(JSON.stringify(rows), parseKey(key)?.secret ?? "")
      const holder = { keyId: made.id, organizationId: "o", agentId: "agent-1" }
      assert.deepStrictEqual(yield* keys.verify(key), holder)
      assert.deepStrictEqual(yield* keys.verify(key), holder)
      const wrong = key.slice(0, -1) + (key.endsWith("A") ? "B" : "A")
      for (const other of ["", "nonsense", wrong, key.replace(made.id, "0".repeat(16))])
        assert.isUndefined(yield* keys.verify(other))
      assert.isFalse(yield* keys.remove(made.id, "another"))
      assert.isTrue(yield* keys.remove(made.id, "o"))
      assert.isUndefined(yield* keys.verify(key))
      assert.isFalse(yield* keys.remove(made.id, "o"))
    })
  )

  it.effect("a configured key reads what a previous one wrote, and rotating needs the previous no more", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [old, next] = [randomBytes(32), randomBytes(32)].map((bytes) =>
        Redacted.make(bytes.toString("base64"))
      )
      const withKeys = (key: typeof old, previous: ReadonlyArray<NonNullable<typeof old>> = []) =>
        Layer.fresh(Secrets.layer({ key, previous }))
      const context = "models.secrets/rotated"
      // What other keys of this database wrote is no part of this story.
      yield* sql`DELETE FROM signing_keys`
      yield* Effect.gen(function* () {
        const secrets = yield* Secrets
        const secret = yield* secrets.encrypt("words", context)
        yield* sql`
          INSERT INTO models (id, organization_id, name, purpose, provider, model_name, secrets)
          VALUES ('rotated', 'o', 'm', 'p', 'p', 'm', ${secret})`
      }).pipe(Effect.provide(withKeys(old)))
      const read = Effect.gen(function* () {
        const secrets = yield* Secrets
        const [row] = yield* sql<{ secrets: Uint8Array }>`SELECT secrets FROM models WHERE id = 'rotated'`
        return yield* secrets.decrypt(row?.secrets ?? new Uint8Array(), context)
      })
      const refused = yield* Effect.flip(Effect.provide(read, withKeys(next)))
      assert.include(refused.message, "previous")
      const both = withKeys(next, old === undefined ? [] : [old])
      assert.strictEqual(yield* Effect.provide(read, both), "words")
      assert.strictEqual(
        yield* Effect.provide(
          Effect.flatMap(Secrets, ({ rotate }) => rotate),
          both
        ),
        1
      )
      assert.strictEqual(yield* Effect.provide(read, withKeys(next)), "words")
      const short = Secrets.layer({ key: Redacted.make("c2hvcnQ=") })
      const invalid = yield* Effect.flip(Effect.provide(Effect.asVoid(Secrets), Layer.fresh(short)))
      assert.include(invalid.message, "32 random bytes")
    })
  )
})
