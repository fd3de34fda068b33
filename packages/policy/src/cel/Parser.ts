/**
 * Tokens into a tree, within limits.
 *
 * The parser goes down by one level for each nesting of the input and refuses to go deeper than the limit, so
 * no input overflows the stack here or in any later walk over the tree. Macros become nodes of their own.
 */
import type { Macro, MapEntry, Node } from "./Ast.ts"
import { children } from "./Ast.ts"
import { SyntaxFault } from "./Issue.ts"
import { type Token, tokenize } from "./Lexer.ts"
import { BOOL, BYTES, DOUBLE, DYN, INT, NULL, STRING, type Type, UINT } from "./Type.ts"
import { INT_MAX, INT_MIN, UINT_MAX, Uint } from "./Value.ts"

/** How large an expression may be. */
export interface Limits {
  /** UTF-16 units of the text. Default 16,384. */
  readonly length: number
  /** Nodes of the tree. Default 4,096. */
  readonly nodes: number
  /** Levels of the tree, and of parentheses. Default 100. */
  readonly depth: number
}

export const defaultLimits: Limits = { length: 16_384, nodes: 4_096, depth: 100 }

const RESERVED = new Set(
  "as break const continue else for function if import let loop package namespace return var void while".split(
    " "
  )
)
const RELATIONS = new Set(["<", "<=", ">", ">=", "==", "!="])

/** The tree of a source; throws a `SyntaxFault`. */
export const parse = (source: string, limits: Limits = defaultLimits): Node => {
  if (source.length > limits.length) {
    throw new SyntaxFault(
      "limit",
      `the expression is longer than ${limits.length} characters; split the policy`,
      0
    )
  }
  const parser = new Parser(tokenize(source), limits)
  return parser.whole()
}

/** A node before its depth and type are known. */
type Unmade = Node extends infer N
  ? N extends Node
    ? Omit<N, "depth" | "type" | "start" | "end">
    : never
  : never

class Parser {
  private readonly tokens: ReadonlyArray<Token>
  private readonly limits: Limits
  private i = 0
  private level = 0
  private count = 0

  constructor(tokens: ReadonlyArray<Token>, limits: Limits) {
    this.tokens = tokens
    this.limits = limits
  }

  whole(): Node {
    if (this.peek().kind === "end") throw new SyntaxFault("syntax", "the expression is empty", 0)
    const node = this.expr()
    const rest = this.peek()
    if (rest.kind !== "end") throw new SyntaxFault("syntax", this.unexpected(rest), rest.pos)
    return node
  }

  private peek(): Token {
    return this.tokens[this.i] ?? { kind: "end", text: "", pos: 0, end: 0 }
  }

  private next(): Token {
    const token = this.peek()
    this.i++
    return token
  }

  private is(text: string): boolean {
    const token = this.peek()
    return token.kind === "op" && token.text === text
  }

  private take(text: string): boolean {
    if (!this.is(text)) return false
    this.i++
    return true
  }

  private expect(text: string): Token {
    const token = this.peek()
    if (!this.is(text)) {
      throw new SyntaxFault("syntax", `\`${text}\` is missing here; ${this.unexpected(token)}`, token.pos)
    }
    return this.next()
  }

  private unexpected(token: Token): string {
    if (token.kind === "end") return "the expression ends too early"
    if (token.kind === "ident" && token.text === "and") return "write `&&` for and"
    if (token.kind === "ident" && token.text === "or") return "write `||` for or"
    if (token.kind === "ident" && token.text === "not") return "write `!` for not"
    return token.kind === "string" || token.kind === "bytes"
      ? "did not expect a string"
      : `did not expect \`${token.text}\``
  }

  /** Counts a node and refuses a tree that is too large or too deep. */
  private made(node: Unmade, type: Type = DYN): Node {
    const end = this.tokens[this.i - 1]?.end ?? node.pos
    const whole = { ...node, depth: 1, start: node.pos, end, type } as Node
    for (const child of children(whole)) {
      whole.depth = Math.max(whole.depth, child.depth + 1)
      whole.start = Math.min(whole.start, child.start)
    }
    if (whole.depth > this.limits.depth) throw this.tooDeep(node.pos)
    if (++this.count > this.limits.nodes) {
      throw new SyntaxFault(
        "limit",
        `the expression has more than ${this.limits.nodes} parts; split the policy`,
        node.pos
      )
    }
    return whole
  }

  private tooDeep(pos: number): SyntaxFault {
    return new SyntaxFault("limit", `the expression is nested deeper than ${this.limits.depth} levels`, pos)
  }

  private expr(): Node {
    const start = this.peek()
    if (++this.level > this.limits.depth) throw this.tooDeep(start.pos)
    const test = this.or()
    let node = test
    if (this.is("?")) {
      const pos = this.next().pos
      const yes = this.or()
      this.expect(":")
      const no = this.expr()
      node = this.made({ k: "cond", pos, test, yes, no })
    }
    this.level--
    return node
  }

