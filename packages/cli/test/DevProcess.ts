/** `agion dev` in a process of its own, on free ports, for tests that talk to it as strangers do. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

/** How Node runs the command from its source. */
export const command: ReadonlyArray<string> = [
  "--conditions=@agion/source",
  fileURLToPath(new URL("../src/main.ts", import.meta.url))
]

export interface DevProcess {
  readonly url: string
  readonly redisUrl: string
  /** Ends it and waits until it has ended. */
  readonly stop: () => Promise<void>
}

export interface DevOptions {
  /** Default: none but the free ports. */
  readonly args?: ReadonlyArray<string>
  /** Default: `dev`. */
  readonly verb?: "dev" | "serve"
  /** Default: everything embedded. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

const embedded = {
  DATABASE_URL: undefined,
  REDIS_URL: undefined,
  AGION_GATEWAY_URL: undefined,
  NO_COLOR: "1"
}

/** The environment of a command that a test runs. */
export const environment = (env: DevOptions["env"] = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  ...embedded,
  ...env
})

const running = new Set<ChildProcess>()

// A test process that ends in the middle leaves nothing behind.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

/** Starts it and waits for the line that says it is ready. */
export const start = (options: DevOptions = {}): Promise<DevProcess> =>
  new Promise((resolve, reject) => {
    const verb = options.verb ?? "dev"
    const ports = verb === "dev" ? ["--port", "0", "--redis-port", "0"] : ["--port", "0"]
    const child = spawn(process.execPath, [...command, verb, ...ports, "--json", ...(options.args ?? [])], {
      env: environment(options.env),
      stdio: ["ignore", "pipe", "pipe"]
    })
    running.add(child)
    let out = ""
    let said = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text
    })
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text
      if (!out.includes("\n")) return
      const ready = JSON.parse(out) as { readonly url: string; readonly redis_url: string }
      resolve({ url: ready.url, redisUrl: ready.redis_url, stop: () => stop(child) })
    })
    child.once("exit", (code) => {
      running.delete(child)
      reject(new Error(`agion ${verb} ended with ${code}: ${said}`))
    })
  })

const stop = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once("exit", () => resolve())
    child.kill("SIGKILL")
  })

/** Whether programs are on this machine; where services are required, a missing one is an error. */
export const areThere = (...programs: ReadonlyArray<string>): boolean => {
  const missing = programs.filter((program) => spawnSync(program, ["--version"]).error !== undefined)
  if (missing.length === 0) return true
  const line = `${missing.join(", ")} was not found, its tests are skipped: install it`
  if (process.env["AGION_REQUIRE_SERVICES"] === "1") throw new Error(line)
  process.stderr.write(`${line}\n`)
  return false
}
