/**
 * Policies and their test cases in a YAML file.
 *
 * ```yaml
 * policies:
 *   - id: trust-floor
 *     name: Trust floor
 *     policy_expr: actor.trust_score >= 60
 *     scope: { resource_types: [database] }
 * cases:
 *   - name: a new agent is kept out
 *     input: { actor: { trust_score: 40 }, resource: { resource_type: database } }
 *     expect: deny
 * ```
 *
 * The names are those of the HTTP API; `expr` is short for `policy_expr`. What is wrong is told with line and
 * column of the file, also inside an expression. A file may have 1 MiB and ten aliases.
 *
 * **Gotchas**: a pattern that needs the RE2 engine wants `loadRe2()` to have been awaited.
 */
import { type Document, isNode, isScalar, LineCounter, parseDocument, type Scalar } from "yaml"
import { policyEnvironment } from "./cel/Environment.ts"
import { excerpt, nearest } from "./cel/Issue.ts"
import { redactable } from "./policyset/Obligations.ts"
import {
  type Decision,
  enforcements,
  levels,
  type Policy,
  type PolicyError,
  type PolicyInput,
  statuses
} from "./policyset/Policy.ts"
import { compileSync, type PolicySet } from "./policyset/Set.ts"

/** One expectation. */
export interface Case {
  readonly name: string
  readonly input: PolicyInput
  readonly expect: {
    readonly decision: Decision
    /** Ids of the policies that must have made the decision, in any order. */
    readonly reasons?: ReadonlyArray<string | number>
    /** Ids of the policies that must warn. */
    readonly warnings?: ReadonlyArray<string | number>
  }
}

/** Policies, and what they are expected to decide. */
export interface File {
  readonly policies: ReadonlyArray<Policy>
  readonly cases: ReadonlyArray<Case>
}

/** What is wrong, with its place in the file (from 1). */
export interface FileError {
  readonly message: string
  readonly line: number
  readonly column: number
  /** The line of the file with a caret. */
  readonly excerpt: string
}

/** A file's content, or everything that is wrong with its form. */
export type Parsed =
  | { readonly ok: true; readonly file: File }
  | { readonly ok: false; readonly errors: ReadonlyArray<FileError> }

/** A file with its compiled set, or everything that is wrong with either. */
export type Checked =
  | { readonly ok: true; readonly file: File; readonly set: PolicySet }
  | { readonly ok: false; readonly errors: ReadonlyArray<FileError> }

/** How one case came out. */
export interface CaseResult {
  readonly name: string
  readonly passed: boolean
  readonly decision: Decision
  /** What was expected and what came instead; empty when it passed. */
  readonly message: string
}

/** The longest file that is read, in characters (UTF-16 code units). */
export const MAX_CHARACTERS = 1_048_576
/** YAML aliases that a file may have: each can repeat what it stands for. */
export const MAX_ALIASES = 10

const decisions: ReadonlyArray<Decision> = ["allow", "warn", "require_approval", "deny"]

const SCOPE: Readonly<Record<string, string>> = {
  agents: "agents",
  actions: "actions",
  resource_types: "resourceTypes",
  resource_ids: "resourceIds",
  tags: "tags"
}

const POLICY: ReadonlyArray<string> =
  "id name description type category priority enabled policy_language policy_expr expr tags enforcement enforcement_level scope status version message actions".split(
    " "
  )

/** Reads a file; says everything that is wrong with its form, and nothing about the expressions. */
export const parse = (text: string): Parsed => {
  const reader = new Reader(text)
  const file = reader.read()
  return reader.errors.length > 0 ? { ok: false, errors: reader.errors } : { ok: true, file }
}

/** Reads a file and compiles its policies; says everything that is wrong. */
export const check = (text: string): Checked => {
  const reader = new Reader(text)
  const file = reader.read()
  if (reader.errors.length > 0) return { ok: false, errors: reader.errors }
  const made = compileSync(file.policies)
  if (made.ok) return { ok: true, file, set: made.set }
  return { ok: false, errors: made.errors.map((e) => reader.located(e, file)) }
}

