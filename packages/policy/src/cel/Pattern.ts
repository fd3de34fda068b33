/**
 * The syntax of RE2, read into a tree.
 *
 * What RE2 does not have is refused with its name: look-around, back-references, possessive and atomic groups.
 * Classes become sets of code points. `portable` says that nothing in the pattern has a meaning that differs
 * between RE2 and the tree (Unicode property classes and flags inside the pattern stay with the engine).
 */

/** What is wrong with a pattern. */
export class PatternFault {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

export type Set = ReadonlyArray<readonly [number, number]>

export type Atom =
  | { readonly k: "lit"; readonly text: string; readonly folded: boolean }
  | { readonly k: "class"; readonly set: Set }
  | { readonly k: "assert"; readonly what: "start" | "end" | "word" | "notWord" }
  | { readonly k: "group"; readonly of: Atom }
  | { readonly k: "seq"; readonly items: ReadonlyArray<Atom> }
  | { readonly k: "alt"; readonly items: ReadonlyArray<Atom> }
  | { readonly k: "repeat"; readonly of: Atom; readonly min: number; readonly max: number }

export interface Pattern {
  readonly root: Atom
  /** `(?i)` at the very beginning; a literal inside says itself whether it is folded. */
  readonly folded: boolean
  /** Atoms with every bounded repetition written out. */
  readonly size: number
  /** The tree holds the whole meaning. */
  readonly portable: boolean
}

/** Patterns longer than this are refused. */
const MAX_PATTERN = 1_000
const MAX_REPEAT = 1_000
/** Atoms after writing out every bounded repetition. */
const MAX_EXPANDED = 20_000
const MAX_GROUPS = 50
const LAST = 0x10ffff

const DIGIT: Set = [[48, 57]]
const SPACE: Set = [
  [9, 10],
  [12, 13],
  [32, 32]
]
/** What `\b` counts as parts of words. */
export const WORD: Set = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122]
]
const POSIX: Readonly<Record<string, Set>> = {
  alnum: [
    [48, 57],
    [65, 90],
    [97, 122]
  ],
  alpha: [
    [65, 90],
    [97, 122]
  ],
  ascii: [[0, 127]],
  blank: [
    [9, 9],
    [32, 32]
  ],
  cntrl: [
    [0, 31],
    [127, 127]
  ],
  digit: DIGIT,
  graph: [[33, 126]],
  lower: [[97, 122]],
  print: [[32, 126]],
  punct: [
    [33, 47],
    [58, 64],
    [91, 96],
    [123, 126]
  ],
  space: [
    [9, 13],
    [32, 32]
  ],
  upper: [[65, 90]],
  word: WORD,
  xdigit: [
    [48, 57],
    [65, 70],
    [97, 102]
  ]
}

const normal = (set: Set): Set => {
  const sorted = [...set].sort((a, b) => a[0] - b[0])
  const out: Array<[number, number]> = []
  for (const [from, to] of sorted) {
    const last = out[out.length - 1]
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to)
    else out.push([from, to])
  }
  return out
}

const negate = (set: Set): Set => {
  const out: Array<[number, number]> = []
  let next = 0
  for (const [from, to] of normal(set)) {
    if (from > next) out.push([next, from - 1])
    next = to + 1
  }
  if (next <= LAST) out.push([next, LAST])
  return out
}

const NOT_NEWLINE = negate([[10, 10]])
const ESCAPED: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 }
const PERL: Readonly<Record<string, Set>> = { d: DIGIT, s: SPACE, w: WORD }

/** Reads a pattern; throws a `PatternFault`. */
export const parsePattern = (source: string): Pattern => {
  if (source.length > MAX_PATTERN)
    throw new PatternFault(`the pattern is longer than ${MAX_PATTERN} characters`)
  const reader = new Reader(source)
  const root = reader.whole()
  const size = expanded(root)
  if (size > MAX_EXPANDED) {
    throw new PatternFault(`the pattern stands for more than ${MAX_EXPANDED} characters; repeat less`)
  }
  return { root, folded: reader.wholeFolded, portable: reader.portable, size }
}

