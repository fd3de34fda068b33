/**
 * Regular expressions in RE2's syntax, searched in linear time.
 *
 * A pattern is read here, so that a wrong one is refused when the policy is created. One that is proven
 * harmless for a backtracking engine is written anew for the native `RegExp`, class by class, so that it means
 * the same there; any other needs an RE2 engine, which a program installs once (`installRe2`).
 *
 * Harmless is: every repetition is bounded and the whole pattern has few ways to match at one place; or the
 * pattern is tied to the start of the text and each unbounded repetition is followed by something that cannot
 * begin with what it repeats. A literal that every match contains is looked for first.
 */
import { type Atom, type Pattern, PatternFault, parsePattern } from "./Pattern.ts"

/** A compiled search. */
export interface Matcher {
  /** Whether the pattern occurs in the text. */
  readonly test: (text: string) => boolean
  /** Operations that a search in a text of this length spends. */
  readonly cost: (length: number) => number
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
  const price = 64 + 2 * pattern.size
  const native = toNative(pattern)
  if (native !== undefined)
    return { native: true, price, cost: native.cost, test: behind(needed, pattern, native.regex) }
  if (re2 === undefined) {
    return {
      reason: "engine",
      message: "the pattern needs the RE2 engine, which is not loaded; call `loadRe2()` once before"
    }
  }
  return throughRe2(source, needed, pattern.size, re2)
}

/** A native search that looks for the needed text first. */
const behind = (needed: string, pattern: Pattern, regex: RegExp): Matcher["test"] => {
  if (needed === "") return (text) => regex.test(text)
  if (pattern.root.k === "lit") return (text) => text.includes(needed)
  return (text) => text.includes(needed) && regex.test(text)
}

/** A linear engine takes time by the length of the text and the size of the pattern. */
const throughRe2 = (source: string, needed: string, size: number, engine: Re2): Matcher | NoMatcher => {
  try {
    const program = engine(source)
    return {
      native: false,
      price: 64 + 2 * size,
      cost: (length) => 1 + (length >> 4) * (1 + (size >> 5)),
      test: (text) => (needed === "" || text.includes(needed)) && program.test(text)
    }
  } catch (problem) {
    return {
      reason: "syntax",
      message: problem instanceof Error ? problem.message : "the pattern is not RE2's"
    }
  }
}

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

/** Ways to match at one place, times the characters of each: more than this is not harmless. */
const MAX_STEPS = 512
const MAX_WIDTH = 4_096

interface Native {
  readonly regex: RegExp
  readonly cost: Matcher["cost"]
}

const toNative = (pattern: Pattern): Native | undefined => {
  if (!pattern.portable) return undefined
  const root = trimStars(pattern.root)
  // An endless number of ways times no width is no number: it is not below the limit either.
  const steps = ways(root) * width(root)
  const bounded = steps <= MAX_STEPS
  if (!bounded && (pattern.folded || !isAnchored(root) || !isUnambiguous(root))) return undefined
  const weight = bounded ? 1 + (steps >> 8) : 1
  return {
    regex: new RegExp(write(root), pattern.folded ? "ui" : "u"),
    cost: (length) => 1 + (length >> 5) * weight
  }
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

/** An upper bound for the ways in which an atom matches at one place. */
const ways = (atom: Atom): number => {
  switch (atom.k) {
    case "lit":
    case "class":
    case "assert":
      return 1
    case "group":
      return ways(atom.of)
    case "seq":
      return atom.items.reduce((n, item) => n * ways(item), 1)
    case "alt":
      return atom.items.reduce((n, item) => n + ways(item), 0)
    case "repeat": {
      if (atom.max === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY
      const each = ways(atom.of)
      let sum = 0
      for (let i = atom.min; i <= atom.max && sum <= MAX_STEPS; i++) sum += each ** i
      return sum
    }
  }
}

/** The longest match, in characters. */
const width = (atom: Atom): number => {
  switch (atom.k) {
    case "lit":
      return atom.text.length
    case "class":
      return 1
    case "assert":
      return 0
    case "group":
      return width(atom.of)
    case "seq":
      return atom.items.reduce((n, item) => n + width(item), 0)
    case "alt":
      return atom.items.reduce((n, item) => Math.max(n, width(item)), 0)
    case "repeat":
      return atom.max === 0 ? 0 : atom.max * width(atom.of)
  }
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
