import { readFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import * as policy from "@agion/policy"
import { Cel, loadRe2, PolicyFile } from "@agion/policy"
import { assert, beforeAll, describe, it } from "@effect/vitest"

interface Block {
  readonly language: string
  readonly text: string
  readonly line: number
}

const blocksOf = (name: string): ReadonlyArray<Block> => {
  const text = readFileSync(new URL(`../../../docs/${name}`, import.meta.url), "utf8")
  return [...text.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)].map((m) => ({
    language: m[1] ?? "",
    text: m[2] ?? "",
    line: text.slice(0, m.index).split("\n").length
  }))
}

/** `expression // => value`, `// fails: code`, `// refused: message`. */
const EXAMPLE = /^(.*?)\s+\/\/ (=>|fails:|refused:) (.*)$/

const runExample = (source: string, kind: string, wanted: string, input: Cel.Input): void => {
  const made = Cel.compile(source)
  if (kind === "refused:") {
    assert.include(made.ok ? "accepted" : made.issues.map((i) => i.message).join("\n"), wanted, source)
    return
  }
  if (!made.ok) throw new Error(`${source}\n${made.issues.map(Cel.formatIssue).join("\n")}`)
  const v = made.program.evaluate(input)
  if (kind === "fails:") {
    assert.strictEqual(v instanceof Cel.Fault ? v.code : "a value", wanted, source)
    return
  }
  assert.isFalse(v instanceof Cel.Fault, `${source}: ${v instanceof Cel.Fault ? v.message : ""}`)
  assert.deepEqual(JSON.parse(JSON.stringify(Cel.toJson(v))), JSON.parse(wanted), source)
}

/** Runs a program of the page and answers what it logged. */
const runProgram = async (text: string): Promise<ReadonlyArray<string>> => {
  const logged: Array<string> = []
  const console = {
    log: (...values: ReadonlyArray<unknown>) => logged.push(values.map((v) => JSON.stringify(v)).join(" "))
  }
  const body = stripTypeScriptTypes(text).replace(
    /^import \{([^}]*)\} from "@agion\/policy"$/gm,
    "const {$1} = policy"
  )
  const AsyncFunction = (async () => {}).constructor as new (
    ...args: ReadonlyArray<string>
  ) => (...args: ReadonlyArray<unknown>) => Promise<void>
  await new AsyncFunction("policy", "console", body)(policy, console)
  return logged
}

/** Without the blanks, which the page has for readers. */
const tight = (text: string): string => text.replace(/\s+/g, "")

describe("the documents", () => {
  beforeAll(loadRe2)

  it("POLICY-5 every example of cel.md gives what stands beside it", () => {
    let input: Cel.Input = {}
    let count = 0
    for (const block of blocksOf("cel.md")) {
      if (block.language === "json input") input = JSON.parse(block.text)
      if (block.language !== "cel") continue
      block.text.split("\n").forEach((line, i) => {
        if (line.trim() === "") return
        const m = EXAMPLE.exec(line)
        assert.isNotNull(m, `cel.md:${block.line + i + 1} says no result: ${line}`)
        runExample(m?.[1] ?? "", m?.[2] ?? "", m?.[3] ?? "", input)
        count++
      })
    }
    assert.isAbove(count, 120)
  })

  it("every policy file of policies.md compiles, and its cases pass", () => {
    let cases = 0
    for (const block of blocksOf("policies.md")) {
      if (block.language !== "yaml") continue
      const checked = PolicyFile.check(block.text)
      if (!checked.ok) throw new Error(`policies.md:${block.line} ${JSON.stringify(checked.errors)}`)
      for (const result of PolicyFile.test(checked.set, checked.file.cases)) {
        assert.strictEqual(result.message, "", result.name)
        cases++
      }
    }
    assert.isAbove(cases, 5)
  })

  it("every program of policies.md logs what stands beside it", async () => {
    let programs = 0
    for (const block of blocksOf("policies.md")) {
      if (block.language !== "ts") continue
      const wanted = [...block.text.matchAll(/\/\/ => (.*)$/gm)].map((m) => tight(m[1] ?? ""))
      assert.deepEqual((await runProgram(block.text)).map(tight), wanted, `policies.md:${block.line}`)
      programs++
    }
    assert.isAbove(programs, 4)
  })

  it("the message of policies.md is the one that is shown", () => {
    const [block] = blocksOf("policies.md").filter((b) => b.language === "text")
    const text = block?.text ?? ""
    const checked = PolicyFile.check(
      `policies:\n  - name: Trust floor\n    policy_expr: actor.trust_scor >= 60\n`
    )
    const [error] = checked.ok ? [] : checked.errors
    assert.strictEqual(
      text,
      `policies.yaml:${error?.line}:${error?.column}: ${error?.message}\n${error?.excerpt}\n`
    )
  })
})
