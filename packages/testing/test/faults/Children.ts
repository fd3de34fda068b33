/** Programs of the fixtures in processes of their own; each ends with its scope, by its own id. */
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { Effect, type Scope } from "effect"

/** A program that was started. */
export interface Child {
  readonly say: (line: string) => Effect.Effect<void>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Ends it by SIGKILL, and waits until it has ended. */
  readonly kill: Effect.Effect<void>
  /** Its exit code once it has ended; null: a signal ended it. */
  readonly ended: Effect.Effect<number | null>
  readonly isAlive: () => boolean
  /** What it said on its error output last. */
  readonly complaints: () => string
}

const running = new Set<ChildProcess>()

// A test process that ends in the middle leaves nothing behind.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

const fixtures = join(import.meta.dirname, "..", "fixtures")

/** The same programs start many times: what Node compiles is kept beside the installed packages. */
const compiled = join(import.meta.dirname, "../../../../node_modules/.cache/agion/compiled")

/** Starts `test/fixtures/NAME`; each line that it says goes to `hear`. */
export const start = (
  fixture: string,
  args: ReadonlyArray<string>,
  hear: (line: string) => void
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => launch(fixture, args, hear)),
    (child) => child.kill
  )

const launch = (fixture: string, args: ReadonlyArray<string>, hear: (line: string) => void): Child => {
  const child = spawn(process.execPath, ["--conditions=@agion/source", join(fixtures, fixture), ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, NODE_COMPILE_CACHE: compiled }
  })
  running.add(child)
  let complaints = ""
  child.stderr.on("data", (chunk) => {
    complaints = (complaints + String(chunk)).slice(-4000)
  })
  // A program that is gone takes no orders.
  child.stdin.on("error", () => {})
  createInterface({ input: child.stdout }).on("line", hear)
  const over = new Promise<number | null>((resolve) => {
    // After its output was read to the end.
    child.once("close", (code) => {
      running.delete(child)
      resolve(code)
    })
  })
  const signal = (name: NodeJS.Signals) => Effect.sync(() => void child.kill(name))
  const ended = Effect.promise(() => over)
  return {
    say: (line) => Effect.sync(() => void child.stdin.write(`${line}\n`)),
    signal,
    kill: Effect.asVoid(Effect.andThen(signal("SIGKILL"), ended)),
    ended,
    isAlive: () => running.has(child),
    complaints: () => complaints
  }
}
