/** Programs of this folder as processes of their own: what they print, and how they end. */
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export const path = (relative: string) => fileURLToPath(new URL(`../${relative}`, import.meta.url))

/** A running program. */
export interface Program {
  /** What it has printed so far. */
  readonly lines: ReadonlyArray<string>
  /** The first line at or after `from` that is so; rejects when the program ends without it, or after the bound. */
  readonly line: (matches: RegExp, from?: number) => Promise<string>
  /** Sends a signal and waits for the end; how often is no matter. */
  readonly end: (signal: "SIGTERM" | "SIGKILL") => Promise<number | null>
  /** Its exit code; null when a signal ended it. */
  readonly ended: Promise<number | null>
}

const boundMs = 30_000

/** Starts a program on its sources. */
export const start = (
  args: ReadonlyArray<string>,
  environment: { readonly [name: string]: string | undefined } = {}
): Program => {
  const child: ChildProcess = spawn(process.execPath, ["--conditions=@agion/source", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, DATABASE_URL: undefined, REDIS_URL: undefined, ...environment }
  })
  const lines: Array<string> = []
  const waiting = new Set<() => void>()
  let over = false
  const wake = () => {
    for (const look of [...waiting]) look()
  }
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on("line", (line) => {
      lines.push(line)
      wake()
    })
  const ended = new Promise<number | null>((resolve) => {
    child.once("close", (code) => {
      over = true
      wake()
      resolve(code)
    })
  })
  const line = (matches: RegExp, from = 0) =>
    new Promise<string>((resolve, reject) => {
      const done = (settle: () => void) => {
        waiting.delete(look)
        clearTimeout(timer)
        settle()
      }
      const fail = (why: string) => () =>
        reject(new Error(`${args.at(-1)}: ${why} ${matches}; it printed:\n${lines.join("\n")}`))
      const look = () => {
        const found = lines.slice(from).find((candidate) => matches.test(candidate))
        if (found !== undefined) done(() => resolve(found))
        else if (over) done(fail("ended without"))
      }
      const timer = setTimeout(() => done(fail(`waited ${boundMs} ms for`)), boundMs)
      waiting.add(look)
      look()
    })
  const end = (signal: "SIGTERM" | "SIGKILL") => {
    child.kill(signal)
    return ended
  }
  return { lines, line, end, ended }
}

/** A platform, ready. */
export interface Platform extends Program {
  readonly url: string
  readonly redisUrl: string
}

/** Starts `agion dev` with the seed of the examples; ports are free ones unless given. */
export const startPlatform = async (
  options: { readonly data?: string; readonly port?: string; readonly redisPort?: string } = {}
): Promise<Platform> => {
  const program = start([
    path("../packages/cli/src/main.ts"),
    "dev",
    "--json",
    "--port",
    options.port ?? "0",
    "--redis-port",
    options.redisPort ?? "0",
    ...(options.data === undefined ? [] : ["--data", options.data]),
    "--seed",
    path("seed.yaml")
  ])
  const ready = await program.line(/^\{/).catch(async (error) => {
    await program.end("SIGKILL")
    throw error
  })
  const { url, redis_url } = JSON.parse(ready) as { url: string; redis_url: string }
  return { ...program, url, redisUrl: redis_url }
}

/** Runs a program to its end and tells what it printed. */
export const run = async (
  program: string,
  environment: { readonly [name: string]: string | undefined }
): Promise<ReadonlyArray<string>> => {
  const running = start([path(program)], { LOG_LEVEL: "error", ...environment })
  const code = await running.ended
  if (code !== 0) throw new Error(`${program} ended with ${code}; it printed:\n${running.lines.join("\n")}`)
  return running.lines
}
