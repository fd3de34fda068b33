/**
 * The habits of the house that no ready-made linter knows. Each has a file in `test/fixtures/house` that it
 * must refuse.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { child, children, type Finding, lineOf, listFiles, type Node, type Source, walk } from "./Sources.ts"

type Rule = (source: Source) => ReadonlyArray<Finding>

const at = (source: Source, offset: number, message: string): Finding => ({
  path: source.path,
  line: lineOf(source.text, offset),
  message
})

const isSource = (path: string): boolean => /^packages\/[^/]+\/src\//.test(path)
const isPure = (path: string): boolean => /^packages\/(?:domain|policy)\/src\//.test(path)

/** A file is named by the noun that users write. */
const named: Rule = (source) => {
  const name = source.path.split("/").at(-1) ?? ""
  const vague =
    /^(?:types|utils?|helpers?|common|misc)\.ts$/i.test(name) ||
    /(?:Manager|Utils?|Impl|V\d+)\.ts$/.test(name)
  return vague ? [at(source, 0, `\`${name}\` says nothing; name it by what is in it`)] : []
}

/** A module opens with its manual. */
const manual: Rule = (source) => {
  if (!isSource(source.path) || !source.path.endsWith(".ts")) return []
  const first = source.program["body"]
  const start = Array.isArray(first) ? (first[0]?.start ?? source.text.length) : 0
  const has = source.comments.some((comment) => comment.value.startsWith("*") && comment.start < start)
  return has ? [] : [at(source, 0, "the module has no header comment: `/** what it is for */`")]
}

/** No cast by way of `unknown`. */
const cast: Rule = (source) => {
  const found: Array<Finding> = []
  walk(source.program, (node) => {
    if (node.type !== "TSAsExpression" || !source.path.match(/^(?:packages|examples|scripts)\//)) return
    const inner = child(node, "expression")
    if (inner?.type !== "TSAsExpression" || child(inner, "typeAnnotation")?.type !== "TSUnknownKeyword")
      return
    found.push(at(source, node.start, "`as unknown as` hides a fault; narrow the type or decode by a schema"))
  })
  return found
}

const ambient = new Set(["Date.now", "Math.random", "performance.now", "crypto.randomUUID"])
const timers = new Set(["setTimeout", "setInterval", "setImmediate", "queueMicrotask", "fetch"])

const callee = (node: Node): string => {
  const target = child(node, "callee")
  if (target?.type === "Identifier") return String(target["name"])
  if (target?.type !== "MemberExpression") return ""
  return `${String(child(target, "object")?.["name"])}.${String(child(target, "property")?.["name"])}`
}

/** What is pure reads no clock and no dice. */
const pure: Rule = (source) => {
  if (!isPure(source.path)) return []
  const found: Array<Finding> = []
  walk(source.program, (node) => {
    if (
      node.type === "NewExpression" &&
      callee(node) === "Date" &&
      children(node, "arguments").length === 0
    ) {
      found.push(at(source, node.start, "`new Date()` reads the clock; take the time as an argument"))
    }
    if (node.type !== "CallExpression") return
    const name = callee(node)
    if (!ambient.has(name) && !timers.has(name)) return
    found.push(
      at(source, node.start, `\`${name}\` does not belong in a pure package; take it as an argument`)
    )
  })
  return found
}

/** A fiber belongs to a scope. */
const detached: Rule = (source) => {
  if (!isSource(source.path)) return []
  const found: Array<Finding> = []
  walk(source.program, (node) => {
    if (node.type === "CallExpression" && callee(node) === "Effect.forkDetach")
      found.push(at(source, node.start, "`Effect.forkDetach` outlives its layer; use `Effect.forkScoped`"))
  })
  return found
}

/** Every test runs. */
const only: Rule = (source) => {
  if (!/\.(?:test|full)\.ts$/.test(source.path)) return []
  const found: Array<Finding> = []
  walk(source.program, (node) => {
    if (node.type !== "MemberExpression" || child(node, "property")?.["name"] !== "only") return
    found.push(at(source, node.start, "`.only` leaves out the other tests"))
  })
  return found
}

const secrets: ReadonlyArray<readonly [RegExp, string]> = [
  [/\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}/g, "an API key"],
  [/\bAKIA[0-9A-Z]{16}\b/g, "an access key"],
  [/\bgh[pousr]_[A-Za-z0-9]{36}/g, "a token"],
  [/-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/g, "a private key"],
  [
    /\b(?:postgres(?:ql)?|mysql|mongodb(?:\+srv)?):\/\/[\w.-]+:[^\s@${}"'`]{6,}@(?!127\.0\.0\.1|localhost)/g,
    "a password"
  ]
]

/** Nothing that looks like a secret, even if it is none: scanners do not know. */
export const secretFaults = (path: string, text: string): ReadonlyArray<Finding> =>
  secrets.flatMap(([pattern, what]) =>
    [...text.matchAll(pattern)].map((match) => ({
      path,
      line: lineOf(text, match.index),
      message: `looks like ${what}; build it from pieces`
    }))
  )

const rules: ReadonlyArray<Rule> = [named, manual, cast, pure, detached, only]

/** What breaks a habit in these sources. */
export const checkHouse = (sources: ReadonlyArray<Source>): ReadonlyArray<Finding> =>
  sources.flatMap((source) => rules.flatMap((rule) => rule(source)))

const textual = [".ts", ".tsx", ".js", ".mjs", ".json", ".md", ".yaml", ".yml", ".sh"]

/** Secrets in any text file below `root`. */
export const checkSecrets = (root: string): ReadonlyArray<Finding> =>
  listFiles(root, textual)
    .filter((path) => path !== "package-lock.json")
    .flatMap((path) => secretFaults(path, readFileSync(join(root, path), "utf8")))

interface PackageJson {
  readonly name?: string
  readonly version?: string
  readonly license?: string
  readonly type?: string
  readonly exports?: { readonly [path: string]: unknown }
  readonly [group: string]: unknown
}

const groups = ["dependencies", "peerDependencies", "devDependencies"] as const

const packageFaults = (json: PackageJson, version: string | undefined): ReadonlyArray<string> => {
  const faults: Array<string> = []
  if (json.type !== "module") faults.push('needs `"type": "module"`')
  if (json.license !== "MIT") faults.push('needs `"license": "MIT"`')
  if (json.version !== version) faults.push(`has another version than the others, ${version}`)
  if (json.exports !== undefined && json.exports["./internal/*"] !== null) {
    faults.push('`exports` needs `"./internal/*": null`')
  }
  for (const group of groups) {
    const wanted = (json[group] ?? {}) as { readonly [name: string]: string }
    for (const [name, range] of Object.entries(wanted)) {
      if (name === "effect" && range !== "~4.1.0") faults.push(`pins effect to ${range}, not ~4.1.0`)
      if (name.startsWith("@agion/") && range !== version)
        faults.push(`wants ${name} ${range}, not ${version}`)
    }
  }
  return faults
}

/** What the manifests of the packages have in common. */
export const checkManifests = (root: string): ReadonlyArray<Finding> => {
  const paths = listFiles(root, ["package.json"]).filter((path) => path.startsWith("packages/"))
  const manifests = paths.map((path) => JSON.parse(readFileSync(join(root, path), "utf8")) as PackageJson)
  return manifests.flatMap((json, i) =>
    packageFaults(json, manifests[0]?.version).map((message) => ({ path: paths[i] ?? "", line: 1, message }))
  )
}
