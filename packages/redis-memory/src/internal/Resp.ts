/**
 * Redis' protocol on the wire: requests in pieces as they arrive, replies in
 * RESP2 or RESP3.
 */
import { formatScore } from "./Bytes.ts"
import {
  Double,
  Failure,
  Members,
  NilList,
  Pairs,
  type Reply,
  Scored,
  Silent,
  Status,
  Streams,
  Verbatim
} from "./Reply.ts"

/** The request cannot be understood: its connection is closed after this reply. */
export class ProtocolError {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** A line of a connection on which somebody speaks HTTP. */
export const httpLine: ReadonlyArray<string> = ["HTTP"]

/** A request line of HTTP, whatever its method, or the header that every such request has. */
const isHttp = (words: ReadonlyArray<string>): boolean => {
  const [first = "", , version = ""] = words
  if (/^(post|host:)$/i.test(first)) return true
  return words.length === 3 && /^HTTP\/\d/i.test(version)
}

const mostArguments = 1024 * 1024
const longestInline = 64 * 1024

const scalar = (reply: Reply, three: boolean): string | undefined => {
  if (typeof reply === "string") return `$${reply.length}\r\n${reply}\r\n`
  if (typeof reply === "number" || typeof reply === "bigint") return `:${reply}\r\n`
  if (reply === null) return three ? "_\r\n" : "$-1\r\n"
  if (reply instanceof Status) return `+${reply.text}\r\n`
  if (reply instanceof Failure) return `-${reply.message.replace(/[\r\n]/g, " ")}\r\n`
  if (reply instanceof NilList) return three ? "_\r\n" : "*-1\r\n"
  if (reply instanceof Silent) return ""
  if (reply instanceof Double) {
    const text = formatScore(reply.value)
    return three ? `,${text}\r\n` : `$${text.length}\r\n${text}\r\n`
  }
  if (!(reply instanceof Verbatim)) return undefined
  return three
    ? `=${reply.text.length + 4}\r\ntxt:${reply.text}\r\n`
    : `$${reply.text.length}\r\n${reply.text}\r\n`
}

const list = (mark: string, size: number, items: ReadonlyArray<Reply>, protocol: 2 | 3) => {
  let text = `${mark}${size}\r\n`
  for (const item of items) text += encode(item, protocol)
  return text
}

/** A reply as a byte string. */
export const encode = (reply: Reply, protocol: 2 | 3): string => {
  const three = protocol === 3
  const text = scalar(reply, three)
  if (text !== undefined) return text
  if (reply instanceof Pairs) {
    return list(three ? "%" : "*", three ? reply.flat.length / 2 : reply.flat.length, reply.flat, protocol)
  }
  if (reply instanceof Streams) {
    return three
      ? list("%", reply.entries.length, reply.entries.flat(), protocol)
      : list("*", reply.entries.length, reply.entries, protocol)
  }
  if (reply instanceof Scored) {
    const pairs = reply.pairs.map(([member, score]) => [member, new Double(score)])
    return three
      ? list("*", pairs.length, pairs, protocol)
      : list("*", pairs.length * 2, pairs.flat(), protocol)
  }
  if (reply instanceof Members) return list(three ? "~" : "*", reply.items.length, reply.items, protocol)
  return Array.isArray(reply) ? list("*", reply.length, reply, protocol) : ""
}

/** A message of publish and subscribe. */
export const encodePush = (items: ReadonlyArray<Reply>, protocol: 2 | 3): string =>
  list(protocol === 3 ? ">" : "*", items.length, items, protocol)

/**
 * Cuts what arrives into requests. After a line of HTTP every line is `httpLine`, whatever it holds: a page in a
 * browser on this machine can send a body to a loopback port, and no command in it may be executed.
 */
export class RequestReader {
  readonly #limit: number
  #chunks: Array<Buffer> = []
  #held = 0
  /** Bytes that must be there before it is worth looking again. */
  #needed = 1
  #http = false

