/**
 * Texts that take turns in one place of a stream's elements, told apart by what names them there: `id` or `index`.
 *
 * A name may be another one in each element, too, so that the place is one text as well, whatever it is named. A
 * text of a name is watched by itself from when a name comes back after another one: what came before is remembered.
 */
import type { Name } from "./ValueText.ts"

/** A piece of text that was read. */
interface Read {
  readonly text: string
}

/** What goes to a text of its own. */
export interface Own<S> {
  readonly slot: string
  readonly spans: ReadonlyArray<S>
}

/** The end of a text that has no slot of its own. */
interface Text<S> {
  readonly spans: Array<S>
  chars: number
}

/** A place, by one of its names. */
interface Place<S> {
  /** The text that had the last turn. */
  last: string
  /** Texts take turns here: each has a slot of its own. */
  isShared: boolean
  /** Texts that have no slot of their own, by their names, in the order of their turns. */
  readonly texts: Map<string, Text<S>>
}

/** Places that are remembered; of more the oldest are one text again. */
const placesAtMost = 256
/** Texts of a place that are remembered; of more the oldest is as if it were new. */
const textsAtMost = 64
/** Characters of a text that are remembered. */
const charsAtMost = 1024

const none: ReadonlyArray<never> = []

/** What was read in the elements of one stream, by its names. */
export class TakingTurns<S extends Read> {
  readonly #places = new Map<string, Place<S>>()
  /** The end of a piece that is too long to be remembered. */
  readonly #tailOf: (text: string) => S

  constructor(tailOf: (text: string) => S) {
    this.#tailOf = tailOf
  }

  /** Takes a piece; answers what goes to texts of their own. */
  take(slot: string, names: ReadonlyArray<Name>, span: S): ReadonlyArray<Own<S>> {
    if (names.length === 0) return none
    const own = names.flatMap(({ of, is }) => this.#turn(`${slot}\0${of}`, is, span))
    // Each of several names may be shared by texts that only all of them tell apart.
    return names.length === 1
      ? own
      : [...own, ...this.#turn(`${slot}\0`, names.map(({ is }) => is).join("\0"), span)]
  }

  #turn(at: string, name: string, span: S): ReadonlyArray<Own<S>> {
    const place = this.#place(at, name)
    const { last, texts } = place
    const before = texts.get(name)
    if (last !== name) {
      place.last = name
      if (before !== undefined) place.isShared = true
    }
    if (place.isShared) return this.#shared(at, place, name, span)
    const text = before ?? { spans: [], chars: 0 }
    this.#remember(text, span)
    if (before !== undefined) return none
    texts.set(name, text)
    this.#forget(texts, textsAtMost)
    return none
  }

  /** The texts of a place get slots of their own, with what is remembered of them. */
  #shared(at: string, { texts }: Place<S>, name: string, span: S): ReadonlyArray<Own<S>> {
    const own = [...texts].map(([one, { spans }]) => ({ slot: `${at}\0${one}`, spans }))
    texts.clear()
    return [...own, { slot: `${at}\0${name}`, spans: [span] }]
  }

  #place(at: string, text: string): Place<S> {
    const known = this.#places.get(at)
    if (known !== undefined) return known
    const place: Place<S> = { last: text, isShared: false, texts: new Map() }
    this.#places.set(at, place)
    this.#forget(this.#places, placesAtMost)
    return place
  }

  #remember(text: Text<S>, span: S): void {
    if (span.text === "") return
    const { spans } = text
    const last = span.text.length > charsAtMost ? this.#tailOf(span.text.slice(-charsAtMost)) : span
    spans.push(last)
    text.chars += last.text.length
    while (text.chars > charsAtMost) text.chars -= spans.shift()?.text.length ?? text.chars
  }

  #forget(map: Map<string, unknown>, atMost: number): void {
    for (const key of map.keys()) {
      if (map.size <= atMost) return
      map.delete(key)
    }
  }
}
