/**
 * Which sentences of `docs/semantics.md` the names of tests cite. A sentence has an id, `LIMIT-3`; a test's name
 * begins with the ids of what it shows. Names of skipped tests and of those still to be written do not count.
 */
import {
  child,
  children,
  cooked,
  type Finding,
  lineOf,
  literal,
  type Node,
  type Source,
  walk
} from "./Sources.ts"

/** The ids of all sentences, in the order of the page. */
export const sentences = (markdown: string): ReadonlyArray<string> =>
  [...markdown.matchAll(/^- ([A-Z]+-\d+) /gm)].map((match) => match[1] ?? "")

/** An id that a test's name cites. */
export interface Citation {
  readonly id: string
  readonly path: string
  readonly line: number
}

const testers = new Set(["it", "test", "describe", "suite", "layer", "contract"])

/** `it`, `it.effect.prop`, `layer(live)`, `it.skipIf(x)` → the names from the root on. */
const calleeNames = (node: Node | undefined): ReadonlyArray<string> => {
  if (node === undefined) return []
  if (node.type === "Identifier") return [String(node["name"])]
  if (node.type === "MemberExpression")
    return [...calleeNames(child(node, "object")), String(child(node, "property")?.["name"])]
  if (node.type === "CallExpression") return calleeNames(child(node, "callee"))
  return []
}

const textOf = (node: Node | undefined): string =>
  node?.type === "TemplateLiteral" ? children(node, "quasis").map(cooked).join(" ") : (literal(node) ?? "")

/** What names a test: the first argument of `it` and its kin, or a `name` in a table of cases. */
const testName = (node: Node): string => {
  if (node.type === "CallExpression") {
    const [root = "", ...more] = calleeNames(child(node, "callee"))
    const runs = testers.has(root) && !more.includes("skip") && !more.includes("todo")
    return runs ? textOf(children(node, "arguments")[0]) : ""
  }
  const key = node.type === "Property" ? child(node, "key") : undefined
  return key?.["name"] === "name" ? textOf(child(node, "value")) : ""
}

const isTest = (path: string): boolean =>
  /\.(?:test|full)\.ts$/.test(path) ||
  /\/test\/suites\//.test(path) ||
  path.startsWith("packages/testing/src/")

/** Every id that the names of tests cite; contract suites in `packages/testing/src` and `test/suites` count as tests. */
export const citations = (sources: ReadonlyArray<Source>): ReadonlyArray<Citation> => {
  const found: Array<Citation> = []
  for (const { path, program, text } of sources) {
    if (!isTest(path)) continue
    walk(program, (node) => {
      for (const [id] of testName(node).matchAll(/\b[A-Z]{3,}-\d+\b/g)) {
        found.push({ id, path, line: lineOf(text, node.start) })
      }
    })
  }
  return found
}

/** Sentences that no test names. */
export const orphans = (
  ids: ReadonlyArray<string>,
  cited: ReadonlyArray<Citation>
): ReadonlyArray<string> => {
  const known = new Set(cited.map((citation) => citation.id))
  return ids.filter((id) => !known.has(id))
}

/** Tests that cite a sentence of a known chapter that is not there. */
export const strays = (
  ids: ReadonlyArray<string>,
  cited: ReadonlyArray<Citation>
): ReadonlyArray<Finding> => {
  const known = new Set(ids)
  const chapters = new Set(ids.map((id) => id.split("-")[0]))
  return cited
    .filter(({ id }) => !known.has(id) && chapters.has(id.split("-")[0]))
    .map(({ id, line, path }) => ({ path, line, message: `docs/semantics.md has no sentence ${id}` }))
}
