/** The work of `PlatformKeys`: a ring of keys, and what they have signed. */
import { createPublicKey, type KeyObject, verify } from "node:crypto"
import { fromBase64Url, type Signed, SignedPayload, SigningKey } from "@agion/domain"
import { Effect, Option, Schema, Semaphore } from "effect"
import { GovernanceHttp } from "../GovernanceHttp.ts"
import * as AgentFolder from "../internal/AgentFolder.ts"
import { monotonic } from "../internal/Monotonic.ts"
import { PlatformKeys, SignatureRefused } from "../PlatformKeys.ts"
import { type PinnedKey, Settings } from "../Settings.ts"

const keyObject = (publicKey: string): KeyObject | undefined => {
  try {
    return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: publicKey }, format: "jwk" })
  } catch {
    return undefined
  }
}

const decodePayload = Schema.decodeUnknownOption(Schema.fromJsonString(SignedPayload))
const decodeKey = Schema.decodeUnknownOption(SigningKey)
const utf8 = new TextDecoder()

/** The payload of an envelope that a key has signed; whose it is and how old is not looked at. */
const openWith = (key: KeyObject, signed: Signed): SignedPayload | undefined => {
  const bytes = fromBase64Url(signed.payload)
  const signature = fromBase64Url(signed.signature)
  if (bytes === undefined || signature === undefined || !verify(null, bytes, key, signature)) return undefined
  return Option.getOrUndefined(decodePayload(utf8.decode(bytes)))
}

/** Keys that may sign, the pinned one first. */
interface Ring {
  readonly keys: Map<string, KeyObject>
  pinned: string | null
}

const add = (ring: Ring, key: PinnedKey): boolean => {
  const object = keyObject(key.publicKey)
  if (object === undefined) return false
  ring.keys.set(key.keyId, object)
  return true
}

/** The keys that are held, as they are configured, the pinned one first. */
const keysOf = (ring: Ring): ReadonlyArray<PinnedKey> =>
  [...ring.keys].flatMap(([keyId, key]) => {
    const { x } = key.export({ format: "jwk" })
    return x === undefined ? [] : [{ keyId, publicKey: x }]
  })

/** Takes in a key that one already held has signed; true when it was. */
const introduce = (ring: Ring, key: SigningKey): boolean => {
  const voucher = key.signedBy
  const by = voucher == null ? undefined : ring.keys.get(voucher.keyId)
  if (voucher == null || by === undefined) return false
  const payload = openWith(by, voucher)
  const vouched = payload?.kind === "key" ? Option.getOrUndefined(decodeKey(payload.value)) : undefined
  return vouched?.keyId === key.keyId && vouched.publicKey === key.publicKey && add(ring, key)
}

/** Pins the first of the keys, or takes in what the pinned one vouches for, in any order. */
const learn = (ring: Ring, keys: ReadonlyArray<SigningKey>): void => {
  const [first] = keys
  if (ring.pinned === null && first !== undefined && add(ring, first)) ring.pinned = first.keyId
  for (let found = true; found; ) {
    found = false
    for (const key of keys) if (!ring.keys.has(key.keyId) && introduce(ring, key)) found = true
  }
}

/** Keys of the ring as they are kept, the pinned one first. */
const KeptKeys = Schema.Struct({
  keys: Schema.Array(Schema.Struct({ keyId: Schema.String, publicKey: Schema.String }))
})

/** How long the platform is not asked again for a key that it did not list, milliseconds. */
const missingForMs = 5000

/** So many such keys are remembered. */
const missingAtMost = 64

/** What to do when the pinned key is no longer the platform's: only its operator knows whether that may be. */
const remedyFor = (pinned: string | null, file: string | null): string => {
  const isNew = `\`${pinned}\` is pinned; if the platform was set up anew, and only then,`
  const pin = "set `signingKey` to its key (`GET /api/v1/signing-keys`)"
  return file === null
    ? `${isNew} ${pin}, or restart the agent where none is set`
    : `${isNew} remove \`${file}\` and restart the agent, or ${pin}`
}

