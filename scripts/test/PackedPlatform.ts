/** A platform started by the command that was installed, and what a project's read-mes say. */
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"

/** A running platform. */
export interface PackedPlatform {
  readonly url: string
  readonly end: () => void
}

const running = new Set<ChildProcess>()

// A test process that ends in the middle leaves nothing behind.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

/** Starts `agion dev` with a seed on free ports; rejects when it ends before it is ready. */
export const startPlatform = (project: string, seed: string): Promise<PackedPlatform> =>
  new Promise((resolve, reject) => {
    const args = ["dev", "--json", "--port", "0", "--redis-port", "0", "--auto-approve", "--seed", seed]
    const { NODE_OPTIONS: _, ...env } = process.env
    const child = spawn(join(project, "node_modules/.bin/agion"), args, {
      cwd: project,
      env: { ...env, DATABASE_URL: undefined, REDIS_URL: undefined },
      stdio: ["ignore", "pipe", "inherit"]
    })
    running.add(child)
    child.once("error", reject)
    child.once("exit", (code) => {
      running.delete(child)
      reject(new Error(`\`agion dev --seed ${seed}\` ended with ${code} before it was ready`))
    })
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (!line.startsWith("{")) return
      const { url } = JSON.parse(line) as { readonly url: string }
      resolve({ url, end: () => child.kill("SIGKILL") })
    })
  })

/** The blocks of a page that are in a language, in order. */
export const blocksOf = (page: string, language: string): ReadonlyArray<string> =>
  [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, of, text = ""]) =>
    of === language ? [text] : []
  )

/** Where a page's links lead, without those of the web. */
export const linksOf = (page: string): ReadonlyArray<string> =>
  [...page.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, to = ""]) => (/^(?:https?:|#)/.test(to) ? [] : [to]))
