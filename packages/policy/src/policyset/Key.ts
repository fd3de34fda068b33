/**
 * Equal expressions have equal keys.
 */
import { children, type Node } from "../cel/Ast.ts"
import { Uint } from "../cel/Value.ts"

const literal = (v: unknown): string => {
  if (typeof v === "string") return JSON.stringify(v)
  if (typeof v === "bigint") return `${v}i`
  if (typeof v === "number") return Object.is(v, -0) ? "-0d" : `${v}d`
  if (v instanceof Uint) return `${v.value}u`
  return v instanceof Uint8Array ? `b${v.join(".")}` : String(v)
}

const ownPart = (node: Node): string => {
  switch (node.k) {
    case "lit":
      return literal(node.value)
    case "ident":
      return node.target?.to === "slot" ? `$${node.target.slot}` : `n ${node.target?.to} ${node.name}`
    case "select":
      return `s${node.test ? "?" : ""}${node.opt ? "o" : ""}${node.target?.to ?? ""} ${JSON.stringify(node.field)}`
    case "call":
      return `c ${node.fn}${node.target === undefined ? "" : " m"}`
    case "list":
      return `l${node.optional.map(Number).join("")}`
    case "map":
      return `m${node.entries.map((e) => Number(e.optional)).join("")}`
    case "comp":
      return `w ${node.macro} ${node.slot} ${node.v2 === undefined ? 1 : 2}${node.guard === undefined ? "" : "g"}`
    case "bind":
      return `b ${node.how} ${node.slot}`
    default:
      return node.k
  }
}

/** A text that two trees share only when they mean the same. */
export const nodeKey = (node: Node): string => `(${ownPart(node)}${children(node).map(nodeKey).join("")})`