  private or(): Node {
    return this.chain("or", "||", () => this.chain("and", "&&", () => this.relation()))
  }

  private chain(k: "and" | "or", op: string, operand: () => Node): Node {
    const first = operand()
    if (!this.is(op)) return first
    const pos = this.peek().pos
    const args = [first]
    while (this.take(op)) args.push(operand())
    return this.made({ k, pos, args })
  }

  private relation(): Node {
    let left = this.sum()
    while (true) {
      const token = this.peek()
      const isIn = token.kind === "ident" && token.text === "in"
      if (!isIn && !(token.kind === "op" && RELATIONS.has(token.text))) return left
      this.next()
      left = this.call(isIn ? "@in" : `_${token.text}_`, token.pos, [left, this.sum()])
    }
  }

  private sum(): Node {
    let left = this.product()
    while (this.is("+") || this.is("-")) {
      const op = this.next()
      left = this.call(`_${op.text}_`, op.pos, [left, this.product()])
    }
    return left
  }

  private product(): Node {
    let left = this.unary()
    while (this.is("*") || this.is("/") || this.is("%")) {
      const op = this.next()
      left = this.call(`_${op.text}_`, op.pos, [left, this.unary()])
    }
    return left
  }

  private unary(): Node {
    const first = this.peek()
    if (!this.is("!") && !this.is("-")) return this.member()
    let count = 0
    while (this.take(first.text)) count++
    if (first.text === "-" && (this.peek().kind === "int" || this.peek().kind === "double")) {
      const literal = this.afterPrimary(this.literal(this.next(), true))
      count--
      return count % 2 === 0 ? literal : this.call("-_", first.pos, [literal])
    }
    const operand = this.member()
    if (count % 2 === 0 && first.text === "!") {
      return this.call("!_", first.pos, [this.call("!_", first.pos, [operand])])
    }
    return count % 2 === 0 ? operand : this.call(`${first.text}_`, first.pos, [operand])
  }

  private member(): Node {
    return this.afterPrimary(this.primary())
  }

  private afterPrimary(start: Node): Node {
    let node = start
    while (true) {
      if (this.is(".")) node = this.dot(node)
      else if (this.is("[")) {
        const pos = this.next().pos
        const opt = this.take("?")
        const index = this.expr()
        this.expect("]")
        node = this.call(opt ? "_[?_]" : "_[_]", pos, [node, index])
      } else return node
    }
  }

  private dot(operand: Node): Node {
    this.next()
    const opt = this.take("?")
    const name = this.next()
    if (name.kind !== "ident" && name.kind !== "quoted") {
      throw new SyntaxFault("syntax", `a field name is missing; ${this.unexpected(name)}`, name.pos)
    }
    if (name.kind === "ident" && ["in", "true", "false", "null"].includes(name.text)) {
      throw new SyntaxFault(
        "syntax",
        `\`${name.text}\` is a word of the language; write ["${name.text}"]`,
        name.pos
      )
    }
    if (!opt && name.kind === "ident" && this.is("(")) return this.method(operand, name)
    return this.made({
      k: "select",
      pos: name.pos,
      operand,
      field: name.text,
      test: false,
      opt,
      target: undefined
    })
  }

  private args(close: string): ReadonlyArray<Node> {
    const args: Array<Node> = []
    if (this.take(close)) return args
    do args.push(this.expr())
    while (this.take(","))
    this.expect(close)
    return args
  }

  private call(fn: string, pos: number, args: ReadonlyArray<Node>, target?: Node): Node {
    return this.made({ k: "call", pos, fn, target, args })
  }

  private method(operand: Node, name: Token): Node {
    this.next()
    const args = this.args(")")
    return (
      macro(operand, name.text, args, name.pos, (node) => this.made(node)) ??
      this.call(name.text, name.pos, args, operand)
    )
  }

  private primary(): Node {
    const token = this.next()
    switch (token.kind) {
      case "int":
      case "uint":
      case "double":
      case "string":
      case "bytes":
        return this.literal(token, false)
      case "ident":
        return this.name(token, token.text)
      case "op":
        return this.bracket(token)
      default:
        throw new SyntaxFault("syntax", this.unexpected(token), token.pos)
    }
  }

  private bracket(token: Token): Node {
    if (token.text === "(") {
      const node = this.expr()
      node.start = token.pos
      node.end = this.expect(")").end
      return node
    }
    if (token.text === "[") return this.listItems(token.pos)
    if (token.text === "{") return this.mapEntries(token.pos)
    if (token.text === ".") {
      const name = this.next()
      if (name.kind === "ident") return this.name(name, `.${name.text}`)
    }
    throw new SyntaxFault("syntax", this.unexpected(token), token.pos)
  }

  private name(token: Token, name: string): Node {
    const text = token.text
    if (name === "true" || name === "false")
      return this.made({ k: "lit", pos: token.pos, value: name === "true" }, BOOL)
    if (name === "null") return this.made({ k: "lit", pos: token.pos, value: null }, NULL)
    if (text === "in" || (RESERVED.has(text) && !this.is("("))) {
      throw new SyntaxFault("syntax", `\`${text}\` is reserved and cannot be a name`, token.pos)
    }
    if (this.is("(")) {
      this.next()
      return this.globalCall(token, name)
    }
    return this.made({ k: "ident", pos: token.pos, name, target: undefined })
  }