const expanded = (atom: Atom): number => {
  switch (atom.k) {
    case "lit":
      return atom.text.length
    case "class":
    case "assert":
      return 1
    case "group":
      return expanded(atom.of)
    case "seq":
    case "alt":
      return atom.items.reduce((n, item) => n + expanded(item), 1)
    case "repeat":
      return (
        expanded(atom.of) * (atom.max === Number.POSITIVE_INFINITY ? atom.min + 1 : Math.max(1, atom.max))
      )
  }
}

class Reader {
  /** The flags at the very beginning say `i`. */
  wholeFolded = false
  portable = true
  private folded = false
  private dotAll = false
  private multiline = false
  private i = 0
  private depth = 0
  private readonly source: string

  constructor(source: string) {
    this.source = source
  }

  whole(): Atom {
    const flags = /^\(\?([imsU]+)\)/.exec(this.source)
    if (flags !== null) {
      this.setFlags(flags[1] ?? "")
      this.wholeFolded = this.folded
      this.i = flags[0].length
    }
    const root = this.alternatives()
    if (this.i < this.source.length) throw new PatternFault("the pattern has a `)` too many")
    return root
  }

  /** Sets what stands before a `-` and clears what stands after it. */
  private setFlags(flags: string): void {
    const [on = "", off = ""] = flags.split("-")
    const flag = (name: string, now: boolean): boolean => !off.includes(name) && (now || on.includes(name))
    this.folded = flag("i", this.folded)
    this.dotAll = flag("s", this.dotAll)
    this.multiline = flag("m", this.multiline)
  }

  private alternatives(): Atom {
    const items = [this.sequence()]
    while (this.source[this.i] === "|") {
      this.i++
      items.push(this.sequence())
    }
    const [only] = items
    return items.length === 1 && only !== undefined ? only : { k: "alt", items }
  }

  private sequence(): Atom {
    const items: Array<Atom> = []
    while (this.i < this.source.length && this.source[this.i] !== "|" && this.source[this.i] !== ")") {
      const atom = this.repeated(this.atom())
      const last = items[items.length - 1]
      if (atom.k === "lit" && last?.k === "lit" && atom.folded === last.folded) {
        items[items.length - 1] = { k: "lit", text: last.text + atom.text, folded: atom.folded }
      } else items.push(atom)
    }
    const [only] = items
    return items.length === 1 && only !== undefined ? only : { k: "seq", items }
  }

  private repeated(atom: Atom): Atom {
    const bounds = this.bounds()
    if (bounds === undefined) return atom
    if (this.source[this.i] === "?") this.i++
    if (this.source[this.i] === "+") throw new PatternFault("RE2 has no possessive repetition such as `a++`")
    if (this.bounds() !== undefined) throw new PatternFault("the pattern repeats a repetition; use a group")
    return { k: "repeat", of: this.single(atom), ...bounds }
  }

  /** A single character is a class of one, so that runs of it are seen as runs. */
  private single(atom: Atom): Atom {
    if (atom.k !== "lit" || atom.folded) return atom
    const c = atom.text.codePointAt(0) ?? 0
    return String.fromCodePoint(c) === atom.text ? { k: "class", set: [[c, c]] } : atom
  }

  private bounds(): { readonly min: number; readonly max: number } | undefined {
    const c = this.source[this.i]
    if (c === "*" || c === "+" || c === "?") {
      this.i++
      return { min: c === "+" ? 1 : 0, max: c === "?" ? 1 : Number.POSITIVE_INFINITY }
    }
    const m = c === "{" ? /^\{(\d+)(?:(,)(\d*))?\}/.exec(this.source.slice(this.i, this.i + 20)) : null
    if (m === null) return undefined
    this.i += m[0].length
    const min = Number(m[1])
    const max = m[2] === undefined ? min : m[3] === "" ? Number.POSITIVE_INFINITY : Number(m[3])
    if (min > MAX_REPEAT || (max > MAX_REPEAT && max !== Number.POSITIVE_INFINITY) || max < min) {
      throw new PatternFault(`the repetition \`${m[0]}\` is not within 0 to ${MAX_REPEAT}`)
    }
    return { min, max }
  }

