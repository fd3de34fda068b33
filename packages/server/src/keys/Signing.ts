/**
 * The platform's signature (OUTAGE-5): Ed25519, by a key that is made at the first start and kept with the data.
 *
 * A signature is kept and handed out again until its value changes or half its life is over, so that signing is
 * no part of a check. `rotate` puts a new key in its place, signed by the one before it, so that an agent that
 * pinned any of them follows.
 *
 * **Gotchas**: a running platform signs with its key until it starts anew; the newest 20,000 signatures are kept; the epoch inside is the one at which it was made.
 */
import {
  createHash,
  createHmac,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  sign
} from "node:crypto"
import { Signed, SigningKey, toBase64Url, Wire } from "@agion/domain"
import { Clock, Context, Duration, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as DecisionId from "./DecisionId.ts"
import { contextOf, Secrets, type SecretUnreadable } from "./Secrets.ts"

/** What is signed about what. `subject` names the thing whose value this is: another value replaces it. */
export interface SignRequest {
  readonly kind: "bundle" | "trust" | "permission" | "resource" | "key"
  readonly organizationId: string
  readonly subject: string
  readonly epoch: number
  /** JSON as the wire spells it. */
  readonly value: unknown
  readonly ttl: Duration.Input
}

/** A score that the platform vouches for. */
export interface VouchedScore {
  readonly entityId: string
  readonly entityType: string
  /** 0 to 100. */
  readonly score: number
}

/** How long a signed score may be used. Half of it, the grace period of an outage, is left whenever it leaves. */
const trustTtl: Duration.Input = "10 minutes"

export class Signing extends Context.Service<
  Signing,
  {
    readonly sign: (request: SignRequest) => Effect.Effect<Signed>
    /** The same for a caller who knows the time, in epoch milliseconds. */
    readonly signAt: (request: SignRequest, now: number) => Signed
    /** Signs anew and remembers nothing: for a caller who keeps it. */
    readonly sealAt: (request: SignRequest, now: number) => Signed
    /** Signs a score: what `data.signed`, `metadata.signed` and pushes hold. */
    readonly trust: (organizationId: string, epoch: number, score: VouchedScore) => Effect.Effect<Signed>
    readonly trustAt: (organizationId: string, epoch: number, score: VouchedScore, now: number) => Signed
    /** A UUIDv7 for a decision; whether it allowed can be told from it later, without a stored row. */
    readonly decisionId: (organizationId: string, actorId: string, allowed: boolean, now: number) => string
    /** True for the id of a decision of this platform that allowed that actor something (TRUST-6). */
    readonly isAllowed: (decisionId: string, organizationId: string, actorId: string) => boolean
    /** The public keys: the one that signs, then those before it, newest first. */
    readonly keys: ReadonlyArray<SigningKey>
  }
>()("@agion/server/Signing") {
  static readonly layer: Layer.Layer<
    Signing,
    SqlError.SqlError | SecretUnreadable,
    SqlClient.SqlClient | Secrets
  > = Layer.suspend(() => Layer.effect(Signing, make))
}

interface Kept {
  /** JSON, or a score as it is. */
  readonly value: string | number
  readonly freshUntil: number
  readonly signed: Signed
}

const maxKept = 20_000

const make = Effect.gen(function* () {
  const { key, before } = yield* platformKeys
  const kept = new Map<string, Kept>()

  /** What is kept under a name while its value is the same and it is fresh; else what `request` gets signed. */
  const keeping = (name: string, value: string | number, now: number, request: () => SignRequest): Signed => {
    const known = kept.get(name)
    if (known !== undefined && known.value === value && now < known.freshUntil) return known.signed
    const asked = request()
    const ttl = Duration.toMillis(asked.ttl)
    const signed = signPayload(key, asked, now, now + ttl)
    kept.delete(name)
    kept.set(name, { value, freshUntil: now + ttl / 2, signed })
    if (kept.size > maxKept)
      for (const oldest of kept.keys()) {
        kept.delete(oldest)
        break
      }
    return signed
  }

  const signAt = (request: SignRequest, now: number): Signed =>
    keeping(
      `${request.kind}\0${request.organizationId}\0${request.subject}`,
      JSON.stringify(request.value),
      now,
      () => request
    )

  const trustAt: Signing["Service"]["trustAt"] = (organizationId, epoch, score, now) => {
    const subject = `${score.entityType}\0${score.entityId}`
    return keeping(`trust\0${organizationId}\0${subject}`, score.score, now, () => ({
      kind: "trust",
      organizationId,
      subject,
      epoch,
      value: { entity_id: score.entityId, entity_type: score.entityType, score: score.score },
      ttl: trustTtl
    }))
  }

  return Signing.of({
    sign: (request) => Effect.map(Clock.currentTimeMillis, (now) => signAt(request, now)),
    signAt,
    sealAt: (request, now) => signPayload(key, request, now, now + Duration.toMillis(request.ttl)),
    trust: (organizationId, epoch, score) =>
      Effect.map(Clock.currentTimeMillis, (now) => trustAt(organizationId, epoch, score, now)),
    trustAt,
    decisionId: (organizationId, actorId, allowed, now) =>
      DecisionId.make(key.secret, { organizationId, actorId, allowed, now }),
    isAllowed: (decisionId, organizationId, actorId) =>
      [key, ...before].some(({ secret }) =>
        DecisionId.isAllowed(secret, decisionId, organizationId, actorId)
      ),
    keys: [key, ...before].map((known) => known.public)
  })
})

interface PlatformKey {
  readonly public: SigningKey
  readonly private: KeyObject
  /** Derived from the private key: for keyed hashes. */
  readonly secret: Uint8Array
}

const signPayload = (key: PlatformKey, request: SignRequest, now: number, expiresAt: number): Signed => {
  const payload = Buffer.from(
    JSON.stringify({
      kind: request.kind,
      organization_id: request.organizationId,
      epoch: request.epoch,
      issued_at: Wire.timestamp(now),
      expires_at: Wire.timestamp(expiresAt),
      value: request.value
    }),
    "utf8"
  )
  return {
    payload: toBase64Url(payload),
    keyId: key.public.keyId,
    signature: toBase64Url(sign(null, payload, key.private))
  }
}

/** The current key and those before it; the first start makes one, and of several starts at once one does. */
const platformKeys = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const secrets = yield* Secrets
  if ((yield* storedKeys(sql)).length === 0) yield* insertKey(sql, secrets, newPair(), null)
  const [key, ...before] = yield* Effect.forEach(yield* storedKeys(sql), (row) => opened(secrets, row))
  if (key === undefined)
    return yield* Effect.die(new Error("there is no signing key right after it was made"))
  return { key, before }
})

