/** The facts a part of a condition reads, with the nodes that read them. */
import { children, type Node } from "../cel/Ast.ts"
import { pathOf } from "../cel/Compiler.ts"

/** Paths from variables below a node, each once; a field asked for by `has` is listed too. */
export const clausePaths = (root: Node): ReadonlyMap<string, Node> => {
  const out = new Map<string, Node>()
  const todo: Array<Node> = [root]
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    const read: Node = node.k === "select" && node.test ? { ...node, test: false } : node
    const path = pathOf(read)
    if (path === undefined) todo.push(...children(node))
    else if (!out.has(path)) out.set(path, read)
  }
  return out
}
