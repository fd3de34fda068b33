/**
 * PGlite, opened for this process alone, and a stream that speaks PostgreSQL's wire protocol into it.
 *
 * Two processes on one directory lose rows without an error. So a directory is locked: a file names the process
 * that holds it and when that process started; what a dead process left behind is taken over.
 */
import { readFileSync } from "node:fs"
import { mkdir, open as openFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { Duplex } from "node:stream"
import { Effect, Schema, type Scope } from "effect"

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
    Effect.promise(() => takeLock(path)).pipe(
      Effect.flatMap((holder) =>
        holder === undefined ? Effect.succeed(path) : Effect.fail(new DirectoryLocked({ path, pid: holder }))
      )
    ),
    () => Effect.promise(() => rm(lockFile(path), { force: true }))
  )

const lockFile = (path: string): string => join(path, "lock")

/** Takes the lock, or tells which process holds it. */
const takeLock = async (path: string): Promise<number | undefined> => {
  await mkdir(path, { recursive: true, mode: 0o700 })
  for (;;) {
    try {
      const file = await openFile(lockFile(path), "wx", 0o600)
      await file.writeFile(`${process.pid} ${startedAt(process.pid) ?? ""}`)
      await file.close()
      return undefined
    } catch (error) {
      if (!isCode(error, "EEXIST")) throw error
    }
    const holder = readHolder(path)
    if (holder !== undefined && isAlive(holder)) return holder.pid
    await rm(lockFile(path), { force: true })
  }
}

interface Holder {
  readonly pid: number
  readonly startedAt: string
}

const readHolder = (path: string): Holder | undefined => {
  try {
    const [pid = "", startedAt = ""] = readFileSync(lockFile(path), "utf8").split(" ")
    return Number(pid) > 0 ? { pid: Number(pid), startedAt } : undefined
  } catch {
    return undefined
  }
}

/** A pid alone may since belong to another process: its start time tells them apart, where the system says it. */
const isAlive = (holder: Holder): boolean => {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    if (!isCode(error, "EPERM")) return false
  }
  const started = startedAt(holder.pid)
  return started === undefined || holder.startedAt === "" || started === holder.startedAt
}

/** When a process started, in the system's ticks; undefined where there is no /proc. */
const startedAt = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
  } catch {
    return undefined
  }
}

const isCode = (error: unknown, code: string): boolean =>
  typeof error === "object" && error !== null && "code" in error && error.code === code

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
