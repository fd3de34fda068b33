import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { areThere, type DevProcess, start } from "./DevProcess.ts"

const page = readFileSync(fileURLToPath(new URL("../../../docs/clients.md", import.meta.url)), "utf8")

interface Block {
  readonly language: string
  readonly text: string
  readonly line: number
}

const blocks: ReadonlyArray<Block> = [...page.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => ({
  language: match[1] ?? "",
  text: match[2] ?? "",
  line: page.slice(0, match.index).split("\n").length
}))

/** A snippet and the output that is shown below it. */
const snippets = blocks.flatMap((block, i) => {
  const next = blocks[i + 1]
  const shown = next !== undefined && /^(text|json)$/.test(next.language) ? next : undefined
  return block.language === "sh" ? [{ ...block, shown }] : []
})

/** Ids and times are other ones each time. */
const normal = (text: string): string =>
  text
    .trim()
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "ID")
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "TIME")
    .replace(/\b\d{13}-\d+\b/g, "ENTRY")

const marker = "---- next snippet ----"

/** Runs the page's snippets in one shell and answers what each printed. */
const run = (platform: DevProcess, folder: string): Promise<ReadonlyArray<string>> =>
  new Promise((resolve, reject) => {
    const script = snippets
      .map(({ text }) => text)
      .join(`\necho\necho '${marker}'\n`)
      .replaceAll("8080", new URL(platform.url).port)
      .replaceAll("6379", new URL(platform.redisUrl).port)
    const child = execFile(
      "bash",
      ["-eu", "-s"],
      { cwd: folder, timeout: 60_000, killSignal: "SIGKILL", env: { ...process.env, NO_COLOR: "1" } },
      (error, out, err) =>
        error === null
          ? resolve(out.split(`${marker}\n`))
          : reject(new Error(`${error.message}\n${out}${err}`))
    )
    child.stdin?.end(script)
  })

describe.runIf(areThere("curl", "redis-cli", "bash"))("docs/clients.md", () => {
  const folder = mkdtempSync(join(tmpdir(), "agion-clients-"))
  let platform: DevProcess | undefined
  let printed: ReadonlyArray<string> = []

  beforeAll(async () => {
    const [, verb, ...args] = (blocks.find(({ language }) => language === "sh start")?.text ?? "")
      .trim()
      .split(" ")
    assert.strictEqual(verb, "dev")
    platform = await start({ args: args.map((arg) => (arg.startsWith("./") ? join(folder, arg) : arg)) })
    printed = await run(platform, folder)
  })

  afterAll(async () => {
    await platform?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it("has a snippet for each step, each with what it prints", () => {
    assert.strictEqual(printed.length, snippets.length)
    assert.isAbove(snippets.length, 11)
    for (const { shown, line } of snippets) assert.isDefined(shown, `clients.md:${line} shows no output`)
  })

  for (const [i, { line, shown }] of snippets.entries())
    it(`line ${line} prints what is shown`, () => {
      const wanted = shown?.text ?? ""
      const found = printed[i] ?? ""
      if (shown?.language === "json")
        assert.deepStrictEqual(JSON.parse(normal(found)), JSON.parse(normal(wanted)))
      else assert.strictEqual(normal(found), normal(wanted))
    })
})