/** Runs cases against a set. */
export const test = (set: PolicySet, cases: ReadonlyArray<Case>): ReadonlyArray<CaseResult> =>
  cases.map((c) => {
    const verdict = set.evaluate(c.input)
    const problems: Array<string> = []
    if (verdict.decision !== c.expect.decision) {
      const because = verdict.reasons.map((r) => `${r.name}: ${r.message}`).join("; ")
      problems.push(
        `expected ${c.expect.decision}, got ${verdict.decision}${because === "" ? "" : ` (${because})`}`
      )
    }
    problems.push(...missing("reasons", c.expect.reasons, verdict.reasons))
    problems.push(...missing("warnings", c.expect.warnings, verdict.warnings))
    return {
      name: c.name,
      passed: problems.length === 0,
      decision: verdict.decision,
      message: problems.join("; ")
    }
  })

const missing = (
  what: string,
  wanted: ReadonlyArray<string | number> | undefined,
  got: ReadonlyArray<{ readonly id: string | number }>
): ReadonlyArray<string> => {
  if (wanted === undefined) return []
  const ids = (list: ReadonlyArray<string | number>): string => list.map(String).sort().join(", ")
  const [w, g] = [ids(wanted), ids(got.map((r) => r.id))]
  return w === g ? [] : [`expected ${what} [${w}], got [${g}]`]
}

type Path = ReadonlyArray<string | number>
type Fields = { readonly [key: string]: unknown }

const isAbsent = (v: unknown): boolean => v === undefined || v === null

const isFields = (v: unknown): v is Fields => typeof v === "object" && v !== null && !Array.isArray(v)

class Reader {
  readonly errors: Array<FileError> = []
  private readonly text: string
  private readonly lines = new LineCounter()
  private document: Document | undefined

  constructor(text: string) {
    this.text = text
  }

  read(): File {
    const root = this.load()
    if (root === undefined) return { policies: [], cases: [] }
    if (!isFields(root)) {
      this.refuse("a policy file is a map with `policies` and `cases`", [])
      return { policies: [], cases: [] }
    }
    this.known(root, ["policies", "cases", "$schema"], [])
    return {
      policies: this.list(root, "policies").flatMap((v, i) => this.policy(v, ["policies", i])),
      cases: this.list(root, "cases").flatMap((v, i) => this.case(v, ["cases", i]))
    }
  }

  private load(): unknown {
    if (this.text.length > MAX_CHARACTERS) {
      this.refuse(`the file is longer than ${MAX_CHARACTERS} characters; split it`, [])
      return undefined
    }
    if (isTooDeep(this.text)) {
      this.refuse("the file is nested too deeply", [])
      return undefined
    }
    try {
      this.document = parseDocument(this.text, { lineCounter: this.lines, prettyErrors: false })
      for (const e of this.document.errors) {
        const message = e.message.includes("call stack") ? "the file is nested too deeply" : e.message
        this.errors.push(this.at(message, e.pos[0]))
      }
      return this.errors.length > 0 ? undefined : this.document.toJS({ maxAliasCount: MAX_ALIASES })
    } catch (problem) {
      // The library throws on too many aliases, and runs out of stack on absurd nesting.
      const deep = problem instanceof RangeError
      this.refuse(
        deep ? "the file is nested too deeply" : `the file has more than ${MAX_ALIASES} aliases`,
        []
      )
      return undefined
    }
  }

  private at(message: string, offset: number): FileError {
    const { line, col } = this.lines.linePos(offset)
    return { message, line: Math.max(1, line), column: Math.max(1, col), excerpt: excerpt(this.text, offset) }
  }

  private node(path: Path): unknown {
    return path.length === 0 ? this.document?.contents : this.document?.getIn(path, true)
  }

  private refuse(message: string, path: Path): void {
    let node: unknown
    for (let n = path.length; n >= 0 && !isNode(node); n--) node = this.node(path.slice(0, n))
    this.errors.push(this.at(message, isNode(node) ? (node.range?.[0] ?? 0) : 0))
  }

