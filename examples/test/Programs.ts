/** Programs of this folder as processes of their own: what they print, and how they end. */
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export const path = (relative: string) => fileURLToPath(new URL(`../${relative}`, import.meta.url))

/** A running program. */
export interface Program {
  /** What it has printed so far. */
  readonly lines: ReadonlyArray<string>
  /** The end of what it has printed on standard error. */
  readonly complaints: () => string
  /** The first line at or after `from` that is so; rejects when the program ends without it, or after the bound. */
  readonly line: (matches: RegExp, from?: number) => Promise<string>
  /** Sends a signal, if there is one to send, and waits for the end; kills it and rejects after the bound. */
  readonly end: (signal?: "SIGTERM" | "SIGKILL") => Promise<number | null>
}

const boundMs = 30_000

const running = new Set<ChildProcess>()

// A test process that ends in the middle leaves nothing behind.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

/** Starts a program on its sources. */
export const start = (
  args: ReadonlyArray<string>,
  environment: { readonly [name: string]: string | undefined } = {}
): Program => {
  const child = spawn(process.execPath, ["--conditions=@agion/source", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, DATABASE_URL: undefined, REDIS_URL: undefined, ...environment }
  })
  running.add(child)
  const lines: Array<string> = []
  let complaints = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaints = (complaints + text).slice(-4000)
  })
  const waiting = new Set<() => void>()
  let over = false
  const wake = () => {
    for (const look of [...waiting]) look()
  }
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line)
    wake()
  })
  const ended = new Promise<number | null>((resolve) => {
    child.once("close", (code) => {
      running.delete(child)
      over = true
      wake()
      resolve(code)
    })
  })
  const failure = (why: string) =>
    new Error(
      `${args.join(" ")}: ${why}; it printed:\n${lines.join("\n")}\nand on standard error:\n${complaints}`
    )
  /** Ends it when `wanted` takes too long, and says so. */
  const bounded = async <A>(what: string, wanted: Promise<A>): Promise<A> => {
    const timer = Promise.withResolvers<never>()
    const bound = setTimeout(() => {
      child.kill("SIGKILL")
      timer.reject(failure(`waited ${boundMs} ms for ${what}`))
    }, boundMs)
    try {
      return await Promise.race([wanted, timer.promise])
    } finally {
      clearTimeout(bound)
    }
  }
  const line = (matches: RegExp, from = 0) => {
    const found = Promise.withResolvers<string>()
    const look = () => {
      const one = lines.slice(from).find((candidate) => matches.test(candidate))
      if (one !== undefined) found.resolve(one)
      else if (over) found.reject(failure(`ended without ${matches}`))
    }
    waiting.add(look)
    look()
    return bounded(String(matches), found.promise).finally(() => waiting.delete(look))
  }
  const end = (signal?: "SIGTERM" | "SIGKILL") => {
    if (signal !== undefined) child.kill(signal)
    return bounded(`its end${signal === undefined ? "" : ` by ${signal}`}`, ended)
  }
  return { lines, complaints: () => complaints, line, end }
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
  const ready = await program.line(/^\{/)
  const { url, redis_url } = JSON.parse(ready) as { url: string; redis_url: string }
  return { ...program, url, redisUrl: redis_url }
}

/** Runs a program to its end and tells what it printed. */
export const run = async (
  program: string,
  environment: { readonly [name: string]: string | undefined }
): Promise<ReadonlyArray<string>> => {
  const child = start([path(program)], { LOG_LEVEL: "error", ...environment })
  const code = await child.end()
  if (code !== 0)
    throw new Error(
      `${program} ended with ${code}; it printed:\n${child.lines.join("\n")}\n${child.complaints()}`
    )
  return child.lines
}
