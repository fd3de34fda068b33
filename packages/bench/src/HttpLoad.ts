/** A client that costs next to nothing: requests and answers over kept connections, one at a time on each. */
import { connect, type Socket } from "node:net"

/** A request as it goes over the wire. */
export type Frame = Buffer

/** The bytes of a request with a JSON body. */
export const frame = (method: string, path: string, body?: unknown): Frame => {
  const text = body === undefined ? "" : JSON.stringify(body)
  return Buffer.from(
    `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`
  )
}

/** An answer: its status and body. */
export interface Answer {
  readonly status: number
  readonly body: string
}

export interface Client {
  readonly send: (frame: Frame) => Promise<Answer>
  readonly close: () => void
}

interface Connection {
  readonly socket: Socket
  pending: Buffer
  resolve: ((answer: Answer) => void) | undefined
  reject: ((error: Error) => void) | undefined
}

/** As many connections to a server on loopback as requests are under way. */
export const client = (port: number): Client => {
  const idle: Array<Connection> = []
  const all = new Set<Connection>()

  const open = (): Connection => {
    const connection: Connection = {
      socket: connect({ port, host: "127.0.0.1", noDelay: true }),
      pending: Buffer.alloc(0),
      resolve: undefined,
      reject: undefined
    }
    all.add(connection)
    connection.socket.on("data", (chunk: Buffer) => {
      connection.pending =
        connection.pending.length === 0 ? chunk : Buffer.concat([connection.pending, chunk])
      const answer = parse(connection.pending)
      if (answer === undefined) return
      connection.pending = Buffer.alloc(0)
      idle.push(connection)
      connection.resolve?.(answer)
    })
    connection.socket.on("error", (error) => connection.reject?.(error))
    connection.socket.on("close", () => connection.reject?.(new Error("the server closed a connection")))
    return connection
  }

  return {
    send: (bytes) =>
      new Promise((resolve, reject) => {
        const connection = idle.pop() ?? open()
        connection.resolve = resolve
        connection.reject = reject
        connection.socket.write(bytes)
      }),
    close: () => {
      for (const connection of all) {
        connection.reject = undefined
        connection.socket.destroy()
      }
    }
  }
}

/** A whole answer with a content-length, or without a body; undefined while bytes are missing. */
const parse = (bytes: Buffer): Answer | undefined => {
  const end = bytes.indexOf("\r\n\r\n")
  if (end < 0) return undefined
  const head = bytes.toString("latin1", 0, end)
  const status = Number(head.slice(9, 12))
  const length = /content-length: (\d+)/i.exec(head)
  if (length === null && status !== 204) throw new Error(`an answer without a length: ${head}`)
  const size = Number(length?.[1] ?? 0)
  if (bytes.length < end + 4 + size) return undefined
  return { status, body: bytes.toString("utf8", end + 4, end + 4 + size) }
}