  private atom(): Atom {
    const c = this.source[this.i] ?? ""
    switch (c) {
      case "(":
        return this.group()
      case "[":
        return this.set()
      case ".":
        this.i++
        return { k: "class", set: this.dotAll ? [[0, LAST]] : NOT_NEWLINE }
      case "^":
      case "$":
        this.i++
        if (this.multiline) this.portable = false
        return { k: "assert", what: c === "^" ? "start" : "end" }
      case "*":
      case "+":
      case "?":
        throw new PatternFault(`nothing stands before \`${c}\` in the pattern`)
      case "\\":
        return this.escape()
      default: {
        const text = String.fromCodePoint(this.source.codePointAt(this.i) ?? 0)
        this.i += text.length
        return { k: "lit", text, folded: this.folded }
      }
    }
  }

  private group(): Atom {
    if (++this.depth > MAX_GROUPS) throw new PatternFault(`the pattern nests more than ${MAX_GROUPS} groups`)
    const head =
      /^\((?:\?(?:P?<[A-Za-z_]\w*>|[imsU]*(?:-[imsU]+)?:))?/.exec(
        this.source.slice(this.i, this.i + 80)
      )?.[0] ?? "("
    if (head === "(" && this.source[this.i + 1] === "?") {
      const flags = /^\(\?[imsU]*(?:-[imsU]+)?\)/.exec(this.source.slice(this.i, this.i + 20))
      if (flags === null) throw new PatternFault(this.unknownGroup())
      // They hold to the end of the group that they stand in.
      this.setFlags(flags[0].slice(2, -1))
      this.portable = false
      this.i += flags[0].length
      this.depth--
      return { k: "seq", items: [] }
    }
    const { dotAll, folded, multiline } = this
    if (/^\(\?[imsU-]+:/.test(head)) {
      this.setFlags(head.slice(2, -1))
      this.portable = false
    }
    this.i += head.length
    const of = this.alternatives()
    this.dotAll = dotAll
    this.folded = folded
    this.multiline = multiline
    if (this.source[this.i] !== ")") throw new PatternFault("the pattern has a `(` that is not closed")
    this.i++
    this.depth--
    return { k: "group", of }
  }

  private unknownGroup(): string {
    const start = this.source.slice(this.i, this.i + 4)
    if (/^\(\?(?:[=!]|<[=!])/.test(start))
      return "RE2 has no look-ahead and no look-behind; say it with two expressions"
    return start.startsWith("(?>") ? "RE2 has no atomic groups" : `the group \`${start}\` is unknown`
  }

  private escape(): Atom {
    const c = this.source[this.i + 1]
    if (c === "A" || c === "z") {
      this.i += 2
      return { k: "assert", what: c === "A" ? "start" : "end" }
    }
    if (c === "b" || c === "B") {
      this.i += 2
      // With `ui` the native engine counts more characters as words.
      if (this.folded) this.portable = false
      return { k: "assert", what: c === "b" ? "word" : "notWord" }
    }
    if (c === "Q") return this.verbatim()
    if (c === "C") throw new PatternFault("single bytes (`\\C`) are not offered")
    const set = this.escapedSet()
    if (set !== undefined) return { k: "class", set }
    return { k: "lit", text: String.fromCodePoint(this.escapedChar()), folded: this.folded }
  }

  private verbatim(): Atom {
    const end = this.source.indexOf("\\E", this.i + 2)
    const text = this.source.slice(this.i + 2, end < 0 ? undefined : end)
    this.i = end < 0 ? this.source.length : end + 2
    // A repetition after `\E` binds to the last character only: leave it to the engine.
    this.portable = false
    return text === "" ? { k: "seq", items: [] } : { k: "lit", text, folded: this.folded }
  }

  /** `\d`, `\W`, `\p{Greek}`. */
  private escapedSet(): Set | undefined {
    const c = this.source[this.i + 1] ?? ""
    const perl = PERL[c.toLowerCase()]
    if (perl !== undefined && "dswDSW".includes(c)) {
      this.i += 2
      // With `i` the native engine folds these too, RE2 does not; digits and blanks have no other case.
      if (this.folded && c !== "d" && c !== "s") this.portable = false
      return c === c.toLowerCase() ? perl : negate(perl)
    }
    if (c !== "p" && c !== "P") return undefined
    const m = /^\\[pP](?:\{\^?(\w+)\}|([A-Z]))/.exec(this.source.slice(this.i, this.i + 60))
    const name = m?.[1] ?? m?.[2]
    if (m === null || name === undefined || !isUnicodeClass(name)) {
      throw new PatternFault("the Unicode class after `\\p` is unknown")
    }
    this.portable = false
    this.i += m[0].length
    return [[0, LAST]]
  }

  private escapedChar(): number {
    const rest = this.source.slice(this.i, this.i + 12)
    const m = /^\\(?:x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,6})\}|(0[0-7]{0,2}|[1-7][0-7]{2}))/.exec(rest)
    if (m !== null) {
      this.i += m[0].length
      const code = m[3] === undefined ? Number.parseInt(m[1] ?? m[2] ?? "0", 16) : Number.parseInt(m[3], 8)
      if (code > LAST || (code >= 0xd800 && code <= 0xdfff))
        throw new PatternFault("the pattern names a character that Unicode does not have")
      return code
    }
    const c = this.source[this.i + 1]
    if (c === undefined) throw new PatternFault("the pattern ends in a backslash")
    const simple = Object.hasOwn(ESCAPED, c) ? ESCAPED[c] : undefined
    if (simple === undefined && /[1-9k]/.test(c)) throw new PatternFault("RE2 has no back-references")
    if (simple === undefined && /[0-9A-Za-z]|[^\0-\u007f]/.test(c))
      throw new PatternFault(`the escape \`\\${c}\` is unknown`)
    this.i += 2
    return simple ?? c.charCodeAt(0)
  }

