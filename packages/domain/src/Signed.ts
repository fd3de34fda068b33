/**
 * What the platform signs: the policy bundle, trust scores, entries of the shared cache.
 *
 * The signature is Ed25519 over the decoded bytes of `payload`; only what stands inside the payload counts.
 */
import { Schema } from "effect"
import * as Wire from "./Wire.ts"

/** The envelope on the wire. */
export const Signed = Wire.struct({
  /** base64url of UTF-8 JSON, `SignedPayload`. */
  payload: Schema.String,
  keyId: Schema.String,
  /** base64url, Ed25519. */
  signature: Schema.String
})
export type Signed = typeof Signed.Type

/** What a payload says. */
export const SignedPayload = Wire.struct({
  kind: Schema.Literals(["bundle", "trust", "permission", "resource", "key"]),
  organizationId: Schema.String,
  epoch: Schema.Int,
  issuedAt: Wire.Timestamp,
  expiresAt: Wire.Timestamp,
  value: Wire.OpenJson
})
export type SignedPayload = typeof SignedPayload.Type

/** What a signed trust score says. */
export const SignedTrust = Wire.struct({
  entityId: Schema.String,
  entityType: Schema.String,
  score: Schema.Finite,
  /** Calls that may go on degraded in five minutes. */
  degradedCalls: Schema.optional(Schema.Int)
})
export type SignedTrust = typeof SignedTrust.Type

/** A public key of the platform. */
export const SigningKey = Wire.struct({
  keyId: Schema.String,
  algorithm: Schema.Literal("Ed25519"),
  /** base64url of the 32 raw bytes. */
  publicKey: Schema.String,
  notBefore: Wire.Timestamp,
  notAfter: Schema.optional(Schema.NullOr(Wire.Timestamp)),
  /** The key itself, without this field, signed by the one before it: kind `key` (OUTAGE-5). */
  signedBy: Schema.optional(Schema.NullOr(Signed))
})
export type SigningKey = typeof SigningKey.Type

/** The public keys of the platform. */
export const SigningKeys = Wire.struct({ keys: Schema.Array(SigningKey) })

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/** Bytes as base64url without padding. */
export const toBase64Url = (bytes: Uint8Array): string => {
  let text = ""
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b = 0, c = 0] = [bytes[i], bytes[i + 1], bytes[i + 2]]
    const left = bytes.length - i
    text += alphabet.charAt(a >> 2) + alphabet.charAt(((a & 3) << 4) | (b >> 4))
    if (left > 1) text += alphabet.charAt(((b & 15) << 2) | (c >> 6))
    if (left > 2) text += alphabet.charAt(c & 63)
  }
  return text
}

/** The bytes of base64url text; undefined when it is none. */
export const fromBase64Url = (text: string): Uint8Array | undefined => {
  if (text.length % 4 === 1) return undefined
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4))
  let at = 0
  let bits = 0
  let held = 0
  for (const char of text) {
    const value = alphabet.indexOf(char)
    if (value < 0) return undefined
    held = ((held << 6) | value) & 0xfff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      bytes[at++] = (held >> bits) & 0xff
    }
  }
  return bytes
}