  /** Refuses keys that mean nothing. */
  private known(o: Fields, keys: ReadonlyArray<string>, path: Path): void {
    for (const key of Object.keys(o)) {
      if (keys.includes(key)) continue
      const near = nearest(key, keys)
      this.refuse(
        `unknown field \`${key}\`${near === undefined ? `; there are ${keys.join(", ")}` : `; did you mean \`${near}\`?`}`,
        [...path, key]
      )
    }
  }

  private list(o: Fields, key: string): ReadonlyArray<unknown> {
    const v = o[key]
    if (v === undefined || v === null) return []
    if (Array.isArray(v)) return v
    this.refuse(`\`${key}\` is no list`, [key])
    return []
  }

  private string(o: Fields, key: string, path: Path): string | undefined {
    const v = o[key]
    if (v === undefined || v === null || typeof v === "string") return v ?? undefined
    this.refuse(`\`${key}\` is no text`, [...path, key])
    return undefined
  }

  private oneOf<A extends string>(
    o: Fields,
    key: string,
    all: ReadonlyArray<A>,
    path: Path,
    at: Path = [...path, key]
  ): A | undefined {
    const v = o[key]
    if (v === undefined || v === null) return undefined
    const found = all.find((x) => x === v)
    if (found === undefined) this.refuse(`\`${key}\` is one of ${all.join(", ")}`, at)
    return found
  }

  private policy(v: unknown, path: Path): ReadonlyArray<Policy> {
    if (!isFields(v)) {
      this.refuse("a policy is a map with `name` and `policy_expr`", path)
      return []
    }
    this.known(v, POLICY, path)
    const name = this.string(v, "name", path)
    const [long, short] = [this.string(v, "policy_expr", path), this.string(v, "expr", path)]
    const expr = long ?? short
    if (isAbsent(v["name"])) this.refuse("the policy has no `name`", path)
    if (isAbsent(v["policy_expr"]) && isAbsent(v["expr"]))
      this.refuse("the policy has no `policy_expr`", path)
    if (long !== undefined && short !== undefined)
      this.refuse("`policy_expr` and `expr` are one field; write one of them", [...path, "expr"])
    if (v["policy_language"] !== undefined && v["policy_language"] !== "cel") {
      this.refuse("`policy_language` is cel", [...path, "policy_language"])
    }
    if (name === undefined || expr === undefined) return []
    return [
      {
        id: this.id(v, "id", path) ?? name,
        name,
        expr,
        version: this.id(v, "version", path),
        priority: this.number(v, "priority", path),
        type: this.string(v, "type", path),
        enforcement: this.oneOf(v, "enforcement", enforcements, path),
        enforcementLevel: this.oneOf(v, "enforcement_level", levels, path),
        scope: this.scope(v["scope"], [...path, "scope"]),
        actions: this.actions(v["actions"], [...path, "actions"]),
        status: this.status(v, path),
        message: this.string(v, "message", path),
        description: this.string(v, "description", path)
      }
    ]
  }

  private status(v: Fields, path: Path): Policy["status"] {
    const status = this.oneOf(v, "status", statuses, path)
    const { enabled } = v
    if (isAbsent(enabled)) return status
    if (typeof enabled !== "boolean") this.refuse("`enabled` is true or false", [...path, "enabled"])
    else if (status !== undefined && enabled !== (status === "active"))
      this.refuse(`\`enabled: ${enabled}\` contradicts \`status: ${status}\``, [...path, "enabled"])
    return status ?? (enabled === false ? "inactive" : undefined)
  }

  private id(o: Fields, key: string, path: Path): string | number | undefined {
    const v = o[key]
    if (v === undefined || v === null || typeof v === "string" || typeof v === "number") return v ?? undefined
    this.refuse(`\`${key}\` is neither text nor a number`, [...path, key])
    return undefined
  }

  private number(o: Fields, key: string, path: Path): number | undefined {
    const v = o[key]
    if (v === undefined || v === null) return undefined
    if (typeof v === "number" && Number.isInteger(v)) return v
    this.refuse(`\`${key}\` is no whole number`, [...path, key])
    return undefined
  }

