/** Rotation of the key that signs: whoever holds an older public key can follow the vouchers to the newest. */
import { createPublicKey, verify } from "node:crypto"
import { SigningKey } from "@agion/domain"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Secrets } from "../../src/keys/Secrets.ts"
import { rotate, Signing } from "../../src/keys/Signing.ts"
import { database } from "../events/Live.ts"

const services = Secrets.layer().pipe(Layer.provideMerge(database({ _tag: "Memory" })))

/** A platform that starts now. */
const started = Effect.provide(
  Effect.gen(function* () {
    return yield* Signing
  }),
  Layer.fresh(Signing.layer)
)

const decodeKey = Schema.decodeUnknownSync(SigningKey)

/** What a key's voucher says, verified by the key that it names. */
const vouched = (keys: ReadonlyArray<SigningKey>, key: SigningKey) => {
  const voucher = key.signedBy
  const by = keys.find(({ keyId }) => keyId === voucher?.keyId)
  if (voucher == null || by === undefined) throw new Error(`nobody vouches for \`${key.keyId}\``)
  const payload = Buffer.from(voucher.payload, "base64url")
  const signer = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: by.publicKey }, format: "jwk" })
  assert.isTrue(verify(null, payload, signer, Buffer.from(voucher.signature, "base64url")))
  const { kind, value } = JSON.parse(payload.toString("utf8")) as { kind: string; value: unknown }
  assert.strictEqual(kind, "key")
  return { by: by.keyId, key: decodeKey(value) }
}

layer(services, { timeout: "90 seconds" })("rotation of the signing key", (it) => {
  it.effect("OUTAGE-5 each new key is signed by the one before it, and the newest stands first", () =>
    Effect.gen(function* () {
      const first = yield* started
      const [pinned] = first.keys
      const decision = first.decisionId("o", "a", true, 1_700_000_000_000)
      const second = yield* rotate
      const third = yield* rotate
      const now = yield* started
      assert.deepStrictEqual(
        now.keys.map(({ keyId }) => keyId),
        [third, second, pinned?.keyId]
      )
      const signed = yield* now.sign({
        kind: "trust",
        organizationId: "o",
        subject: "s",
        epoch: 1,
        value: {},
        ttl: "1 minute"
      })
      assert.strictEqual(signed.keyId, third)
      const [newest, middle, oldest] = now.keys
      for (const [key, by] of [
        [newest, middle],
        [middle, oldest]
      ] as const) {
        if (key === undefined) throw new Error("a key is missing")
        const found = vouched(now.keys, key)
        assert.strictEqual(found.by, by?.keyId)
        assert.strictEqual(found.key.publicKey, key.publicKey)
        assert.strictEqual(found.key.keyId, key.keyId)
      }
      assert.isUndefined(oldest?.signedBy)
      assert.isNull(newest?.notAfter)
      assert.isString(oldest?.notAfter)
      // What was decided before the rotation still counts (TRUST-6).
      assert.isTrue(now.isAllowed(decision, "o", "a"))
    })
  )
})
