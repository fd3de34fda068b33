/**
 * CEL expressions: created with all checks, evaluated in nanoseconds.
 *
 * ```ts
 * const made = Cel.compile("actor.trust_score >= 60.0")
 * if (made.ok) made.program.evaluate({ actor: { trust_score: 71.5 } }) // true
 * ```
 *
 * `compile` answers all issues with line and column; nothing throws. A program evaluates synchronously within a
 * budget of operations, and answers a value or a `Fault`. No text is ever run as code.
 */
import type { Node } from "./cel/Ast.ts"
import { check } from "./cel/Checker.ts"
import { boxed, compile as compileNode } from "./cel/Compiler.ts"
import { type Environment, policyEnvironment } from "./cel/Environment.ts"
import { DEFAULT_BUDGET, Frame } from "./cel/Frame.ts"
import { Fault, type Issue, issueAt, OutOfBudget, place, SyntaxFault } from "./cel/Issue.ts"
import { toJson } from "./cel/Json.ts"
import { defaultLimits, type Limits, parse } from "./cel/Parser.ts"
import { assignable, BOOL, format, type Type } from "./cel/Type.ts"

export { nearest } from "./cel/Issue.ts"

/** What an input looks like: variables by name. */
export type Input = Readonly<Record<string, unknown>>

/** What an expression may be. */
export interface CompileOptions {
  /** What the expression may name. Default: what a policy sees. */
  readonly environment?: Environment
  /** The type that the expression must have. Default: any. */
  readonly expect?: Type
  /** What is refused as too large. Default: 16,384 characters, 4,096 nodes, 100 levels. */
  readonly limits?: Partial<Limits>
  /** Operations for one evaluation. Default 100,000. */
  readonly budget?: number
  /** Refuse nothing for its types or names; what is wrong fails when it is evaluated. */
  readonly lenient?: boolean
}

/** A compiled expression. */
export interface Program {
  readonly source: string
  readonly type: string
  readonly node: Node
  /** How many local variables it uses. */
  readonly slots: number
  /** The value, or the fault it ends in. Never throws. */
  readonly evaluate: (input: Input) => unknown
}

/** A compiled expression, or everything that is wrong with it. */
export type Compiled =
  | { readonly ok: true; readonly program: Program }
  | { readonly ok: false; readonly issues: ReadonlyArray<Issue> }

/** Creates an expression, or says everything that is wrong with it. */
export const compile = (source: string, options: CompileOptions = {}): Compiled => {
  let node: Node
  try {
    node = parse(source, { ...defaultLimits, ...options.limits })
  } catch (problem) {
    if (!(problem instanceof SyntaxFault)) throw problem
    return { ok: false, issues: [issueAt(source, problem.code, problem.message, problem.pos)] }
  }
  const checked = check(node, source, options.environment ?? policyEnvironment, {
    lenient: options.lenient ?? false
  })
  const issues = [...checked.issues]
  const { expect } = options
  if (issues.length === 0 && expect !== undefined && !assignable(expect, checked.type, [])) {
    const message = `the expression is a ${format(checked.type)} and must be a ${format(expect)}`
    issues.push(issueAt(source, "type", message, node.pos))
  }
  if (issues.length > 0) return { ok: false, issues }
  return {
    ok: true,
    program: programOf(source, node, checked.slots, format(checked.type, true), options.budget)
  }
}

const programOf = (
  source: string,
  node: Node,
  slots: number,
  type: string,
  budget: number = DEFAULT_BUDGET
): Program => {
  // Closures are made when they are first wanted: a set decides most conditions without them.
  let run: ((c: Frame) => unknown) | undefined
  let frame: Frame | undefined
  const evaluate = (input: Input): unknown => {
    run ??= boxed(compileNode(node))
    frame ??= new Frame(slots)
    return evaluateIn(frame, run, input, budget)
  }
  return { source, type, node, slots, evaluate }
}

const NOTHING: Input = {}

/** Runs a closure in a frame; the end of the budget is a fault like others here. */
export const evaluateIn = (
  frame: Frame,
  run: (c: Frame) => unknown,
  input: Input,
  budget: number
): unknown => {
  frame.take(input)
  frame.left = budget
  try {
    return run(frame)
  } catch (problem) {
    if (problem instanceof OutOfBudget) return budgetFault(budget)
    throw problem
  } finally {
    frame.vars = NOTHING
  }
}

const budgetFault = (budget: number): Fault =>
  new Fault(
    "budget_exceeded",
    `the expression needs more than ${budget} operations; make it or its lists shorter`
  )

/** Creates a condition over what a policy sees. */
export const condition = (source: string, options: Omit<CompileOptions, "expect"> = {}): Compiled =>
  compile(source, { ...options, expect: BOOL })

/** What `agion policy eval --json` prints for one line. */
export type JsonResult =
  | { readonly value: unknown }
  | {
      readonly error: {
        readonly code: string
        readonly message: string
        /** From 1; 0 when the failure has no place. */
        readonly line: number
        readonly column: number
      }
    }

/** Creates and evaluates in one step, with JSON on both sides. */
export const evaluateJson = (source: string, input: Input, options: CompileOptions = {}): JsonResult => {
  const made = compile(source, options)
  if (!made.ok) {
    const [issue] = made.issues
    const { code = "syntax", message = "the expression is refused", line = 0, column = 0 } = issue ?? {}
    return { error: { code, message, line, column } }
  }
  const value = made.program.evaluate(input)
  if (!(value instanceof Fault)) return { value: toJson(value) }
  const at = value.pos < 0 ? { line: 0, column: 0 } : place(source, value.pos)
  return { error: { code: value.code, message: value.message, ...at } }
}

export { type Environment, environment, policyEnvironment } from "./cel/Environment.ts"
export { Fault, type FaultCode, formatIssue, type Issue } from "./cel/Issue.ts"
export type { Limits } from "./cel/Parser.ts"
export { hasRe2, installRe2, type Re2 } from "./cel/Regex.ts"
export * as Type from "./cel/Type.ts"
export { toJson }