  private scope(v: unknown, path: Path): Policy["scope"] {
    if (v === undefined || v === null) return undefined
    if (!isFields(v)) {
      this.refuse("`scope` is a map of lists", path)
      return undefined
    }
    this.known(v, Object.keys(SCOPE), path)
    const out: Record<string, ReadonlyArray<string>> = {}
    for (const [key, to] of Object.entries(SCOPE)) {
      const list = v[key]
      if (list === undefined || list === null) continue
      if (Array.isArray(list) && list.every((x) => typeof x === "string")) out[to] = list
      else this.refuse(`\`${key}\` is no list of texts`, [...path, key])
    }
    return out
  }

  private actions(v: unknown, path: Path): Policy["actions"] {
    if (v === undefined || v === null) return undefined
    if (!isFields(v)) {
      this.refuse("`actions` is a map with `redact`", path)
      return undefined
    }
    this.known(v, ["redact"], path)
    const { redact } = v
    if (redact === undefined || redact === null) return undefined
    if (Array.isArray(redact) && redact.every((x) => typeof x === "string")) return { redact }
    this.refuse("`redact` is no list of texts", [...path, "redact"])
    return undefined
  }

  private case(v: unknown, path: Path): ReadonlyArray<Case> {
    if (!isFields(v)) {
      this.refuse("a case is a map with `name`, `input` and `expect`", path)
      return []
    }
    this.known(v, ["name", "input", "expect"], path)
    const input = v["input"]
    if (!isFields(input)) this.refuse("the case has no `input` map", [...path, "input"])
    else this.input(input, [...path, "input"])
    const expect = this.expectation(v["expect"], [...path, "expect"])
    if (!isFields(input) || expect === undefined) return []
    return [{ name: this.string(v, "name", path) ?? `case ${Number(path[1]) + 1}`, input, expect }]
  }

  /** Refuses names that no policy can read: a case with a misspelt one passes or fails for another reason. */
  private input(input: Fields, path: Path): void {
    this.known(input, [...policyEnvironment.variables.keys()], path)
    for (const [name, { type }] of policyEnvironment.variables) {
      const part = input[name]
      if (type.k === "object" && isFields(part)) this.known(part, Object.keys(type.fields), [...path, name])
    }
  }

  private expectation(v: unknown, path: Path): Case["expect"] | undefined {
    const o = isFields(v) ? v : { decision: v }
    this.known(o, ["decision", "reasons", "warnings"], path)
    const decision = this.oneOf(o, "decision", decisions, path, isFields(v) ? [...path, "decision"] : path)
    if (decision === undefined) {
      if (o["decision"] === undefined || o["decision"] === null)
        this.refuse("the case expects no decision", path)
      return undefined
    }
    const reasons = this.ids(o["reasons"], [...path, "reasons"])
    const warnings = this.ids(o["warnings"], [...path, "warnings"])
    return { decision, ...(reasons && { reasons }), ...(warnings && { warnings }) }
  }

  private ids(v: unknown, path: Path): ReadonlyArray<string | number> | undefined {
    if (v === undefined || v === null) return undefined
    if (Array.isArray(v) && v.every((x) => typeof x === "string" || typeof x === "number")) return v
    this.refuse("this is no list of policy ids", path)
    return undefined
  }

  /** A compile error with its place in the file. */
  located(e: PolicyError, file: File): FileError {
    const index = file.policies.findIndex(
      (p) => p.id === e.policyId && (e.field !== "expr" || compileSync([p]).ok === false)
    )
    const policy = ["policies", Math.max(0, index)]
    const message = `policy \`${e.policyName}\`: ${e.message}`
    const key = this.document?.hasIn([...policy, "policy_expr"]) ? "policy_expr" : "expr"
    const node = this.node(e.field === "expr" ? [...policy, key] : policy)
    const start = isNode(node) ? (node.range?.[0] ?? 0) : 0
    if (e.field !== "expr" || !isScalar(node)) return this.at(message, start)
    return this.at(message, this.inScalar(node, start, e))
  }