/**
 * Makes a new signing key that the present one vouches for, and answers its id. Platforms sign with it from
 * their next start on.
 */
export const rotate: Effect.Effect<
  string,
  SqlError.SqlError | SecretUnreadable,
  SqlClient.SqlClient | Secrets
> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const secrets = yield* Secrets
  return yield* sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`SELECT pg_advisory_xact_lock(hashtext('agion.signing_keys'))`
      const { key } = yield* platformKeys
      const now = yield* Clock.currentTimeMillis
      const pair = newPair()
      const value = encodeKey({
        keyId: pair.id,
        algorithm: "Ed25519",
        publicKey: toBase64Url(pair.raw),
        notBefore: Wire.timestamp(now)
      })
      const request = { kind: "key", organizationId: "", subject: pair.id, epoch: 0, value, ttl: 0 } as const
      const voucher = signPayload(key, request, now, now + Duration.toMillis(voucherTtl))
      yield* sql`UPDATE signing_keys SET not_after = clock_timestamp() WHERE not_after IS NULL`
      yield* insertKey(sql, secrets, pair, voucher)
      return pair.id
    })
  )
})

/** How long a key is vouched for: as long as anybody may have pinned the one before it. */
const voucherTtl: Duration.Input = "36500 days"

interface KeyRow {
  readonly key_id: string
  readonly public_key: Uint8Array
  readonly private_key: Uint8Array
  readonly not_before: Date
  readonly not_after: Date | null
  readonly signed_by: string | null
}

const SignedText = Schema.fromJsonString(Signed)
const decodeVoucher = Schema.decodeUnknownSync(SignedText)
const encodeVoucher = Schema.encodeSync(SignedText)
const encodeKey = Schema.encodeSync(SigningKey)

/** The current one first. */
const storedKeys = (sql: SqlClient.SqlClient) =>
  sql<KeyRow>`
    SELECT key_id, public_key, private_key, not_before, not_after, signed_by FROM signing_keys
    ORDER BY not_after DESC NULLS FIRST`

const opened = Effect.fnUntraced(function* (secrets: Secrets["Service"], row: KeyRow) {
  const der = yield* secrets.decrypt(row.private_key, contextOf("signing_keys", "private_key", row.key_id))
  const key: PlatformKey = {
    public: {
      keyId: row.key_id,
      algorithm: "Ed25519",
      publicKey: toBase64Url(row.public_key),
      notBefore: Wire.timestamp(row.not_before.getTime()),
      notAfter: row.not_after === null ? null : Wire.timestamp(row.not_after.getTime()),
      ...(row.signed_by === null ? {} : { signedBy: decodeVoucher(row.signed_by) })
    },
    private: createPrivateKey({ key: Buffer.from(der, "base64"), format: "der", type: "pkcs8" }),
    secret: createHmac("sha256", Buffer.from(der, "base64")).update("agion.decisions").digest()
  }
  return key
})

/** A key that is not stored yet. */
interface Pair {
  readonly id: string
  readonly raw: Uint8Array
  /** PKCS#8 in base64. */
  readonly der: string
}

const newPair = (): Pair => {
  const pair = generateKeyPairSync("ed25519")
  const raw = Buffer.from(pair.publicKey.export({ format: "jwk" }).x ?? "", "base64url")
  return {
    id: createHash("sha256").update(raw).digest("hex").slice(0, 16),
    raw,
    der: pair.privateKey.export({ format: "der", type: "pkcs8" }).toString("base64")
  }
}

const insertKey = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  secrets: Secrets["Service"],
  { id, raw, der }: Pair,
  voucher: Signed | null
) {
  const secret = yield* secrets.encrypt(der, contextOf("signing_keys", "private_key", id))
  const signedBy = voucher === null ? null : encodeVoucher(voucher)
  yield* sql`
    INSERT INTO signing_keys (key_id, public_key, private_key, signed_by)
    VALUES (${id}, ${raw}, ${secret}, ${signedBy})
    ON CONFLICT DO NOTHING`
})