/** The ring of an agent. */
export const make = Effect.gen(function* () {
  const settings = yield* Settings
  const http = yield* GovernanceHttp
  const clock = yield* Effect.clockWith(Effect.succeed)
  const ring: Ring = { keys: new Map(), pinned: null }
  const configured = settings.signingKey
  if (configured !== null && add(ring, configured)) ring.pinned = configured.keyId
  const file =
    configured === null ? AgentFolder.fileOf(settings, "platform-keys", settings.organizationId) : null
  for (const key of (yield* AgentFolder.load(file, KeptKeys))?.keys ?? [])
    if (add(ring, key)) ring.pinned ??= key.keyId
  const keepKeys = Effect.suspend(() =>
    ring.pinned === null ? Effect.void : AgentFolder.keep(file, KeptKeys, { keys: keysOf(ring) })
  )
  let accepted = 0
  let refused = 0

  const refuse = (reason: SignatureRefused["reason"], keyId: string) => {
    refused++
    const remedy = reason === "unknown key" ? { remedy: remedyFor(ring.pinned, file) } : {}
    return new SignatureRefused({ reason, keyId, ...remedy })
  }
  const verified = (signed: Signed, isKept: boolean): SignedPayload | SignatureRefused => {
    const key = ring.keys.get(signed.keyId)
    if (key === undefined) return refuse(ring.pinned === null ? "no key" : "unknown key", signed.keyId)
    const payload = openWith(key, signed)
    if (payload === undefined) return refuse("bad signature", signed.keyId)
    if (payload.organizationId !== settings.organizationId) return refuse("other organization", signed.keyId)
    if (!isKept && Date.parse(payload.expiresAt) < clock.currentTimeMillisUnsafe())
      return refuse("expired", signed.keyId)
    accepted++
    return payload
  }
  const openUnsafe = (signed: Signed) => verified(signed, false)
  const told = (opened: SignedPayload | SignatureRefused) =>
    opened instanceof SignatureRefused ? Effect.fail(opened) : Effect.succeed(opened)
  const fetchKeys = http
    .ask((api) => api.organizations.signingKeys({}))
    .pipe(
      Effect.tap(({ keys }) => {
        const before = ring.keys.size
        learn(ring, keys)
        return ring.keys.size === before ? Effect.void : keepKeys
      }),
      Effect.isSuccess
    )
  // Who was told that there is no such key need not ask again with everything that it signed.
  const now = monotonic(clock)
  const missing = new Map<string, number>()
  const lock = yield* Semaphore.make(1)
  const fetchFor = (keyId: string) =>
    lock.withPermit(
      Effect.suspend(() => {
        const askedAt = missing.get(keyId) ?? Number.NEGATIVE_INFINITY
        if (ring.keys.has(keyId) || now() - askedAt < missingForMs) return Effect.void
        return Effect.map(fetchKeys, (isAnswered) => {
          missing.delete(keyId)
          if (!isAnswered || ring.keys.has(keyId)) return
          missing.set(keyId, now())
          for (const oldest of missing.keys()) if (missing.size > missingAtMost) missing.delete(oldest)
        })
      })
    )
  const pin = lock.withPermit(
    Effect.suspend(() => (ring.pinned === null ? Effect.asVoid(fetchKeys) : Effect.void))
  )
  return PlatformKeys.of({
    open: (signed) =>
      Effect.suspend(() => (ring.keys.has(signed.keyId) ? Effect.void : fetchFor(signed.keyId))).pipe(
        Effect.andThen(Effect.suspend(() => told(openUnsafe(signed))))
      ),
    openKept: (signed) => Effect.suspend(() => told(verified(signed, true))),
    openUnsafe,
    pin,
    stateUnsafe: () => ({ pinned: ring.pinned, configured: configured !== null, accepted, refused })
  })
})
