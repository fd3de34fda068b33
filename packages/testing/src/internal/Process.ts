/**
 * Programs of this machine that tests start: where they are, on which port, and
 * that they end with their scope, by the pid that was started.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import { connect, createServer } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { Effect } from "effect"

/** The first of the directories, then of PATH, that has the program. */
export const findProgram = (name: string, directories: ReadonlyArray<string> = []): string | undefined =>
  [...directories, ...(process.env["PATH"] ?? "").split(Path.delimiter)]
    .map((directory) => Path.join(directory, name))
    .find((path) => Fs.existsSync(path))

/** Says once for a test run, in one line, that a program is missing; fails instead where services are required. */
export const reportMissing = (program: string, howToGet: string): false => {
  const line = `${program} was not found, its tests are skipped: ${howToGet}`
  if (process.env["AGION_REQUIRE_SERVICES"] === "1") throw new Error(line)
  // Test files run in processes of their own, with one parent; an old marker is another run's.
  const marker = Path.join(Os.tmpdir(), `agion-missing-${program}-${process.ppid}`)
  const said = Fs.statSync(marker, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (Date.now() - said < 600_000) return false
  Fs.writeFileSync(marker, "")
  process.stderr.write(`${line}\n`)
  return false
}

/** A port that is free now. */
export const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** A directory that goes with the scope; `owner` may be another user. */
export const temporaryDirectory = (name: string, owner?: Owner) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), `agion-${name}-`))
      if (owner !== undefined) Fs.chownSync(directory, owner.uid, owner.gid)
      return directory
    }),
    (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
  )

/** A user to run as. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

const running = new Set<ChildProcess>()

// A test process that ends in the middle leaves nothing behind.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

/** A program that was started. */
export interface Running {
  readonly pid: number | undefined
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  readonly hasEnded: () => boolean
  readonly ended: Effect.Effect<void>
  /** What it said on its error output, for messages. */
  readonly complaints: () => string
}

/** Starts a program; it is the caller's to end it. */
export const start = (
  program: string,
  args: ReadonlyArray<string>,
  options: { readonly owner?: Owner; readonly cwd?: string } = {}
): Running => {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.owner === undefined ? {} : { uid: options.owner.uid, gid: options.owner.gid }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd })
  })
  let said = ""
  const hear = (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000)
  }
  child.stdout.on("data", hear)
  child.stderr.on("data", hear)
  let isOver = false
  running.add(child)
  const over = new Promise<void>((resolve) => {
    const end = () => {
      isOver = true
      running.delete(child)
      resolve()
    }
    child.once("exit", end)
    child.once("error", end)
  })
  return {
    pid: child.pid,
    signal: (signal) => Effect.sync(() => void child.kill(signal)),
    hasEnded: () => isOver,
    ended: Effect.promise(() => over),
    complaints: () => said
  }
}

/** Runs a program to its end; dies with what it said when it fails. */
export const run = (
  program: string,
  args: ReadonlyArray<string>,
  options: { readonly owner?: Owner; readonly cwd?: string } = {}
) =>
  Effect.callback<void>((resume) => {
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      ...(options.owner === undefined ? {} : { uid: options.owner.uid, gid: options.owner.gid }),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd })
    })
    let said = ""
    child.stdout.on("data", (chunk) => (said += chunk))
    child.stderr.on("data", (chunk) => (said += chunk))
    child.once("error", (error) => resume(Effect.die(error)))
    child.once("close", (code) =>
      resume(code === 0 ? Effect.void : Effect.die(new Error(`${program} ended with ${code}: ${said}`)))
    )
  })

/** Whether something listens on the port. */
export const listens = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const socket = connect(port, "127.0.0.1")
    const settle = (answer: boolean) => {
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    socket.once("connect", () => settle(true))
    socket.once("error", () => settle(false))
    return Effect.sync(() => socket.destroy())
  })

/** Looks every 20 ms until the condition holds; dies after `seconds`. Uses real time under every clock. */
export const waitUntil = (
  what: string,
  condition: Effect.Effect<boolean>,
  seconds = 15
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const limit = performance.now() + seconds * 1000
    while (!(yield* condition)) {
      if (performance.now() > limit)
        return yield* Effect.die(new Error(`waited ${seconds} s for ${what} in vain`))
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
    }
  })
