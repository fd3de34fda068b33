/**
 * The text in the elements of a stream: a string is text, bytes are UTF-8, and of an object every string is, wherever
 * it stands. It is read as pieces, and put back where some of it was replaced.
 */
import { Buffer } from "node:buffer"
import { types } from "node:util"
import type { Dlp } from "@agion/policy"
import { encoded, likeIt, type Piece, textIn, textOf, Unreadable } from "./ValueText.ts"

/** An element that was read. */
export interface Reading<A> {
  readonly pieces: ReadonlyArray<Piece>
  /** The element with these texts for its pieces; undefined: as it was. No element: nothing is left of it. */
  readonly put: (texts: ReadonlyArray<string | undefined>) => ReadonlyArray<A>
  /** What names in the element tell, keys and numbers. */
  readonly findings?: ReadonlyArray<Dlp.Finding>
}

/** Where a program's elements have their text. */
export interface TextIn<A> {
  /** The text of an element, which continues that of the element before; undefined: it has none. */
  readonly get: (element: A) => string | undefined
  /** The element with another text. */
  readonly set: (element: A, text: string) => A
}

/** Reads the elements of one stream, in order. */
export interface ElementReader<A> {
  readonly read: (element: A) => ReadonlyArray<Reading<A>>
  /** What is left when the stream ends: bytes of half a character. */
  readonly rest: () => ReadonlyArray<Reading<A>>
}

const noPieces: ReadonlyArray<never> = []
const nothing = (): ReadonlyArray<never> => noPieces

/** Reads elements by what the program says of them. */
export const readerOf = <A>({ get, set }: TextIn<A>): ElementReader<A> => ({
  read: (element) => {
    const text: unknown = get(element)
    if (text === undefined || text === null) return [{ pieces: noPieces, put: () => [element] }]
    if (typeof text !== "string") throw new Unreadable("what `scan.get` says is no text")
    return [
      {
        pieces: [{ slot: "", text }],
        put: ([now]) => [now === undefined ? element : set(element, now)]
      }
    ]
  },
  rest: nothing
})

/** Reads the same, and hands on as it is what cannot be read or redacted. */
export const lenient = <A>({ read, rest }: ElementReader<A>): ElementReader<A> => ({
  read: (element) =>
    readable(() => read(element), [{ pieces: noPieces, put: () => [element] }]).map((reading) => ({
      ...reading,
      put: (texts) => readable(() => reading.put(texts), [element])
    })),
  rest
})

const readable = <B>(read: () => B, otherwise: B): B => {
  try {
    return read()
  } catch (error) {
    if (error instanceof Unreadable) return otherwise
    throw error
  }
}

/** Reads elements of any kind; what names in them tell, keys and numbers are redacted by `dlp`. */
export const anyReader = <A>(dlp: Dlp.Dlp): ElementReader<A> => {
  let carried: Uint8Array | undefined
  const rest = (): ReadonlyArray<Reading<A>> => {
    if (carried === undefined) return noPieces
    const bytes = carried
    carried = undefined
    return [readBytes<A>(bytes)]
  }
  /** Bytes up to their last whole character; the rest goes before the next ones. */
  const bytesIn = (element: Uint8Array): ReadonlyArray<Reading<A>> => {
    const before = carried
    const all = before === undefined ? element : likeIt(element, Buffer.concat([before, element]))
    const upTo = wholeUpTo(all)
    carried = upTo === all.length ? undefined : all.subarray(upTo)
    if (carried === undefined) return [readBytes<A>(all)]
    return upTo === 0 ? noPieces : [readBytes<A>(all.subarray(0, upTo))]
  }
  return {
    read: (element) => {
      if (types.isUint8Array(element)) return bytesIn(element)
      const one = typeof element === "string" ? readString<A>(element) : readValue(element, dlp)
      return carried === undefined ? [one] : [...rest(), one]
    },
    rest
  }
}

// Text is rebuilt as text and bytes as bytes: the element type stays what it was.
const readString = <A>(text: A & string): Reading<A> => ({
  pieces: [{ slot: "", text }],
  put: ([now = text]) => (now === "" && text !== "" ? noPieces : [now as A])
})

const readBytes = <A>(bytes: Uint8Array): Reading<A> => ({
  pieces: [{ slot: "", text: textOf(bytes) }],
  put: ([now]) => (now === "" ? noPieces : [(now === undefined ? bytes : encoded(bytes, now)) as A])
})

const readValue = <A>(element: A, dlp: Dlp.Dlp): Reading<A> => {
  if (typeof element !== "object" || element === null) return { pieces: noPieces, put: () => [element] }
  const { decision, findings, truncated } = dlp.scanValue(element, { namedOnly: true })
  if (truncated) throw new Unreadable("more than can be read")
  const { pieces, put } = textIn(element)
  if (decision === "allow") return { pieces, put: (texts) => [put(texts)] }
  return { pieces, put: (texts) => [dlp.redactValue(put(texts)) as A], findings }
}

/** Where the last character ends that is whole. */
const wholeUpTo = (bytes: Uint8Array): number => {
  const { length } = bytes
  for (let back = 1; back <= 3 && back <= length; back++) {
    const byte = bytes[length - back] ?? 0
    if ((byte & 0xc0) === 0x80) continue
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return size > back ? length - back : length
  }
  return length
}
