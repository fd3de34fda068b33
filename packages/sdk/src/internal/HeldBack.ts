/**
 * Elements of a stream, held back until all text in them is known to be clean, and let go in the order in which they
 * came. What stands in the same slot of elements that follow each other is watched as one text, and where texts
 * take turns in a slot, each of them as well; and each piece by itself, since nobody says whether they belong together.
 */
import type { Dlp } from "@agion/policy"
import { foundAlone } from "./Alone.ts"
import { anyReader, type ElementReader, lenient, type Reading, readerOf, type TextIn } from "./ElementText.ts"
import { TakingTurns } from "./TakingTurns.ts"
import { Unreadable } from "./ValueText.ts"

/** What one element led to: what may go on now, or why nothing may. */
export type Taken<A> =
  | { readonly _tag: "Let"; readonly out: ReadonlyArray<A> }
  | { readonly _tag: "Blocked"; readonly kinds: ReadonlyArray<Dlp.Kind> }
  | { readonly _tag: "Unreadable"; readonly what: string }

/** The text of one slot. */
interface Line {
  readonly watch: Dlp.DlpStream
  /** When so many elements in a row add nothing it is over, though it may go on later. */
  readonly patience: number
  pushed: number
  /** The number of the last element that had a part of it. */
  lastAt: number
  /** What was replaced in what has not left, in order. */
  readonly replaced: Array<Dlp.Replacement>
  /** The first different pieces of it. */
  readonly words: Set<string>
  last: string
  /** What was found in the last piece alone. */
  alone: ReadonlyArray<Dlp.Finding>
  /** How many pieces before the last one were the same. */
  repeated: number
}

/** A piece of an element, and where it stands in each of its lines. */
interface Span {
  readonly text: string
  /** By itself it shows what is not to be seen. */
  readonly isFound: boolean
  readonly parts: Array<Part>
}

interface Part {
  readonly line: Line
  readonly start: number
}

interface Waiting<A> {
  readonly spans: ReadonlyArray<Span>
  readonly put: Reading<A>["put"]
}

/** The patience with a text, and with one that takes turns with others, which go on when it is over. */
const idleAfter = 1000
const outOfTurnAfter = 100

/** Characters that wait at most; of more the oldest are let go as far as they are known. */
const charsAtMost = 1_048_576

/** Slots that are remembered. */
const linesAtMost = 1000

/** A slot of no more different words names something, such as the type of an element, and is no text that goes on. */
const wordsAtMost = 8
const word = /^[A-Za-z][A-Za-z0-9]*(?:[-_.:][A-Za-z0-9]+)*$/
const isWord = (text: string): boolean => text.length >= 3 && text.length <= 64 && word.test(text)
/** So does one that says the same so many times in a row, or one word and then so many times nothing. */
const sameAtLeast = 8

/** True where a piece is known to be a name that is said again: what is in it does not wait for what follows. */
const isNameAgain = (line: Line, text: string): boolean => {
  line.repeated = text === line.last ? line.repeated + 1 : 0
  line.last = text
  if (line.repeated >= sameAtLeast) return true
  if (line.words.size > wordsAtMost) return false
  if (line.words.has(text)) return isWord(text)
  line.words.add(text)
  return false
}

/** True where one word is all that was said. */
const isOneName = ({ last, pushed }: Line): boolean => pushed === last.length && isWord(last)

/** How a stream is watched. */
export interface HeldBackOptions<A> {
  readonly dlp: Dlp.Dlp
  /** Characters of a text that wait for what follows them. Default: that of `Dlp.stream`. */
  readonly holdBack?: number | undefined
  /** What would block is redacted, and what cannot be is handed on (POLICY-8). */
  readonly observing: boolean
  /** Where the text of the elements stands; undefined: wherever there is some. */
  readonly textIn?: TextIn<A> | undefined
}

/** The elements of one stream under watch. */
export class HeldBack<A> {
  readonly #options: HeldBackOptions<A>
  readonly #reader: ElementReader<A>
  readonly #lines = new Map<string, Line>()
  readonly #turns = new TakingTurns<Span>((text) => ({ text, isFound: false, parts: [] }))
  /** With so many lines it is looked which may be forgotten. */
  #forgetAt = linesAtMost
  readonly #waiting: Array<Waiting<A>> = []
  /** Characters that wait. */
  #chars = 0
  #count = 0
  /** What was found that blocks. */
  readonly #kinds = new Set<Dlp.Kind>()
  #isBlocked = false

  constructor(options: HeldBackOptions<A>) {
    const reader = options.textIn === undefined ? anyReader<A>(options.dlp) : readerOf(options.textIn)
    this.#options = options
    this.#reader = options.observing ? lenient(reader) : reader
  }

