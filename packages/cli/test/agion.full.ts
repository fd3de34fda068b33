import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const conditions = "--conditions=@agion/source"
const folder = mkdtempSync(join(tmpdir(), "agion-cli-"))
const env = {
  ...process.env,
  DATABASE_URL: undefined,
  REDIS_URL: undefined,
  AGION_GATEWAY_URL: undefined,
  NO_COLOR: "1"
}

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs the command to its end. */
const agion = (args: ReadonlyArray<string>, input = ""): Promise<Ran> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [conditions, main, ...args],
      { env, timeout: 60_000 },
      (error, out, err) =>
        resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : 1, out, err })
    )
    child.stdin?.end(input)
  })

const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const lines = (text: string): ReadonlyArray<unknown> =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown)

interface Running {
  readonly child: ChildProcess
  readonly url: string
}

/** Starts `agion dev` and waits for the line that says it is ready. */
const dev = (...args: ReadonlyArray<string>): Promise<Running> =>
  new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [conditions, main, "dev", "--port", "0", "--redis-port", "0", "--json", ...args],
      { env, stdio: ["ignore", "pipe", "pipe"] }
    )
    let out = ""
    let err = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text
    })
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text
      if (out.includes("\n")) resolve({ child, url: (JSON.parse(out) as { url: string }).url })
    })
    child.once("exit", (code) => reject(new Error(`agion dev ended with ${code}: ${err}`)))
  })

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("agion policy", () => {
  it("eval answers a JSON line for each JSON line, in order", async () => {
    const { code, out } = await agion(
      ["policy", "eval", "--json"],
      [
        { expr: "actor.trust_score >= 60.0", input: { actor: { trust_score: 61 } } },
        { expr: "actor.trust_scor > 1.0", input: {} },
        { expr: "count + 1", input: { count: 41 } }
      ]
        .map((line) => JSON.stringify(line))
        .concat("not json")
        .join("\n")
    )
    assert.strictEqual(code, 0)
    const [yes, misspelt, sum, broken] = lines(out)
    assert.deepStrictEqual(yes, { value: true })
    assert.deepInclude((misspelt as { error: object }).error, { code: "undeclared", line: 1, column: 7 })
    assert.deepStrictEqual(sum, { value: 42 })
    assert.deepInclude((broken as { error: object }).error, { code: "input" })
  })

  it("check names file, line and column and points at the fault", async () => {
    const path = file("bad.yaml", "policies:\n  - name: Floor\n    policy_expr: actor.trust_scor >= 60\n")
    const { code, err } = await agion(["policy", "check", path])
    assert.strictEqual(code, 1)
    assert.include(
      err,
      `${path}:3:24: policy \`Floor\`: \`actor\` has no field \`trust_scor\`; did you mean \`trust_score\`?`
    )
    assert.match(err, /\n\s+\^/)
  })

  it("test runs the cases and fails with the one that decides otherwise", async () => {
    const path = file(
      "cases.yaml",
      [
        "policies:",
        "  - { name: Floor, policy_expr: actor.trust_score >= 60 }",
        "cases:",
        "  - { name: trusted, input: { actor: { trust_score: 70 } }, expect: allow }",
        "  - { name: new, input: { actor: { trust_score: 40 } }, expect: allow }"
      ].join("\n")
    )
    const { code, out } = await agion(["policy", "test", path])
    assert.strictEqual(code, 1)
    assert.include(out, "1 passed, 1 failed")
    assert.match(out, /new: .*deny/)
  })

  it("replay tells which recorded inputs decide otherwise", async () => {
    const before = file(
      "before.yaml",
      "policies:\n  - { name: Floor, policy_expr: actor.trust_score >= 40 }\n"
    )
    const after = file("after.yaml", "policies:\n  - { name: Floor, policy_expr: actor.trust_score >= 60 }\n")
    const inputs = file(
      "inputs.jsonl",
      [30, 50, 70].map((n) => JSON.stringify({ actor: { trust_score: n } })).join("\n")
    )
    const { out } = await agion(["policy", "replay", before, after, "--inputs", inputs, "--json"])
    const [result] = lines(out) as [
      { inputs: number; flips: ReadonlyArray<{ index: number; after: string }> }
    ]
    assert.strictEqual(result.inputs, 3)
    assert.deepStrictEqual(
      result.flips.map((flip) => [flip.index, flip.after]),
      [[1, "deny"]]
    )
  })
})

describe("agion dlp", () => {
  it("scan answers with kinds and places, never with what it found", async () => {
    const token = ["ghp", "_", "a".repeat(36)].join("")
    const { out } = await agion(
      ["dlp", "scan", "--json"],
      [
        { id: "a", text: "write to ada@example.com" },
        { id: "b", text: "nothing here" },
        { id: "c", text: `postgres://root:${"hunter"}${"2hunter"}@db.internal/x ${token}` }
      ]
        .map((line) => JSON.stringify(line))
        .join("\n")
    )
    const [mail, none, uri] = lines(out) as ReadonlyArray<{
      decision: string
      findings: ReadonlyArray<object>
    }>
    assert.strictEqual(mail?.decision, "redact")
    assert.deepInclude(mail?.findings[0], { kind: "email", start: 9, end: 24, action: "redact" })
    assert.deepStrictEqual(none, { id: "b", decision: "allow", findings: [] } as unknown)
    assert.strictEqual(uri?.decision, "block")
    assert.notInclude(out, "hunter")
  })
})