  private globalCall(token: Token, name: string): Node {
    const args = this.args(")")
    if (name !== "has") return this.call(name, token.pos, args)
    const select = args[0]
    if (args.length !== 1 || select === undefined || select.k !== "select" || select.test) {
      throw new SyntaxFault("syntax", "`has` wants one field, as in `has(actor.location)`", token.pos)
    }
    const tested = this.made({ ...select, test: true })
    tested.start = token.pos
    return tested
  }

  private listItems(pos: number): Node {
    const items: Array<Node> = []
    const optional: Array<boolean> = []
    while (!this.is("]")) {
      optional.push(this.take("?"))
      items.push(this.expr())
      if (!this.take(",")) break
    }
    this.expect("]")
    return this.made({ k: "list", pos, items, optional })
  }

  private mapEntries(pos: number): Node {
    const entries: Array<MapEntry> = []
    while (!this.is("}")) {
      const optional = this.take("?")
      const key = this.expr()
      this.expect(":")
      entries.push({ key, value: this.expr(), optional })
      if (!this.take(",")) break
    }
    this.expect("}")
    return this.made({ k: "map", pos, entries })
  }

  private literal(token: Token, negative: boolean): Node {
    const { pos, text } = token
    if (token.kind === "string") return this.made({ k: "lit", pos, value: text }, STRING)
    if (token.kind === "bytes")
      return this.made({ k: "lit", pos, value: token.bytes ?? new Uint8Array() }, BYTES)
    if (token.kind === "double") {
      const value = Number(text)
      return this.made({ k: "lit", pos, value: negative ? -value : value }, DOUBLE)
    }
    const value = negative ? -BigInt(text) : BigInt(text)
    if (token.kind === "uint") {
      if (value > UINT_MAX) throw new SyntaxFault("syntax", "this number is too large for uint", pos)
      return this.made({ k: "lit", pos, value: new Uint(value) }, UINT)
    }
    if (value > INT_MAX || value < INT_MIN)
      throw new SyntaxFault("syntax", "this number is too large for int", pos)
    return this.made({ k: "lit", pos, value }, INT)
  }
}

type Make = (node: Unmade) => Node

/** `items.all(x, …)` and its kin; undefined when this is an ordinary method. */
const macro = (
  operand: Node,
  name: string,
  args: ReadonlyArray<Node>,
  pos: number,
  make: Make
): Node | undefined => {
  const n = args.length
  if (operand.k === "ident" && operand.name === "cel" && name === "bind" && n === 3) {
    const [v, init, body] = args
    if (init === undefined || body === undefined) return undefined
    return make({ k: "bind", pos, how: "bind", name: simpleName(v, name), init, body, slot: -1 })
  }
  if ((name === "optMap" || name === "optFlatMap") && n === 2) {
    const [v, body] = args
    if (body === undefined) return undefined
    return make({ k: "bind", pos, how: name, name: simpleName(v, name), init: operand, body, slot: -1 })
  }
  const shape = comprehension(name, n)
  if (shape === undefined) return undefined
  const body = args[n - 1]
  if (body === undefined) return undefined
  const v1 = simpleName(args[0], name)
  const v2 = shape.two ? simpleName(args[1], name) : undefined
  if (v1 === v2) throw new SyntaxFault("syntax", `both variables of \`${name}\` are called \`${v1}\``, pos)
  const guard = shape.guard ? args[n - 2] : undefined
  return make({ k: "comp", pos, macro: shape.macro, range: operand, v1, v2, guard, body, slot: -1 })
}

const comprehension = (
  name: string,
  n: number
): { readonly macro: Macro; readonly two: boolean; readonly guard: boolean } | undefined => {
  switch (name) {
    case "all":
    case "exists":
      return n === 2 || n === 3 ? { macro: name, two: n === 3, guard: false } : undefined
    case "exists_one":
    case "existsOne":
      return n === 2 || n === 3 ? { macro: "exists_one", two: n === 3, guard: false } : undefined
    case "filter":
      return n === 2 ? { macro: name, two: false, guard: false } : undefined
    case "map":
      return n === 2 || n === 3 ? { macro: name, two: false, guard: n === 3 } : undefined
    case "transformList":
    case "transformMap":
    case "transformMapEntry":
      return n === 3 || n === 4 ? { macro: name, two: true, guard: n === 4 } : undefined
    default:
      return undefined
  }
}

const simpleName = (node: Node | undefined, name: string): string => {
  if (node?.k === "ident" && !node.name.startsWith(".")) return node.name
  throw new SyntaxFault(
    "syntax",
    `\`${name}\` wants a plain variable name here, as in \`items.${name}(x, …)\``,
    node?.pos ?? 0
  )
}
