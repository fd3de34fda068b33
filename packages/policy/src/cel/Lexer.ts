/**
 * Text into tokens: numbers, strings in all their forms, names, punctuation. Whitespace and `//` comments are
 * dropped. Every token knows where it began.
 */
import { SyntaxFault } from "./Issue.ts"

export type TokenKind = "int" | "uint" | "double" | "string" | "bytes" | "ident" | "quoted" | "op" | "end"

export interface Token {
  readonly kind: TokenKind
  /** The name, operator, digits, or the decoded text. */
  readonly text: string
  readonly bytes?: Uint8Array
  readonly pos: number
  /** The offset behind it. */
  readonly end: number
}

const TWO = new Set(["&&", "||", "==", "!=", "<=", ">="])
const ONE = "+-*/%<>!?:.,()[]{}"
const IDENT = /[A-Za-z_][A-Za-z0-9_]*/y
const NUMBER =
  /0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)|\d+[uU]?/y
const QUOTE = /([rR]?[bB]?|[bB][rR])("""|'''|"|')/y
const QUOTED = /`([A-Za-z0-9_./\- ]+)`/y

const at = (regex: RegExp, source: string, pos: number): RegExpExecArray | null => {
  regex.lastIndex = pos
  return regex.exec(source)
}

/** All tokens of a source, the last of kind `end`. */
export const tokenize = (source: string): ReadonlyArray<Token> => {
  const tokens: Array<Token> = []
  let pos = 0
  while (true) {
    pos = skip(source, pos)
    if (pos >= source.length) break
    const token = read(source, pos)
    tokens.push(token)
    pos = token.end
  }
  tokens.push({ kind: "end", text: "", pos, end: pos })
  return tokens
}

const skip = (source: string, from: number): number => {
  let pos = from
  while (pos < source.length) {
    const c = source.charCodeAt(pos)
    if (c === 32 || c === 9 || c === 10 || c === 12 || c === 13) pos++
    else if (c === 47 && source.charCodeAt(pos + 1) === 47) {
      const end = source.indexOf("\n", pos)
      pos = end < 0 ? source.length : end + 1
    } else break
  }
  return pos
}

const isDigit = (c: number): boolean => c >= 48 && c <= 57

const read = (source: string, pos: number): Token => {
  const first = source[pos] ?? ""
  if ("\"'rRbB".includes(first)) {
    const quote = at(QUOTE, source, pos)
    if (quote !== null) return readString(source, pos, quote[1] ?? "", quote[2] ?? '"')
  }
  const c = source.charCodeAt(pos)
  if (isDigit(c) || (c === 46 && isDigit(source.charCodeAt(pos + 1)))) {
    return readNumber(source, pos, at(NUMBER, source, pos)?.[0] ?? first)
  }
  if (isWord(c)) {
    const name = at(IDENT, source, pos)?.[0] ?? first
    return { kind: "ident", text: name, pos, end: pos + name.length }
  }
  if (first === "`") {
    const quoted = at(QUOTED, source, pos)
    if (quoted === null) throw new SyntaxFault("syntax", "this quoted field name does not end", pos)
    return { kind: "quoted", text: quoted[1] ?? "", pos, end: pos + quoted[0].length }
  }
  const two = source.slice(pos, pos + 2)
  if (TWO.has(two)) return { kind: "op", text: two, pos, end: pos + 2 }
  if (ONE.includes(first)) return { kind: "op", text: first, pos, end: pos + 1 }
  throw new SyntaxFault("syntax", hintFor(first), pos)
}

const hintFor = (c: string): string => {
  if (c === "=") return "`=` is no operator; compare with `==`"
  if (c === "&") return "`&` is no operator; write `&&`"
  if (c === "|") return "`|` is no operator; write `||`"
  return `\`${c}\` has no meaning here`
}

const readNumber = (source: string, pos: number, text: string): Token => {
  const end = pos + text.length
  const after = source.charCodeAt(end)
  if (isWord(after)) throw new SyntaxFault("syntax", "a name cannot begin with a digit", pos)
  const hex = /^0[xX]/.test(text)
  if (/[uU]$/.test(text)) return { kind: "uint", text: text.slice(0, -1), pos, end }
  if (!hex && /[.eE]/.test(text)) return { kind: "double", text, pos, end }
  return { kind: "int", text, pos, end }
}

const isWord = (c: number): boolean =>
  (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95

const readString = (source: string, pos: number, prefix: string, quote: string): Token => {
  const raw = /r/i.test(prefix)
  const asBytes = /b/i.test(prefix)
  const start = pos + prefix.length + quote.length
  let i = start
  while (!source.startsWith(quote, i)) {
    const c = source.charCodeAt(i)
    if (i >= source.length || (quote.length === 1 && (c === 10 || c === 13))) {
      throw new SyntaxFault("syntax", `this string does not end; close it with \`${quote}\``, pos)
    }
    i += c === 92 && !raw ? 2 : 1
  }
  const body = source.slice(start, i)
  const end = i + quote.length
  if (asBytes) {
    const bytes = raw ? new TextEncoder().encode(body) : unescapeBytes(body, start)
    return { kind: "bytes", text: "", bytes, pos, end }
  }
  return { kind: "string", text: raw ? body : unescapeText(body, start), pos, end }
}

const SIMPLE: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  "\\": 92,
  "?": 63,
  '"': 34,
  "'": 39,
  "`": 96
}

const ESCAPE = /\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([\s\S]))/y

/** Code and length of the escape at `i`; `wide` for `\u` and `\U`. */
const escapeAt = (body: string, i: number, start: number) => {
  const m = at(ESCAPE, body, i)
  const simple = m?.[5] === undefined ? undefined : Object.hasOwn(SIMPLE, m[5]) ? SIMPLE[m[5]] : undefined
  if (m === null || (m[5] !== undefined && simple === undefined)) {
    throw new SyntaxFault(
      "syntax",
      'this escape is unknown; write `\\\\` for a backslash, or use a raw string r"…"',
      start + i
    )
  }
  const wide = m[2] ?? m[3]
  const code =
    simple ??
    (wide !== undefined
      ? Number.parseInt(wide, 16)
      : m[1] !== undefined
        ? Number.parseInt(m[1], 16)
        : Number.parseInt(m[4] ?? "0", 8))
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    throw new SyntaxFault("syntax", "this escape names no Unicode character", start + i)
  }
  return { code, length: m[0].length, wide: wide !== undefined }
}

const unescapeText = (body: string, start: number): string => {
  if (!body.includes("\\")) return body
  let out = ""
  let i = 0
  while (i < body.length) {
    const next = body.indexOf("\\", i)
    if (next < 0) return out + body.slice(i)
    out += body.slice(i, next)
    const escape = escapeAt(body, next, start)
    out += String.fromCodePoint(escape.code)
    i = next + escape.length
  }
  return out
}

const unescapeBytes = (body: string, start: number): Uint8Array => {
  const encoder = new TextEncoder()
  const out: Array<number> = []
  let i = 0
  while (i < body.length) {
    const next = body.indexOf("\\", i)
    const plain = next < 0 ? body.slice(i) : body.slice(i, next)
    for (const byte of encoder.encode(plain)) out.push(byte)
    if (next < 0) break
    const escape = escapeAt(body, next, start)
    if (escape.wide) throw new SyntaxFault("syntax", "`\\u` and `\\U` are not for bytes", start + next)
    out.push(escape.code)
    i = next + escape.length
  }
  return Uint8Array.from(out)
}