  /** The offset in the file of a place in a scalar's text. */
  private inScalar(node: Scalar, start: number, e: PolicyError): number {
    if (node.type === "BLOCK_LITERAL" || node.type === "BLOCK_FOLDED") {
      let at = this.text.indexOf("\n", start) + 1
      const indent = /^ */.exec(this.text.slice(at, at + 200))?.[0].length ?? 0
      for (let line = 1; line < e.line; line++) at = this.text.indexOf("\n", at) + 1
      return at + indent + e.column - 1
    }
    return start + (node.type === "PLAIN" ? 0 : 1) + (e.line === 1 ? e.column - 1 : 0)
  }
}

const MAX_BRACKETS = 1_000

/** Brackets that are open at once, or markers in a row: more than anybody writes, and slow to read. */
const isTooDeep = (text: string): boolean => {
  if (/(?:[-?:] +){100}|(?:[[{]\s*){100}/.test(text)) return true
  let open = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 91 || c === 123) open++
    else if (c === 93 || c === 125) open = Math.max(0, open - 1)
    if (open > MAX_BRACKETS) return true
  }
  return false
}

const texts = (description: string): Fields => ({ type: "array", items: { type: "string" }, description })

/** JSON Schema of a policy file, for editors. */
export const jsonSchema: Fields = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Agion policy file",
  type: "object",
  additionalProperties: false,
  properties: {
    $schema: { type: "string" },
    policies: { type: "array", items: { $ref: "#/$defs/policy" } },
    cases: { type: "array", items: { $ref: "#/$defs/case" } }
  },
  $defs: {
    policy: {
      type: "object",
      additionalProperties: false,
      required: ["name"],
      anyOf: [{ required: ["policy_expr"] }, { required: ["expr"] }],
      properties: {
        id: { type: ["string", "integer"], description: "Default: the name." },
        name: { type: "string", minLength: 1 },
        description: { type: "string" },
        type: { enum: ["access", "dlp", "compliance", "rate_limit"] },
        category: { type: "string" },
        priority: {
          type: "integer",
          default: 0,
          description: "Higher first in evaluation and reasons; never changes the outcome."
        },
        enabled: { type: "boolean", description: "false is status inactive." },
        policy_language: { const: "cel" },
        policy_expr: {
          type: "string",
          description: "CEL. A requirement must be true; a rule applies when it is true."
        },
        expr: { type: "string", description: "Short for policy_expr." },
        tags: texts("Labels of the policy itself."),
        enforcement: {
          enum: enforcements,
          description: "What a rule decides when it matches. Absent: a requirement."
        },
        enforcement_level: { enum: levels, default: "hard", description: "advisory and soft only warn." },
        status: { enum: statuses, default: "active" },
        version: { type: ["string", "integer"] },
        message: { type: "string", description: "What the caller is told." },
        actions: {
          type: "object",
          additionalProperties: false,
          description: "What is done where the policy decides something and the call goes on.",
          properties: { redact: { type: "array", items: { enum: redactable } } }
        },
        scope: {
          type: "object",
          additionalProperties: false,
          description: "Where the policy applies. `*` stands for any text, `?` for one character.",
          properties: {
            agents: texts("Agent ids."),
            actions: texts("Actions."),
            resource_types: texts("Resource types."),
            resource_ids: texts("Resource ids."),
            tags: texts("One of the resource's tags must fit one of these.")
          }
        }
      }
    },
    case: {
      type: "object",
      additionalProperties: false,
      required: ["input", "expect"],
      properties: {
        name: { type: "string" },
        input: {
          type: "object",
          description: "actor, resource, request, context, metadata, agent_id, action, now"
        },
        expect: {
          anyOf: [
            { enum: decisions },
            {
              type: "object",
              additionalProperties: false,
              required: ["decision"],
              properties: {
                decision: { enum: decisions },
                reasons: { type: "array", items: { type: ["string", "integer"] } },
                warnings: { type: "array", items: { type: ["string", "integer"] } }
              }
            }
          ]
        }
      }
    }
  }
}
