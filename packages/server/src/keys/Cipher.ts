/**
 * AES-256-GCM with named keys: what was encrypted says by which key, so that keys can change.
 *
 * Layout: version (1 byte, 1), length of the key's id (1 byte), the id, nonce (12), tag (16), ciphertext. The
 * `context` says what the secret is of; a secret moved to another place does not decrypt.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto"

/** A key of 32 bytes and its id: the first 16 hexadecimal digits of its SHA-256. */
export interface CipherKey {
  readonly id: string
  readonly bytes: Uint8Array
}

/** Names 32 bytes; undefined for any other length. */
export const keyOf = (bytes: Uint8Array): CipherKey | undefined =>
  bytes.length === 32
    ? { id: createHash("sha256").update(bytes).digest("hex").slice(0, 16), bytes }
    : undefined

/** A new random key. */
export const makeKey = (): CipherKey => {
  const bytes = randomBytes(32)
  return { id: createHash("sha256").update(bytes).digest("hex").slice(0, 16), bytes }
}

const version = 1

/** Encrypts text for one place. */
export const encrypt = (key: CipherKey, plain: string, context: string): Uint8Array => {
  const id = Buffer.from(key.id, "utf8")
  const nonce = randomBytes(12)
  const cipher = createCipheriv("aes-256-gcm", key.bytes, nonce)
  cipher.setAAD(Buffer.from(context, "utf8"))
  const body = Buffer.concat([cipher.update(plain, "utf8"), cipher.final()])
  return Buffer.concat([Uint8Array.of(version, id.length), id, nonce, cipher.getAuthTag(), body])
}

/** The id of the key that encrypted it; undefined for bytes that are no secret of ours. */
export const keyIdOf = (secret: Uint8Array): string | undefined => {
  const length = secret[1]
  if (secret[0] !== version || length === undefined || secret.length < 2 + length + 28) return undefined
  return Buffer.from(secret.subarray(2, 2 + length)).toString("utf8")
}

/** The text; undefined when the key, the place or the bytes are others than at encryption. */
export const decrypt = (key: CipherKey, secret: Uint8Array, context: string): string | undefined => {
  if (keyIdOf(secret) !== key.id) return undefined
  const at = 2 + (secret[1] ?? 0)
  const decipher = createDecipheriv("aes-256-gcm", key.bytes, secret.subarray(at, at + 12))
  decipher.setAAD(Buffer.from(context, "utf8"))
  decipher.setAuthTag(secret.subarray(at + 12, at + 28))
  try {
    return Buffer.concat([decipher.update(secret.subarray(at + 28)), decipher.final()]).toString("utf8")
  } catch {
    return undefined
  }
}
