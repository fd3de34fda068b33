/**
 * Why a policy decided as it did: its clauses, how each came out, and the values that each saw.
 *
 * An explanation evaluates anew, so it costs nothing until it is asked for. Long texts are shown by their
 * length only.
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
  /** The facts it read, with their values; an absent one is not listed. */
  readonly saw: Readonly<Record<string, unknown>>
}

export interface PolicyExplanation extends PolicyRef {
  /** `holds` or `violated` for a requirement, `matched` or `not_matched` for a rule, `error` for either. */
  readonly outcome: "holds" | "violated" | "matched" | "not_matched" | "error"
  readonly clauses: ReadonlyArray<Clause>
}

export interface Explanation {
  /** In priority order. */
  readonly policies: ReadonlyArray<PolicyExplanation>
}

const LONG = 80

const shown = (v: unknown): unknown =>
  typeof v === "string" && v.length > LONG ? `text of ${v.length} characters` : toJson(v)

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
      if (!(v instanceof Fault)) saw[path] = shown(v)
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
