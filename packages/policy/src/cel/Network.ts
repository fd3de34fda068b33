/**
 * Addresses and blocks of addresses, as Kubernetes has them in CEL: no zones, no IPv4 inside IPv6, no leading
 * zeros.
 */
import { Cidr, Ip } from "./Value.ts"

const V4 = /^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/

const parseV4 = (text: string): Uint8Array | undefined => {
  if (!V4.test(text)) return undefined
  const parts = text.split(".").map(Number)
  return parts.every((n) => n <= 255) ? Uint8Array.from(parts) : undefined
}

const groups = (text: string): Array<number> | undefined => {
  if (text === "") return []
  const parts = text.split(":")
  return parts.every((g) => /^[0-9a-fA-F]{1,4}$/.test(g))
    ? parts.map((g) => Number.parseInt(g, 16))
    : undefined
}

const parseV6 = (text: string): Uint8Array | undefined => {
  const halves = text.split("::")
  if (halves.length > 2) return undefined
  const head = groups(halves[0] ?? "")
  const tail = halves.length === 2 ? groups(halves[1] ?? "") : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail]
  return Uint8Array.from(all.flatMap((g) => [g >> 8, g & 255]))
}

const isMapped = (b: Uint8Array): boolean =>
  b.subarray(0, 10).every((x) => x === 0) && b[10] === 255 && b[11] === 255

/** Reads an address; undefined when the text is none. */
export const parseIp = (text: string): Ip | undefined => {
  if (text.length > 45) return undefined
  if (!text.includes(":")) {
    const v4 = parseV4(text)
    return v4 === undefined ? undefined : new Ip(v4)
  }
  const v6 = parseV6(text)
  return v6 === undefined || isMapped(v6) ? undefined : new Ip(v6)
}

/** Reads `address/prefix`; undefined when the text is none. */
export const parseCidr = (text: string): Cidr | undefined => {
  const m = /^([^/]{2,45})\/(0|[1-9]\d{0,2})$/.exec(text)
  if (m === null) return undefined
  const ip = parseIp(m[1] ?? "")
  const prefix = Number(m[2])
  return ip === undefined || prefix > ip.bytes.length * 8 ? undefined : new Cidr(ip, prefix)
}

/** Canonical text: dotted for IPv4, RFC 5952 for IPv6. */
export const formatIp = (ip: Ip): string => {
  if (ip.bytes.length === 4) return ip.bytes.join(".")
  const words: Array<number> = []
  for (let i = 0; i < 16; i += 2) words.push(((ip.bytes[i] ?? 0) << 8) | (ip.bytes[i + 1] ?? 0))
  const run = longestZeros(words)
  const hex = (from: number, to: number): string =>
    words
      .slice(from, to)
      .map((w) => w.toString(16))
      .join(":")
  return run.length < 2 ? hex(0, 8) : `${hex(0, run.start)}::${hex(run.start + run.length, 8)}`
}

const longestZeros = (words: ReadonlyArray<number>): { readonly start: number; readonly length: number } => {
  let best = { start: 0, length: 0 }
  for (let i = 0; i < words.length; i++) {
    let n = 0
    while (words[i + n] === 0) n++
    if (n > best.length) best = { start: i, length: n }
  }
  return best
}

export const formatCidr = (cidr: Cidr): string => `${formatIp(cidr.ip)}/${cidr.prefix}`

const maskByte = (prefix: number, i: number): number => {
  const bits = Math.max(0, Math.min(8, prefix - i * 8))
  return (0xff << (8 - bits)) & 0xff
}

/** The block with the bits behind its prefix cleared. */
export const masked = (cidr: Cidr): Cidr =>
  new Cidr(new Ip(cidr.ip.bytes.map((b, i) => b & maskByte(cidr.prefix, i))), cidr.prefix)

/** Whether an address lies in a block; an IPv4 block holds no IPv6 address. */
export const containsIp = (cidr: Cidr, ip: Ip): boolean => {
  const { bytes } = cidr.ip
  return (
    bytes.length === ip.bytes.length &&
    bytes.every((b, i) => ((b ^ (ip.bytes[i] ?? 0)) & maskByte(cidr.prefix, i)) === 0)
  )
}

/** Whether the second block lies in the first. */
export const containsCidr = (cidr: Cidr, other: Cidr): boolean =>
  other.prefix >= cidr.prefix && containsIp(cidr, other.ip)

const first = (ip: Ip, i = 0): number => ip.bytes[i] ?? 0
const isV4 = (ip: Ip): boolean => ip.bytes.length === 4

/** The questions that Kubernetes asks of an address. */
export const ipQuestions: Readonly<Record<string, (ip: Ip) => boolean>> = {
  isUnspecified: (ip) => ip.bytes.every((b) => b === 0),
  isLoopback: (ip) => (isV4(ip) ? first(ip) === 127 : ip.bytes.every((b, i) => b === (i === 15 ? 1 : 0))),
  isLinkLocalMulticast: (ip) =>
    isV4(ip)
      ? first(ip) === 224 && first(ip, 1) === 0 && first(ip, 2) === 0
      : first(ip) === 0xff && (first(ip, 1) & 0x0f) === 0x02,
  isLinkLocalUnicast: (ip) =>
    isV4(ip)
      ? first(ip) === 169 && first(ip, 1) === 254
      : first(ip) === 0xfe && (first(ip, 1) & 0xc0) === 0x80,
  isGlobalUnicast: (ip) =>
    !isBroadcast(ip) &&
    !["isUnspecified", "isLoopback", "isLinkLocalUnicast"].some((q) => ipQuestions[q]?.(ip)) &&
    !isMulticast(ip)
}

const isBroadcast = (ip: Ip): boolean => isV4(ip) && ip.bytes.every((b) => b === 255)
const isMulticast = (ip: Ip): boolean => (isV4(ip) ? (first(ip) & 0xf0) === 224 : first(ip) === 0xff)