  /** Takes an element. */
  take(element: A): Taken<A> {
    return this.#taken(() => {
      for (const reading of this.#reader.read(element)) this.#add(reading)
    })
  }

  /** Takes the end. */
  end(): Taken<A> {
    return this.#taken(() => {
      for (const reading of this.#reader.rest()) this.#add(reading)
      for (const line of this.#lines.values()) this.#note(line, line.watch.end())
    })
  }

  #taken(take: () => void): Taken<A> {
    try {
      take()
      const out = this.#isBlocked ? [] : this.#letGo()
      return this.#isBlocked ? { _tag: "Blocked", kinds: [...this.#kinds] } : { _tag: "Let", out }
    } catch (error) {
      if (error instanceof Unreadable) return { _tag: "Unreadable", what: error.what }
      throw error
    }
  }

  #add({ findings = [], pieces, put }: Reading<A>): void {
    this.#count++
    this.#judge(findings)
    const spans = pieces.map(({ names = [], slot, text }): Span => {
      const line = this.#line(slot)
      const span: Span = { text, parts: [], isFound: this.#isFound(line, text) }
      this.#chars += text.length
      this.#push(line, span)
      for (const own of this.#turns.take(slot, names, span))
        for (const one of own.spans) this.#push(this.#line(own.slot, outOfTurnAfter), one)
      return span
    })
    this.#waiting.push({ spans, put })
  }

  #push(line: Line, { parts, text }: Span): void {
    parts.push({ line, start: line.pushed })
    line.pushed += text.length
    line.lastAt = this.#count
    this.#note(line, line.watch.push(text))
    if (isNameAgain(line, text)) this.#note(line, line.watch.flush())
  }

  #isFound(line: Line, text: string): boolean {
    // Many say the same again, as an id does.
    if (text !== line.last) {
      line.alone = foundAlone(this.#options.dlp, text)
      this.#judge(line.alone)
    }
    return line.alone.some(({ action }) => action !== "warn")
  }

  /** Takes what was found in an element by itself. */
  #judge(findings: ReadonlyArray<Dlp.Finding>): void {
    if (!this.#options.observing) this.#isBlocked ||= findings.some(({ action }) => action === "block")
    this.#found(findings)
  }

  #line(slot: string, patience = idleAfter): Line {
    const known = this.#lines.get(slot)
    if (known !== undefined) return known
    if (this.#lines.size >= this.#forgetAt) this.#forget()
    const { dlp, holdBack, observing } = this.#options
    const watch = dlp.stream({
      ...(holdBack === undefined ? {} : { holdBack }),
      onBlock: observing ? "redact" : "stop"
    })
    const line: Line = {
      watch,
      patience,
      pushed: 0,
      lastAt: this.#count,
      replaced: [],
      words: new Set(),
      last: "",
      alone: [],
      repeated: 0
    }
    this.#lines.set(slot, line)
    return line
  }

  /** Forgets lines of which nothing waits; an element may have more of them than are remembered. */
  #forget(): void {
    for (const [slot, { pushed, watch }] of this.#lines)
      if (watch.released() === pushed) this.#lines.delete(slot)
    this.#forgetAt = Math.max(linesAtMost, 2 * this.#lines.size)
  }

  #note(line: Line, { blocked, findings, replaced }: Dlp.StreamStep): void {
    this.#found(findings)
    if (replaced.length > 0) line.replaced.push(...replaced)
    if (blocked) this.#isBlocked = true
  }

  #found(findings: ReadonlyArray<Dlp.Finding>): void {
    for (const { action, kind } of findings) if (action === "block") this.#kinds.add(kind)
  }

  /** The elements at the front whose text is known to be clean. */
  #letGo(): ReadonlyArray<A> {
    const out: Array<A> = []
    let gone = 0
    for (const waiting of this.#waiting) {
      if (!waiting.spans.every(({ parts, text }) => parts.every((part) => this.#isClean(part, text)))) break
      out.push(...waiting.put(waiting.spans.map((span) => this.#textNow(span))))
      for (const { text } of waiting.spans) this.#chars -= text.length
      gone++
    }
    if (gone > 0) this.#waiting.splice(0, gone)
    return out
  }

  #textNow(span: Span): string | undefined {
    const text = textNow(span)
    return span.isFound ? this.#options.dlp.redact(text ?? span.text) : text
  }

  /** True where a piece may leave; a text that is over, or for which there is no room, is not waited for. */
  #isClean({ line, start }: Part, text: string): boolean {
    const end = start + text.length
    if (line.watch.released() >= end) return true
    const patience = isOneName(line) ? sameAtLeast : line.patience
    if (this.#count - line.lastAt < patience && this.#chars <= charsAtMost) return false
    this.#note(line, line.watch.flush())
    return !this.#isBlocked && line.watch.released() >= end
  }
}

/** A piece with what was replaced in it: a placeholder stands where what it stands for began. */
const textNow = ({ parts, text }: Span): string | undefined => {
  const replaced = parts.flatMap((part) => replacedIn(part, text))
  if (replaced.length === 0) return undefined
  // Of what several lines replaced from the same place on, the longest stands for all.
  if (parts.length > 1) replaced.sort((one, other) => one.start - other.start || other.end - one.end)
  let out = ""
  let at = 0
  for (const one of replaced) {
    if (one.start >= at) out += text.slice(at, one.start) + one.text
    at = Math.max(at, Math.min(one.end, text.length))
  }
  return out + text.slice(at)
}

/** What of a line was replaced in a piece, by the piece's own places. */
const replacedIn = ({ line: { replaced }, start }: Part, text: string): ReadonlyArray<Dlp.Replacement> => {
  while (replaced[0] !== undefined && replaced[0].end <= start) replaced.shift()
  const end = start + text.length
  const over = replaced.findIndex((one) => one.start >= end)
  return (over === -1 ? replaced : replaced.slice(0, over)).map((one) => ({
    ...one,
    start: one.start - start,
    end: one.end - start
  }))
}
