/**
 * Regular expressions in RE2's syntax, searched in linear time.
 *
 * A pattern is read here, so that a wrong one is refused when the policy is created. One that is proven
 * harmless for a backtracking engine is written anew for the native `RegExp`, class by class, so that it means
 * the same there; any other needs an RE2 engine, which a program installs once (`installRe2`).
 *
 * Harmless is: every repetition is bounded and trying the pattern at one place takes few steps, whatever the
 * text; or the pattern is tied to the start of the text and each unbounded repetition is followed by something
 * that cannot begin with what it repeats. A literal that every match contains is looked for first.
 */
import { type Atom, type Pattern, PatternFault, parsePattern, WORD } from "./Pattern.ts"

/** A compiled search. */
export interface Matcher {
  /** Whether the pattern occurs in the text. */
  readonly test: (text: string) => boolean
  /** Operations that a search in the text spends: the steps that the engine may need there, not its length alone. */
  readonly cost: (text: string) => number
  /** Operations that compiling the pattern is worth, for patterns that come out of data. */
  readonly price: number
  /** It runs on the engine of JavaScript. */
  readonly native: boolean
}

/** Compiles a pattern that the native engine must not run; throws on a pattern it does not know. */
export type Re2 = (pattern: string) => { readonly test: (text: string) => boolean }

let re2: Re2 | undefined

/** Installs the engine for patterns that are not harmless natively. */
export const installRe2 = (engine: Re2): void => {
  re2 = engine
  cache.clear()
}

/** Whether an engine is installed. */
export const hasRe2 = (): boolean => re2 !== undefined

/** Why a pattern cannot be searched. */
export interface NoMatcher {
  readonly reason: "syntax" | "engine"
  readonly message: string
}

const cache = new Map<string, Matcher | NoMatcher>()
const MAX_CACHED = 200

/** The compiled pattern, kept for the next use. */
export const matcher = (pattern: string): Matcher | NoMatcher => {
  const known = cache.get(pattern)
  if (known !== undefined) return known
  const made = build(pattern)
  if (cache.size >= MAX_CACHED) cache.clear()
  cache.set(pattern, made)
  return made
}

const build = (source: string): Matcher | NoMatcher => {
  let pattern: Pattern
  try {
    pattern = parsePattern(source)
  } catch (problem) {
    if (problem instanceof PatternFault) return { reason: "syntax", message: problem.message }
    throw problem
  }
  const needed = literal(pattern.root)
  const native = toNative(pattern)
  if (native !== undefined) return made(pattern, needed, native.cost, native.regex)
  if (re2 === undefined) {
    return {
      reason: "engine",
      message: "the pattern needs the RE2 engine, which is not loaded; call `loadRe2()` once before"
    }
  }
  try {
    return made(pattern, needed, linearCost(pattern), re2(source))
  } catch (problem) {
    return {
      reason: "syntax",
      message: problem instanceof Error ? problem.message : "the pattern is not RE2's"
    }
  }
}

interface Engine {
  readonly test: (text: string) => boolean
}

/** A search that looks for the needed text first, and pays for the rest only where that is there. */
const made = (
  pattern: Pattern,
  needed: string,
  cost: (length: number) => number,
  engine: Engine
): Matcher => {
  const native = engine instanceof RegExp
  const price = 64 + 2 * pattern.size
  if (needed === "")
    return { native, price, cost: (text) => cost(text.length), test: (text) => engine.test(text) }
  if (native && pattern.root.k === "lit")
    return { native, price, cost: (text) => scanCost(text.length), test: (text) => text.includes(needed) }
  return {
    native,
    price,
    cost: (text) => (text.includes(needed) ? cost(text.length) : scanCost(text.length)),
    test: (text) => text.includes(needed) && engine.test(text)
  }
}

const scanCost = (length: number): number => 1 + (length >> 5)

/**
 * A linear engine walks from state to state, and makes a state by a step for each atom that is active in it. Where
 * the pattern has few states they are made once; where it may have as many as the text has places, each place
 * costs as much as atoms may be active there.
 */
const linearCost = ({ root }: Pattern): ((length: number) => number) => {
  const states = (1 + literals(root)) * 2 ** Math.min(40, stateBits(root, undefined, true))
  const each = active(root, 1)
  return (length) => 1 + (length >> 4) + Math.ceil((Math.min(length, states) * each) / 16)
}

/** Atoms that may be active at one place, when the atom is entered every `gap` characters at the most often. */
const active = (atom: Atom, gap: number): number => {
  switch (atom.k) {
    case "lit":
      return Math.min(2, atom.text.length)
    case "class":
      return 1
    case "assert":
      return 0
    case "group":
      return active(atom.of, gap)
    case "alt": {
      // Of literals only those are active that the last characters begin.
      const others = atom.items.filter((item) => item.k !== "lit")
      return (others.length < atom.items.length ? 2 : 0) + sum(others.map((item) => active(item, gap)))
    }
    case "seq": {
      let total = 0
      let next = gap
      for (const item of atom.items) {
        total += active(item, next)
        next = gapAfter(item, next)
      }
      return total
    }
    case "repeat": {
      const times = atom.max === Number.POSITIVE_INFINITY ? atom.min + 1 : Math.max(1, atom.max)
      return Math.ceil((times * active(atom.of, 1)) / gap)
    }
  }
}

