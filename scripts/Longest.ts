/** The longest functions: what a reader has to hold in the head at once. */
import { child, lineOf, literal, type Node, type Source, walk } from "./Sources.ts"

export interface LongFunction {
  readonly path: string
  /** From 1. */
  readonly line: number
  readonly name: string
  readonly lines: number
}

const isFunction = (node: Node): boolean =>
  (node.type === "FunctionDeclaration" ||
    node.type === "FunctionExpression" ||
    node.type === "ArrowFunctionExpression") &&
  child(node, "body") !== undefined

const nameOf = (node: Node, parents: ReadonlyMap<Node, Node>): string => {
  const own = child(node, "id")
  if (own !== undefined) return String(own["name"])
  for (let at = parents.get(node); at !== undefined; at = parents.get(at)) {
    const key = child(at, at.type === "VariableDeclarator" ? "id" : "key")
    if (key !== undefined) return literal(key) ?? String(key["name"])
    if (at.type === "AssignmentExpression") return "(assigned)"
    if (isFunction(at)) break
  }
  return "(anonymous)"
}

/** The functions of these sources, longest first, those inside others included. */
export const longestFunctions = (sources: ReadonlyArray<Source>): ReadonlyArray<LongFunction> => {
  const found: Array<LongFunction> = []
  for (const { path, program, text } of sources) {
    const parents = new Map<Node, Node>()
    walk(program, (node, parent) => {
      if (parent !== undefined) parents.set(node, parent)
      if (!isFunction(node)) return
      const line = lineOf(text, node.start)
      found.push({ path, line, name: nameOf(node, parents), lines: lineOf(text, node.end) - line + 1 })
    })
  }
  return found.sort((a, b) => b.lines - a.lines || a.path.localeCompare(b.path) || a.line - b.line)
}
