/** Agents in processes of their own, on a folder that they share. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { promisify } from "node:util"
import { Duration, Effect, Layer } from "effect"
import { EventBuffer, type EventBufferOptions } from "../src/EventBuffer.ts"
import { FakePlatform } from "./FakePlatform.ts"

export const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "agion-events-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

const fixtures = join(import.meta.dirname, "fixtures")

/** An agent in a process of its own; ends with the scope. */
export const agent = (
  directory: string,
  first: number,
  count: number,
  then = "wait",
  fixture = "publisher.ts"
) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(
        process.execPath,
        ["--conditions=@agion/source", join(fixtures, fixture), directory, `${first}`, `${count}`, then],
        {
          stdio: ["ignore", "pipe", "inherit"]
        }
      )
    ),
    (child) => Effect.promise(() => end(child))
  )

export const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill("SIGKILL")
  await once(child, "exit")
}

/** Reads what the agent says until `enough` says so, or it ends; answers the numbers of the events it called durable. */
export const reads = (child: ChildProcess, enough: (line: string, durable: number) => boolean) =>
  Effect.promise(async () => {
    const durable: Array<number> = []
    if (child.stdout === null) return durable
    for await (const line of createInterface({ input: child.stdout })) {
      const [became, n] = line.split(" ")
      if (became === "durable") durable.push(Number(n))
      if (enough(line, durable.length)) break
    }
    return durable
  })

/** What the next start on a folder sent, in a process of its own that is started with these flags of node's. */
export const replay = (directory: string, flags: ReadonlyArray<string>) =>
  Effect.promise(async (signal): Promise<{ readonly books: unknown; readonly bytes: number }> => {
    const program = [join(fixtures, "replayer.ts"), directory]
    const args = [...flags, "--conditions=@agion/source", ...program]
    const { stdout } = await promisify(execFile)(process.execPath, args, { signal })
    return JSON.parse(stdout)
  })

/** Starts on the folder and answers what the platform got, once all that was left there is sent. */
export const next = (directory: string, options: EventBufferOptions = {}) =>
  Effect.gen(function* () {
    const platform = new FakePlatform()
    const layer = EventBuffer.layer({ ...options, directory }).pipe(Layer.provide(platform.layer))
    yield* Effect.scoped(
      Effect.gen(function* () {
        const events = yield* EventBuffer
        // However long that takes: a killed agent may have left a million events.
        yield* events.flush({ deadline: Duration.infinity })
      }).pipe(Effect.provide(layer))
    )
    return platform
  })

export const numbers = (platform: FakePlatform) =>
  platform.field("agent_id").map((id) => Number(id?.slice("agent-".length)))