  private set(): Atom {
    this.i++
    const negated = this.source[this.i] === "^"
    if (negated) this.i++
    const ranges: Array<readonly [number, number]> = []
    for (let first = true; first || this.source[this.i] !== "]"; first = false) {
      if (this.i >= this.source.length) throw new PatternFault("the pattern has a `[` that is not closed")
      const named = this.namedSet()
      if (named !== undefined) ranges.push(...named)
      else ranges.push(this.range())
    }
    this.i++
    const set = normal(ranges)
    // With `i` the native engine folds before it negates.
    if (negated && this.folded) this.portable = false
    return { k: "class", set: negated ? negate(set) : set }
  }

  private namedSet(): Set | undefined {
    const posix = /^\[:(\^?)(\w+):\]/.exec(this.source.slice(this.i, this.i + 20))
    if (posix !== null) {
      const set = POSIX[posix[2] ?? ""]
      if (set === undefined || !Object.hasOwn(POSIX, posix[2] ?? "")) {
        throw new PatternFault(`the class \`${posix[0]}\` is unknown`)
      }
      this.i += posix[0].length
      if (this.folded) this.portable = false
      return posix[1] === "^" ? negate(set) : set
    }
    return this.source[this.i] === "\\" ? this.escapedSet() : undefined
  }

  private range(): readonly [number, number] {
    const from = this.setChar()
    if (this.source[this.i] !== "-" || this.source[this.i + 1] === "]" || this.i + 1 >= this.source.length) {
      return [from, from]
    }
    this.i++
    const to = this.setChar()
    if (to < from) throw new PatternFault("a range in the pattern runs backwards")
    return [from, to]
  }

  private setChar(): number {
    if (this.source[this.i] === "\\") return this.escapedChar()
    const code = this.source.codePointAt(this.i) ?? 0
    this.i += code > 0xffff ? 2 : 1
    return code
  }
}

const isUnicodeClass = (name: string): boolean => {
  if (name === "Any") return true
  for (const form of [name, `Script=${name}`]) {
    try {
      new RegExp(`\\p{${form}}`, "u")
      return true
    } catch {}
  }
  return false
}
