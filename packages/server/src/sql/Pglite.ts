/**
 * PGlite, opened for this process alone, and a stream that speaks PostgreSQL's wire protocol into it.
 *
 * Two processes on one directory lose rows without an error. So a directory is locked.
 */
import { join } from "node:path"
import { Duplex } from "node:stream"
import { Effect, Schema, type Scope } from "effect"
import * as DirectoryLock from "./DirectoryLock.ts"

/** Another process works on the directory. */
export class DirectoryLocked extends Schema.TaggedError<DirectoryLocked>()("DirectoryLocked", {
  path: Schema.String,
  pid: Schema.Int
}) {
  override get message() {
    return `\`${this.path}\` is in use by process ${this.pid}; stop it or choose another directory`
  }
}

/** What to open: a directory that keeps the data, or memory, perhaps filled from a dump. */
export interface OpenOptions {
  readonly path?: string
  readonly template?: Blob | undefined
}

/**
 * What is used of a PGlite. Its own types name those of Emscripten, which it does not bring: in ours they would
 * break whoever checks the types of libraries.
 */
export interface Backend {
  readonly execProtocolRaw: (message: Uint8Array) => Promise<Uint8Array>
  readonly dumpDataDir: (compression: "none") => Promise<Blob>
  readonly close: () => Promise<void>
}

/** Opens a PGlite and closes it, and gives its directory back, with the scope. */
export const open = (options: OpenOptions): Effect.Effect<Backend, DirectoryLocked, Scope.Scope> =>
  Effect.gen(function* () {
    if (options.path !== undefined) yield* lock(options.path)
    return yield* Effect.acquireRelease(
      Effect.promise(async (): Promise<Backend> => {
        const { PGlite } = await import("@electric-sql/pglite")
        return PGlite.create({
          ...(options.path === undefined ? {} : { dataDir: join(options.path, "pg") }),
          ...(options.template === undefined ? {} : { loadDataDir: options.template })
        })
      }),
      (db) => Effect.ignoreCause(Effect.promise(() => db.close()))
    )
  })

const lock = (path: string) =>
  Effect.acquireRelease(
    Effect.promise(() => DirectoryLock.take(path)).pipe(
      Effect.flatMap((taken) =>
        taken._tag === "Taken"
          ? Effect.succeed(taken)
          : Effect.fail(new DirectoryLocked({ path, pid: taken.pid }))
      )
    ),
    ({ release }) => Effect.promise(release)
  )

const cancelRequest = 80877102
const terminate = 0x58

/** A connection to the database: bytes of the protocol in, bytes of the protocol out. */
export const wire = (db: Backend): Duplex => {
  let pending: Buffer = Buffer.alloc(0)
  let started = false
  let queue = Promise.resolve()

  /** The complete messages at the start of what has arrived. */
  const take = (): Array<Buffer> => {
    const messages: Array<Buffer> = []
    for (;;) {
      // The first message has no tag before its length.
      const head = started ? 1 : 0
      if (pending.length < head + 4) return messages
      const length = head + pending.readInt32BE(head)
      if (pending.length < length) return messages
      messages.push(pending.subarray(0, length))
      pending = pending.subarray(length)
      started = true
    }
  }

  const run = async (messages: ReadonlyArray<Buffer>) => {
    for (const message of messages) {
      if (message[0] === terminate) duplex.push(null)
      else {
        const answer = await db.execProtocolRaw(message)
        if (answer.length > 0 && !duplex.destroyed) duplex.push(Buffer.from(answer))
      }
    }
  }

  const duplex: Duplex = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      // A backend inside the process cannot be interrupted in the middle of a statement.
      if (!started && pending.length >= 8 && pending.readInt32BE(4) === cancelRequest) {
        duplex.push(null)
        return done()
      }
      const messages = take()
      queue = queue.then(() => run(messages))
      queue.then(() => done(), done)
    }
  })
  return duplex
}
