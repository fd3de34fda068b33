/**
 * The members of a public declaration that need a doc comment of their own: what a service does, what an option
 * is, what a class offers. A name says that a thing is asked for; units, ranges, defaults and errors it does not say.
 *
 * **Gotchas**: fields of plain values (a statistic, a fact, an error's data) are left to their names, and so are
 * `message`, `code`, constructors and what begins with `Symbol.`. Of overloads, one comment does.
 */
import { child, children, isNode, lineOf, type Node, type Source } from "./Sources.ts"

/** A member that users see. */
export interface Member {
  readonly name: string
  /** From 1. */
  readonly line: number
  readonly documented: boolean
}

/** Whether a doc comment ends right before a node; `from` is the first comment that may be one. */
export const hasComment = (source: Source, node: Node, from = 0): boolean =>
  source.comments.some(
    ({ end, value }, i) =>
      i >= from &&
      value.startsWith("*") &&
      end <= node.start &&
      source.text.slice(end, node.start).trim() === ""
  )

const optionNames = /(?:Options|Config|Spec|Input)$/

const leftToTheirNames = new Set(["message", "code", "constructor"])

const isHidden = (member: Node): boolean =>
  ["private", "protected"].includes(String(member["accessibility"])) ||
  child(member, "key")?.type === "PrivateIdentifier" ||
  member["computed"] === true ||
  member.type === "StaticBlock"

const nameOf = (member: Node): string => {
  const key = child(member, "key")
  return String(key?.["name"] ?? key?.["value"])
}

/** The members of what a class hands to `Context.Service`: written in its header, or an interface of the module. */
const shapeOf = (source: Source, declaration: Node): ReadonlyArray<Node> => {
  const call = child(child(declaration, "superClass"), "callee")
  const service = child(call, "callee")
  const of = [child(service, "object"), child(service, "property")].map((node) => node?.["name"])
  if (of.join(".") !== "Context.Service") return []
  const shape = children(child(call, "typeArguments"), "params")[1]
  if (shape?.type === "TSTypeLiteral") return children(shape, "members")
  const name = child(shape, "typeName")?.["name"]
  const named = children(source.program, "body")
    .map((statement) => child(statement, "declaration") ?? statement)
    .find(({ id, type }) => type === "TSInterfaceDeclaration" && isNode(id) && id["name"] === name)
  return children(child(named, "body"), "body")
}

const nodesOf = (source: Source, declaration: Node): ReadonlyArray<Node> => {
  const body = children(child(declaration, "body"), "body")
  if (declaration.type === "ClassDeclaration") return [...shapeOf(source, declaration), ...body]
  const isOption =
    declaration.type === "TSInterfaceDeclaration" &&
    optionNames.test(String(child(declaration, "id")?.["name"]))
  return isOption ? body : []
}

/** What of a declaration needs a comment, each name once. */
export const membersOf = (source: Source, declaration: Node): ReadonlyArray<Member> => {
  const found = new Map<string, Member>()
  for (const node of nodesOf(source, declaration)) {
    const name = nameOf(node)
    if (isHidden(node) || leftToTheirNames.has(name)) continue
    const known = found.get(name)
    found.set(name, {
      name,
      line: known?.line ?? lineOf(source.text, node.start),
      documented: known?.documented === true || hasComment(source, node)
    })
  }
  return [...found.values()]
}
