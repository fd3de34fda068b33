/** The platform in a process of its own: started, killed, started again on the same data. */
import { type ChildProcess, spawn } from "node:child_process"
import { createServer } from "node:net"
import { fileURLToPath } from "node:url"

/** Where the platform can be reached. */
export interface Platform {
  readonly url: string
  readonly redisUrl: string
  readonly pid: number
  /** Ends it at once, as a crash would. */
  readonly kill: () => Promise<void>
}

export interface PlatformOptions {
  readonly port: number
  readonly redisPort: number
  readonly data: string
}

const agion = fileURLToPath(new URL("../../packages/cli/src/main.ts", import.meta.url))

/** A port that was free a moment ago. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => {
        if (address !== null && typeof address === "object") resolve(address.port)
        else reject(new Error("no free port on 127.0.0.1"))
      })
    })
  })

/** Starts `agion dev` and waits for the line that says it is ready. */
export const startPlatform = async (options: PlatformOptions): Promise<Platform> => {
  const child = spawn(
    process.execPath,
    [
      "--conditions=@agion/source",
      agion,
      "dev",
      "--json",
      "--port",
      String(options.port),
      "--redis-port",
      String(options.redisPort),
      "--data",
      options.data
    ],
    { stdio: ["ignore", "pipe", "pipe"] }
  )
  const ready = await readyLine(child)
  return { ...ready, pid: child.pid ?? 0, kill: () => end(child) }
}

const end = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once("exit", () => resolve())
    child.kill("SIGKILL")
  })

const readyLine = (child: ChildProcess): Promise<{ readonly url: string; readonly redisUrl: string }> =>
  new Promise((resolve, reject) => {
    let out = ""
    let errors = ""
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-4000)
    })
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      out += text
      const line = out.split("\n").find((candidate) => candidate.startsWith("{"))
      if (line === undefined || !out.includes("\n", out.indexOf(line))) return
      const { url, redis_url } = JSON.parse(line) as { url: string; redis_url: string }
      resolve({ url, redisUrl: redis_url })
    })
    child.once("error", reject)
    child.once("exit", (code) =>
      reject(new Error(`the platform ended with ${code} before it was ready\n${errors}${out}`))
    )
  })