/** How often at most what follows is entered: not more often than the words before it fit beside each other. */
const gapAfter = (atom: Atom, gap: number): number => {
  if (atom.k === "lit") return Math.max(1, atom.text.length)
  if (atom.k === "group") return gapAfter(atom.of, gap)
  if (atom.k === "alt") return Math.min(...atom.items.map((item) => gapAfter(item, 1)))
  return atom.k !== "assert" ? 1 : atom.what === "word" ? Math.max(2, gap) : gap
}

/** Characters of literals, with repetitions written out. */
const literals = (atom: Atom): number => {
  switch (atom.k) {
    case "lit":
      return atom.text.length
    case "class":
    case "assert":
      return 0
    case "group":
      return literals(atom.of)
    case "seq":
    case "alt":
      return sum(atom.items.map(literals))
    case "repeat":
      return literals(atom.of) * (atom.max === Number.POSITIVE_INFINITY ? atom.min + 1 : atom.max)
  }
}

/**
 * How many atoms may be active or not whatever the others are, as the logarithm of the states. A run of one class
 * that begins anew at every place, or only after a character outside of it, is told by how far it has come.
 */
const stateBits = (atom: Atom, before: Atom | undefined, isFirst: boolean): number => {
  switch (atom.k) {
    case "lit":
    case "assert":
      return 0
    case "class":
      return 1
    case "group":
      return stateBits(atom.of, before, isFirst)
    case "alt":
      return sum(atom.items.map((item) => stateBits(item, before, false)))
    case "seq": {
      const start = isAnchored(atom) ? 1 : 0
      return sum(atom.items.map((item, i) => stateBits(item, atom.items[i - 1], isFirst && i <= start)))
    }
    case "repeat": {
      const endless = atom.max === Number.POSITIVE_INFINITY
      const times = endless ? atom.min + 1 : atom.max
      if (atom.of.k !== "class") return times * (stateBits(atom.of, undefined, false) + 1)
      return isFirst || isApart(before, atom.of.set) ? Math.log2(times + 1) : times
    }
  }
}

/** Whether what stands before a run of a class cannot hold again inside the run. */
const isApart = (before: Atom | undefined, run: Ranges): boolean => {
  if (before?.k === "assert" && before.what === "word") return run.every((range) => isWord(range))
  if (before?.k !== "lit" || before.folded) return false
  return Array.from(before.text, (c) => c.codePointAt(0) ?? 0).some((c) => !overlap([[c, c]], run))
}

const isWord = ([from, to]: readonly [number, number]): boolean =>
  WORD.some(([start, end]) => start <= from && to <= end)

/** The longest text that every match contains; empty when there is none. */
const literal = (atom: Atom): string => {
  if (atom.k === "lit") return atom.folded ? "" : atom.text
  if (atom.k === "group") return literal(atom.of)
  if (atom.k === "repeat") return atom.min > 0 ? literal(atom.of) : ""
  if (atom.k !== "seq") return ""
  let best = ""
  for (const item of atom.items) {
    const text = literal(item)
    if (text.length > best.length) best = text
  }
  return best
}

/** Steps at one place: more than this is not harmless. */
const MAX_STEPS = 40
const MAX_WIDTH = 4_096

interface Native {
  readonly regex: RegExp
  readonly cost: (length: number) => number
}

const toNative = (pattern: Pattern): Native | undefined => {
  if (!pattern.portable) return undefined
  const root = trimStars(pattern.root)
  const { steps } = effort(root)
  const bounded = steps <= MAX_STEPS
  if (!bounded && (pattern.folded || !isAnchored(root) || !isUnambiguous(root))) return undefined
  const regex = new RegExp(write(root), pattern.folded ? "ui" : "u")
  if (!bounded || isAnchored(root)) return { regex, cost: scanCost }
  return { regex, cost: (length) => 1 + Math.ceil((length * (16 + steps)) / 512) }
}

/** A search does not care for `.*` at its ends. */
const trimStars = (root: Atom): Atom => {
  if (root.k !== "seq") return root
  let items = root.items
  const star = (atom: Atom | undefined): boolean =>
    atom?.k === "repeat" && atom.min === 0 && atom.max === Number.POSITIVE_INFINITY && atom.of.k === "class"
  while (items.length > 1 && star(items[0])) items = items.slice(1)
  while (items.length > 1 && star(items[items.length - 1])) items = items.slice(0, -1)
  return { k: "seq", items }
}

/** Upper bounds for one place: the ways in which an atom matches there, and the steps of trying them all. */
interface Effort {
  readonly ways: number
  readonly steps: number
}

