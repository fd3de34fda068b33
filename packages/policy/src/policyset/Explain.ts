/**
 * Why a policy decided as it did: its clauses, how each came out, and the values that each saw.
 *
 * An explanation evaluates anew, so it costs nothing until it is asked for. What stems from a call's content and
 * arguments is shown by kind and length only, since it may hold what DLP finds (DLP-4); so are long texts,
 * wherever they stand.
 */
import type { Node } from "../cel/Ast.ts"
import { boxed, compile } from "../cel/Compiler.ts"
import { type Fn, Frame } from "../cel/Frame.ts"
import { Fault, OutOfBudget } from "../cel/Issue.ts"
import { toJson } from "../cel/Json.ts"
import { clausePaths } from "./Clauses.ts"
import type { PolicyInput, PolicyRef } from "./Policy.ts"

/** One clause of a condition. */
export interface Clause {
  /** Its text in the policy. */
  readonly text: string
  /** How it came out; "error" with the reason in `error`. */
  readonly outcome: true | false | "error"
  readonly error: string | undefined
  /**
   * The facts it read, with their values; an absent one is not listed. Of `request.content` and
   * `request.arguments` only the kind and the length are told, as of texts of more than 80 characters.
   */
  readonly saw: Readonly<Record<string, unknown>>
}

/** How one policy came out, clause by clause. */
export interface PolicyExplanation extends PolicyRef {
  /** `holds` or `violated` for a requirement, `matched` or `not_matched` for a rule, `error` for either. */
  readonly outcome: "holds" | "violated" | "matched" | "not_matched" | "error"
  readonly clauses: ReadonlyArray<Clause>
}

/** Why a set decided as it did. */
export interface Explanation {
  /** In priority order. */
  readonly policies: ReadonlyArray<PolicyExplanation>
}

const LONG = 80

const MAX_DEPTH = 32

/** A value as JSON whose long texts are told by their lengths, keys too. */
const shown = (v: unknown, depth = 0): unknown => {
  if (typeof v === "string") return v.length > LONG ? `text of ${v.length} characters` : v
  if (typeof v !== "object" || v === null) return v
  if (depth > MAX_DEPTH) return null
  if (Array.isArray(v)) return v.map((x) => shown(x, depth + 1))
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [String(shown(k)), shown(x, depth + 1)]))
}

/** Of what kind a value is, and how large. */
const outlined = (v: unknown): unknown => {
  if (typeof v === "string") return `text of ${v.length} characters`
  if (typeof v !== "object" || v === null) return v === null || typeof v === "boolean" ? v : `a ${typeof v}`
  if (Array.isArray(v)) return `list of ${v.length}`
  return `map of ${Object.keys(v).length}`
}

/** Whether a path reads what an agent sends: its content and arguments. */
const isSent = (path: string): boolean => /^request(?:\.(?:content|arguments)(?:\.|$)|$)/.test(path)

const run = (frame: Frame, fn: Fn, input: PolicyInput, budget: number): unknown => {
  frame.take(input as Readonly<Record<string, unknown>>)
  frame.left = budget
  try {
    return fn(frame)
  } catch (problem) {
    if (problem instanceof OutOfBudget) return new Fault("budget_exceeded", "the operations were used up")
    throw problem
  }
}

/** Explains one condition. */
export const explainNode = (
  root: Node,
  source: string,
  slots: number,
  input: PolicyInput,
  budget: number
): ReadonlyArray<Clause> => {
  const frame = new Frame(slots)
  return clauses(root).map((node) => {
    const value = run(frame, boxed(compile(node)), input, budget)
    const saw: Record<string, unknown> = {}
    for (const [path, read] of clausePaths(node)) {
      const v = run(frame, boxed(compile(read)), input, budget)
      if (!(v instanceof Fault)) saw[path] = isSent(path) ? outlined(toJson(v)) : shown(toJson(v))
    }
    return {
      text: source.slice(node.start, node.end),
      outcome: typeof value === "boolean" ? value : "error",
      error: value instanceof Fault ? value.message : undefined,
      saw
    }
  })
}

/** The operands of `&&` and `||`, also nested ones; of a condition without any, itself. */
const clauses = (node: Node): ReadonlyArray<Node> => {
  if (node.k === "and" || node.k === "or") return node.args.flatMap(clauses)
  const negated = node.k === "call" && node.fn === "!_" ? node.args[0] : undefined
  return negated !== undefined && (negated.k === "and" || negated.k === "or") ? clauses(negated) : [node]
}
