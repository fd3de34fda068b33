/** What a local engine loads: an organization's active policies with a digest, signed by the platform. */
import { createHash } from "node:crypto"
import { Policy, PolicyBundle } from "@agion/domain"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { Signing } from "../keys/Signing.ts"
import { type Compiled, Policies } from "./Policies.ts"

/** A bundle ready to be sent. */
export interface Packed {
  /** The JSON text of `PolicyBundle`. */
  readonly text: string
  /** Of the version, the policies and the key that signs: the same at every replica, whoever signed when. */
  readonly etag: string
}

export class Bundle extends Context.Service<
  Bundle,
  {
    readonly of: (organizationId: string) => Effect.Effect<Packed>
  }
>()("@agion/server/Bundle") {
  static readonly layer = (): Layer.Layer<Bundle, never, Policies | Signing> => Layer.effect(Bundle, make)
}

const ttl = "1 day"

interface Body {
  readonly digest: string
  readonly value: {
    readonly version: number
    readonly digest: string
    readonly policies: ReadonlyArray<unknown>
  }
}

const encodePolicies = Schema.encodeSync(Schema.Array(Policy))
const encodeBundle = Schema.encodeSync(PolicyBundle)

const make = Effect.gen(function* () {
  const policies = yield* Policies
  const signing = yield* Signing
  const bodies = new WeakMap<Compiled, Body>()

  const bodyOf = (compiled: Compiled): Body => {
    const known = bodies.get(compiled)
    if (known !== undefined) return known
    const wire = encodePolicies(compiled.policies)
    const digest = sha256(JSON.stringify(wire))
    const made = { digest, value: { version: compiled.version, digest, policies: wire } }
    bodies.set(compiled, made)
    return made
  }

  return Bundle.of({
    of: Effect.fnUntraced(function* (organizationId) {
      const compiled = yield* policies.compiled(organizationId)
      const { digest, value } = bodyOf(compiled)
      const now = yield* Clock.currentTimeMillis
      const { epoch } = compiled
      const signed = signing.signAt(
        { kind: "bundle", organizationId, subject: "policies", epoch, value, ttl },
        now
      )
      const bundle = encodeBundle({
        version: compiled.version,
        policies: compiled.policies,
        digest,
        payload: signed.payload,
        signature: signed.signature,
        keyId: signed.keyId,
        epoch,
        organizationId
      })
      const tag = sha256(JSON.stringify([organizationId, compiled.version, digest, signed.keyId]))
      return { text: JSON.stringify(bundle), etag: `"${tag.slice(0, 32)}"` }
    })
  })
})

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")