describe("agion dev", () => {
  let running: Running | undefined
  const data = join(folder, "data")
  beforeAll(async () => {
    running = await dev("--data", data, "--auto-approve")
  }, 60_000)
  afterAll(() => {
    running?.child.kill("SIGKILL")
  })
  const url = () => running?.url ?? ""

  it.each(["SIGTERM", "SIGINT"] as const)("ends in order on %s, and exits with 0", async (signal) => {
    const { child } = await dev()
    const ended = once(child, "exit")
    child.kill(signal)
    assert.deepStrictEqual(await ended, [0, null])
  })

  const post = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const response = await fetch(`${url()}/api/v1${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body)
    })
    return (await response.json()) as Record<string, unknown>
  }

  it("--auto-approve approves what is requested", async () => {
    const resource = await post("/resources", {
      organization_id: "default",
      resource_type: "tool",
      name: "search",
      resource_data: {},
      created_by: "test"
    })
    const permission = await post("/permissions", {
      actor_id: "a",
      actor_type: "agent",
      resource_id: resource["id"],
      permission_type: "use",
      purpose: "test"
    })
    assert.strictEqual(permission["status"], "pending")
    const deadline = Date.now() + 15_000
    let status: unknown
    while (status !== "approved" && Date.now() < deadline) {
      const answer = await fetch(`${url()}/api/v1/permissions/${String(permission["id"])}`)
      status = ((await answer.json()) as Record<string, unknown>)["status"]
    }
    assert.strictEqual(status, "approved")
  })

  it("commands list, refuse and explain in one line", async () => {
    const none = await agion(["approvals", "--url", url()])
    assert.deepInclude(none, { code: 0, out: "Nothing waits for approval.\n" })
    const bad = await agion(["approve", "not-an-id", "--url", url()])
    assert.deepInclude(bad, { code: 1 })
    assert.include(bad.err, "agion: `not-an-id` is no id of a permission")
    const nobody = await agion(["agents", "resume", "nobody", "--url", url()])
    assert.strictEqual(nobody.code, 1)
    assert.match(nobody.err, /^agion: .*nobody/)
    const away = await agion(["approvals", "--url", "http://127.0.0.1:1"])
    assert.include(away.err, "no platform answers at `http://127.0.0.1:1`; start one with `agion dev`")
    for (const nonsense of ["nonsense", "localhost:8080", "ftp://127.0.0.1"]) {
      const { code, err } = await agion(["approvals", "--url", nonsense])
      assert.strictEqual(code, 1)
      assert.include(
        err,
        `agion: \`${nonsense}\` is no http or https address; name the platform's with --url`
      )
    }
  })

  it("a second process on the same folder is refused and told who holds it", async () => {
    const second = await agion(["dev", "--port", "0", "--redis-port", "0", "--data", data])
    assert.strictEqual(second.code, 1)
    assert.match(second.err, /^agion: .*in use by process \d+/m)
  })

  it("a port that is taken is named with what to do", async () => {
    const taken = new URL(url()).port
    const second = await agion(["dev", "--port", taken, "--redis-port", "0"])
    assert.strictEqual(second.code, 1)
    assert.include(second.err, `port ${taken} is taken; choose another with --port`)
  })

  it("a data folder that cannot be made is named at once", async () => {
    const inFile = join(file("plain", ""), "data")
    for (const path of [inFile, "/dev/null/data", ...(process.platform === "linux" ? ["/proc/nope"] : [])]) {
      const { code, err } = await agion(["dev", "--port", "0", "--redis-port", "0", "--data", path])
      assert.strictEqual(code, 1)
      assert.include(err, `cannot use the data folder \`${path}\``)
      assert.include(err, "--data")
    }
  })

  it("a port that is taken is told before the data folder's database is made", async () => {
    const taken = new URL(url()).port
    const untouched = join(folder, "untouched")
    const { err } = await agion(["dev", "--port", taken, "--redis-port", "0", "--data", untouched])
    assert.include(err, `port ${taken} is taken; choose another with --port`)
    assert.isFalse(existsSync(join(untouched, "database")))
  })

  it("--seed names the place of a fault and starts nothing", async () => {
    const path = file("seed.yaml", "resources:\n  - { name: a, resource_type: nothing }\n")
    const { code, err } = await agion(["dev", "--port", "0", "--redis-port", "0", "--seed", path])
    assert.strictEqual(code, 1)
    assert.include(err, `cannot read the seed \`${path}\`: line 2, column 5: resource \`a\``)
  })

  it("serve refuses to start without its servers, and to listen to strangers without keys", async () => {
    assert.include((await agion(["serve"])).err, "`agion serve` needs DATABASE_URL")
  })
})
