/**
 * The platform's signing key as this agent pins it, and what that key has signed (OUTAGE-5).
 *
 * The key of the configuration is used, else that of the first contact is pinned. A signature by another key
 * is refused unless the pinned key signed that key (`signed_by` in `GET /signing-keys`). Only what stands
 * inside a verified payload counts; a payload of another organization or past its expiry is refused.
 *
 * With a folder what is pinned is kept there, so that a restart trusts the network no second time.
 *
 * **Gotchas**: pinning at first contact trusts the network once. Production demands a configured key.
 */
import { createPublicKey, type KeyObject, verify } from "node:crypto"
import { fromBase64Url, type Signed, SignedPayload, SigningKey } from "@agion/domain"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { GovernanceHttp } from "./GovernanceHttp.ts"
import * as AgentFolder from "./internal/AgentFolder.ts"
import { type PinnedKey, Settings } from "./Settings.ts"

/** Why a signature was not accepted. */
export class SignatureRefused extends Schema.TaggedError<SignatureRefused>()("SignatureRefused", {
  reason: Schema.Literals([
    "no key",
    "unknown key",
    "bad signature",
    "unreadable",
    "other organization",
    "expired"
  ]),
  keyId: Schema.String
}) {
  override get message() {
    return `a signature by key \`${this.keyId}\` is refused: ${this.reason}`
  }
}

/** How many were accepted and refused, and what is pinned. */
export interface PlatformKeysState {
  readonly pinned: string | null
  readonly configured: boolean
  readonly accepted: number
  readonly refused: number
}

/** The pinned key and what it signed. */
export class PlatformKeys extends Context.Service<
  PlatformKeys,
  {
    /** The payload, when the pinned key signed it for this organization. Fetches keys when it must. */
    readonly open: (signed: Signed) => Effect.Effect<SignedPayload, SignatureRefused>
    /** The same of what this agent has kept, whose signature may have run out; never a call. */
    readonly openKept: (signed: Signed) => Effect.Effect<SignedPayload, SignatureRefused>
    /** `open` without a call: an unknown key is refused. */
    readonly openUnsafe: (signed: Signed) => SignedPayload | SignatureRefused
    /** Fetches and pins, where nothing is pinned yet; never fails. */
    readonly pin: Effect.Effect<void>
    /** What is pinned and what was accepted and refused, as it is called. */
    readonly stateUnsafe: () => PlatformKeysState
  }
>()("@agion/sdk/PlatformKeys") {
  /** Pins the key of the settings, else that of the first contact (OUTAGE-5). */
  static readonly layer: Layer.Layer<PlatformKeys, never, Settings | GovernanceHttp> = Layer.suspend(() =>
    Layer.effect(PlatformKeys, make)
  )
}

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

const make = Effect.gen(function* () {
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
    return new SignatureRefused({ reason, keyId })
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
      Effect.ignore
    )
  const pin = Effect.suspend(() => (ring.pinned === null ? fetchKeys : Effect.void))
  return PlatformKeys.of({
    open: (signed) =>
      Effect.suspend(() => (ring.keys.has(signed.keyId) ? Effect.void : fetchKeys)).pipe(
        Effect.andThen(Effect.suspend(() => told(openUnsafe(signed))))
      ),
    openKept: (signed) => Effect.suspend(() => told(verified(signed, true))),
    openUnsafe,
    pin,
    stateUnsafe: () => ({ pinned: ring.pinned, configured: configured !== null, accepted, refused })
  })
})