const effort = (atom: Atom): Effort => {
  switch (atom.k) {
    case "lit":
      return { ways: 1, steps: atom.text.length }
    case "class":
    case "assert":
      return { ways: 1, steps: 1 }
    case "group":
      return effort(atom.of)
    case "seq": {
      let [ways, steps] = [1, 0]
      for (const item of atom.items) {
        const next = effort(item)
        steps += ways * next.steps
        ways *= next.ways
      }
      return { ways, steps }
    }
    case "alt":
      return anyOf(atom.items)
    case "repeat":
      return repeated(effort(atom.of), atom.min, atom.max)
  }
}

/** Of alternatives that begin with different characters only one goes on after its first. */
const anyOf = (items: ReadonlyArray<Atom>): Effort => {
  let ways = 0
  const byFirst = new Map<string, number>()
  for (const item of items) {
    const next = effort(item)
    ways += next.ways
    const first = item.k === "seq" ? item.items[0] : item
    const key = first?.k === "lit" ? String.fromCodePoint(first.text.codePointAt(0) ?? 0).toLowerCase() : ""
    byFirst.set(key, (byFirst.get(key) ?? 0) + next.steps)
  }
  // What does not begin with a literal may go on beside any other.
  const unknown = byFirst.get("") ?? 0
  byFirst.delete("")
  return { ways, steps: items.length + unknown + Math.max(0, ...byFirst.values()) }
}

const sum = (all: ReadonlyArray<number>): number => all.reduce((n, x) => n + x, 0)

const ENDLESS: Effort = { ways: Number.POSITIVE_INFINITY, steps: Number.POSITIVE_INFINITY }

const repeated = (once: Effort, min: number, max: number): Effort => {
  if (max === Number.POSITIVE_INFINITY) return ENDLESS
  let [ways, steps, after] = [min === 0 ? 1 : 0, 0, 1]
  for (let i = 1; i <= max; i++) {
    steps += after * Math.max(1, once.steps)
    after *= once.ways
    if (i >= min) ways += after
    if (steps > MAX_STEPS || ways > MAX_STEPS) return ENDLESS
  }
  return { ways, steps }
}

const isAnchored = (root: Atom): boolean => {
  const first = root.k === "seq" ? root.items[0] : root
  return first?.k === "assert" && first.what === "start"
}

/**
 * A sequence of single characters and runs of them, in which nothing that follows an unbounded run, up to the
 * next thing that must be there, can begin inside the run.
 */
const isUnambiguous = (root: Atom): boolean => {
  if (root.k !== "seq") return false
  const { items } = root
  return items.every((item, i) => {
    if (item.k === "lit" || item.k === "class" || item.k === "assert") return true
    if (item.k !== "repeat" || item.of.k !== "class") return false
    if (item.min === item.max) return item.max <= MAX_WIDTH
    return i === items.length - 1 || followsApart(item.of.set, items, i + 1)
  })
}

type Ranges = ReadonlyArray<readonly [number, number]>

const followsApart = (run: Ranges, items: ReadonlyArray<Atom>, from: number): boolean => {
  for (let i = from; i < items.length; i++) {
    const next = items[i]
    if (next === undefined) return true
    if (next.k === "assert") {
      if (next.what !== "end") return false
      return true
    }
    const set = firstSet(next)
    if (set === undefined || overlap(run, set)) return false
    if (next.k !== "repeat" || next.min > 0) return true
  }
  return true
}

const firstSet = (atom: Atom): Ranges | undefined => {
  if (atom.k === "class") return atom.set
  if (atom.k === "repeat") return firstSet(atom.of)
  if (atom.k !== "lit" || atom.folded) return undefined
  const c = atom.text.codePointAt(0) ?? 0
  return [[c, c]]
}

const overlap = (a: Ranges, b: Ranges): boolean =>
  a.some(([from, to]) => b.some(([start, end]) => from <= end && start <= to))

const escapeChar = (c: number): string => {
  const word = (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122)
  return word ? String.fromCharCode(c) : `\\u{${c.toString(16)}}`
}

const ASSERTS = { start: "^", end: "$", word: "\\b", notWord: "\\B" } as const

/** The atom in the syntax of JavaScript with the flag `u`. */
const write = (atom: Atom): string => {
  switch (atom.k) {
    case "lit":
      return Array.from(atom.text, (c) => escapeChar(c.codePointAt(0) ?? 0)).join("")
    case "class":
      return atom.set.length === 0
        ? "[^\\u{0}-\\u{10ffff}]"
        : `[${atom.set.map(([a, b]) => (a === b ? escapeChar(a) : `${escapeChar(a)}-${escapeChar(b)}`)).join("")}]`
    case "assert":
      return ASSERTS[atom.what]
    case "group":
      return `(?:${write(atom.of)})`
    case "seq":
      return atom.items.map((item) => (item.k === "alt" ? `(?:${write(item)})` : write(item))).join("")
    case "alt":
      return atom.items.map(write).join("|")
    case "repeat": {
      const body = atom.of.k === "class" ? write(atom.of) : `(?:${write(atom.of)})`
      return `${body}{${atom.min},${atom.max === Number.POSITIVE_INFINITY ? "" : atom.max}}`
    }
  }
}