  /** No request may be longer than `limit` bytes. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** The whole requests so far; throws `ProtocolError`. */
  read(chunk: Buffer): ReadonlyArray<ReadonlyArray<string>> {
    this.#chunks.push(chunk)
    this.#held += chunk.length
    if (this.#held < this.#needed) return []
    const data = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    const requests: Array<ReadonlyArray<string>> = []
    let position = 0
    this.#needed = 1
    while (position < data.length) {
      const parsed =
        data[position] === 0x2a && !this.#http
          ? this.#multibulk(data, position)
          : this.#inline(data, position)
      if (parsed === undefined) break
      if (parsed.request.length > 0) requests.push(parsed.request)
      position = parsed.end
    }
    this.#chunks = position < data.length ? [data.subarray(position)] : []
    this.#held = data.length - position
    if (this.#held > this.#limit) throw new ProtocolError("ERR Protocol error: the request is too big")
    return requests
  }

  #inline(data: Buffer, from: number) {
    const end = data.indexOf(0x0a, from)
    if (end < 0) {
      if (this.#http && data.length - from > longestInline) return { request: [], end: data.length }
      if (data.length - from > longestInline)
        throw new ProtocolError("ERR Protocol error: too big inline request")
      return undefined
    }
    if (this.#http) return { request: httpLine, end: end + 1 }
    const line = data.toString("latin1", from, data[end - 1] === 0x0d && end > from ? end - 1 : end)
    const words = splitInline(line)
    this.#http = isHttp(words)
    return { request: this.#http ? httpLine : words, end: end + 1 }
  }

  #multibulk(data: Buffer, from: number) {
    const head = readLength(data, from)
    if (head === undefined) return undefined
    if (head.value === undefined || head.value > mostArguments) {
      throw new ProtocolError("ERR Protocol error: invalid multibulk length")
    }
    const request: Array<string> = []
    let position = head.end
    for (let i = 0; i < head.value; i++) {
      if (position >= data.length) return undefined
      if (data[position] !== 0x24) {
        const found = String.fromCharCode(data[position] ?? 0)
        throw new ProtocolError(`ERR Protocol error: expected '$', got '${found}'`)
      }
      const size = readLength(data, position)
      if (size === undefined) return undefined
      if (size.value === undefined || size.value < 0 || size.value > this.#limit) {
        throw new ProtocolError("ERR Protocol error: invalid bulk length")
      }
      const end = size.end + size.value
      if (end + 2 > data.length) {
        this.#needed = end + 2 - from
        return undefined
      }
      request.push(data.toString("latin1", size.end, end))
      position = end + 2
    }
    return { request, end: position }
  }
}

/** The number after a mark, up to the end of its line; `value` is missing when it is none. */
const readLength = (data: Buffer, from: number) => {
  const end = data.indexOf(0x0d, from)
  if (end < 0 || end + 1 >= data.length) {
    if (data.length - from > longestInline)
      throw new ProtocolError("ERR Protocol error: too big mbulk count string")
    return undefined
  }
  const text = data.toString("latin1", from + 1, end)
  return { value: /^-?\d{1,10}$/.test(text) ? Number(text) : undefined, end: end + 2 }
}

/** Words between spaces, some in quotes: what a person types into a terminal. */
const splitInline = (line: string): ReadonlyArray<string> => {
  const words: Array<string> = []
  const word = /\s*(?:"((?:\\.|[^"\\])*)"|'((?:\\'|[^'])*)'|([^\s"']+))(?=\s|$)/gy
  let at = 0
  for (let match = word.exec(line); match !== null; match = word.exec(line)) {
    words.push(match[1]?.replace(/\\(.)/g, "$1") ?? match[2]?.replaceAll("\\'", "'") ?? match[3] ?? "")
    at = word.lastIndex
  }
  if (line.slice(at).trim() !== "")
    throw new ProtocolError("ERR Protocol error: unbalanced quotes in request")
  return words
}
